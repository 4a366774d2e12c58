package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
)

const volumeMagic = "wardvol\n"

// A volume begins with one sector:
//
//	 0  8  "wardvol\n"
//	 8  4  version
//	12  4  number of the volume
//	16 16  mark of the store
//	32  4  crc32c of the bytes above
//
// the rest is zero. Nothing depends on it: a volume whose first sector is lost
// is known by its name, and its records by their own headers.
func putVolumeHead(m mark, number uint32) []byte {
	b := make([]byte, sectorSize)
	copy(b, volumeMagic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], number)
	copy(b[16:], m[:])
	le.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
	return b
}

var errVolumeHead = errors.New("first sector is damaged")

// newerError is the refusal of a format that a later release wrote.
type newerError struct {
	what    string
	version uint32
}

func (e *newerError) Error() string {
	return fmt.Sprintf("%s has format version %d, this release reads up to %d: use the release that wrote it", e.what, e.version, version)
}

// parseVolumeHead answers the mark and number it finds.
func parseVolumeHead(b []byte) (mark, uint32, error) {
	if len(b) < sectorSize || string(b[:8]) != volumeMagic || le.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return mark{}, 0, errVolumeHead
	}
	switch v := le.Uint32(b[8:]); {
	case v > version:
		return mark{}, 0, &newerError{"a volume", v}
	case v != version:
		return mark{}, 0, errVolumeHead
	}
	return mark(b[16:32]), le.Uint32(b[12:]), nil
}
