package posix

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A stream reads a directory as getdents64(2) gives it, offsets included.
type stream struct {
	t  testing.TB
	fd int
}

type entry struct {
	name string
	ino  uint64
	off  int64 // where the next entry is
	typ  byte
}

func openStream(t testing.TB, dir string) *stream {
	t.Helper()
	return &stream{t, int(open(t, dir, os.O_RDONLY, 0).Fd())}
}

// next is one call with a buffer of that size; nothing at the end.
func (s *stream) next(size int) []entry {
	s.t.Helper()
	buf := make([]byte, size)
	n, err := unix.ReadDirent(s.fd, buf)
	ok(s.t, err)
	var entries []entry
	for buf = buf[:n]; len(buf) > 0; {
		// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name and NUL.
		length := binary.NativeEndian.Uint16(buf[16:])
		name, _, _ := bytes.Cut(buf[19:length], []byte{0})
		entries = append(entries, entry{
			name: string(name),
			ino:  binary.NativeEndian.Uint64(buf),
			off:  int64(binary.NativeEndian.Uint64(buf[8:])),
			typ:  buf[18],
		})
		buf = buf[length:]
	}
	return entries
}

// rest is everything from here to the end.
func (s *stream) rest() []entry {
	s.t.Helper()
	var all []entry
	for {
		more := s.next(2048)
		if len(more) == 0 {
			return all
		}
		all = append(all, more...)
	}
}

func (s *stream) seek(off int64) {
	s.t.Helper()
	if _, err := unix.Seek(s.fd, off, 0); err != nil {
		s.t.Fatalf("seekdir to %d: %v", off, err)
	}
}
