package pebble

import (
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file SEAL vouches for the manifest, the list of the store's files:
//
//	MANIFEST-000012 5120 1a2b3c4d 5e6f7a8b\n
//
// its name, how many of its bytes are durable at least, their CRC-32C, and the
// CRC-32C of the line up to there. Pebble takes the first record of a manifest
// that does not parse for its end, since a crash leaves such an end; a damaged
// byte or a cut in the middle would so bring back an old list, and with it old
// values. With the seal that is an error.
//
// It is written after each sync of a manifest and before pebble relies on it:
// for the manifest in use it never claims too much.
type seal struct {
	manifest string
	size     int64
	sum      uint32
}

const (
	sealFile       = "SEAL"
	manifestPrefix = "MANIFEST-"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add takes the next bytes of the manifest.
func (s *seal) add(p []byte) {
	s.size += int64(len(p))
	s.sum = crc32.Update(s.sum, castagnoli, p)
}

func (s *seal) write(fs vfs.FS, dir string) error {
	line := fmt.Sprintf("%s %d %08x", s.manifest, s.size, s.sum)
	return writeFile(fs, dir, sealFile, fmt.Sprintf("%s %08x\n", line, crc32.Checksum([]byte(line), castagnoli)))
}

// readSeal answers nil if there is none or it is itself not whole.
func readSeal(fs vfs.FS, dir string) *seal {
	b, err := readFile(fs, fs.PathJoin(dir, sealFile), 256)
	if err != nil {
		return nil
	}
	s, own := &seal{}, uint32(0)
	if _, err := fmt.Sscanf(string(b), "%s %d %08x %08x\n", &s.manifest, &s.size, &s.sum, &own); err != nil {
		return nil
	}
	line := fmt.Sprintf("%s %d %08x", s.manifest, s.size, s.sum)
	if crc32.Checksum([]byte(line), castagnoli) != own {
		return nil
	}
	return s
}

// checkManifest refuses a store that pebble would read wrongly or, taking it for
// a new one, make anew. A store whose making was cut short has no log yet.
func checkManifest(fs vfs.FS, dir string) error {
	is, err := lsm.Peek(dir, fs)
	if err != nil {
		return err
	}
	if is.Exists {
		return checkSeal(fs, dir, is.ManifestFilename)
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasSuffix(n, logSuffix) || strings.HasSuffix(n, ".sst") {
			return fmt.Errorf("%w: there is %s and no marker.manifest", ErrDamaged, n)
		}
	}
	return nil
}

// checkSeal compares the manifest that pebble will read, if it is the one that
// was sealed, with its seal.
func checkSeal(fs vfs.FS, dir, current string) error {
	s := readSeal(fs, dir)
	if s == nil || s.manifest != fs.PathBase(current) {
		return nil
	}
	f, err := fs.Open(current)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.LimitReader(f, s.size))
	if err != nil {
		return err
	}
	if n < s.size {
		return fmt.Errorf("%w: %s has %d bytes, of %d that were written", ErrDamaged, s.manifest, n, s.size)
	}
	if sum.Sum32() != s.sum {
		return fmt.Errorf("%w: %s is not what was written", ErrDamaged, s.manifest)
	}
	return nil
}

// readFile reads at most limit bytes of a small file.
func readFile(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
