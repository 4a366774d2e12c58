package segment

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// KeySize is the length of a zone key in bytes, whatever the suite.
const KeySize = 32

// The info of the derivation, RFC 5869 section 2.3; numbers are big-endian.
//
//	 0  "wardfs slice 1\n"   15
//	15  suite                 1
//	16  segment size          4
//	20  zone                  8
//	28  file                  8
//	36  slice                16
//
// The chunk is not in it, so that the keys of a file's slices do not depend on
// where they lie; each segment is bound to it (see bound). The zone key is the input
// keying material, the salt is "wardfs zone key 1".
func derive(zoneKey []byte, f Format, p Place) ([]byte, error) {
	if len(zoneKey) != KeySize {
		return nil, fmt.Errorf("a zone key has %d bytes, this has %d", KeySize, len(zoneKey))
	}
	b := make([]byte, 0, 52)
	b = append(b, "wardfs slice 1\n"...)
	b = append(b, byte(f.Suite))
	b = binary.BigEndian.AppendUint32(b, f.Size)
	b = binary.BigEndian.AppendUint64(b, p.Zone)
	b = binary.BigEndian.AppendUint64(b, uint64(p.File))
	b = append(b, p.Slice[:]...)
	return hkdf.Key(sha256.New, zoneKey, []byte("wardfs zone key 1"), string(b), suites[f.Suite].key)
}
