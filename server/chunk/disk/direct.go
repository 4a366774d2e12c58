package disk

import (
	"errors"
	"unsafe"

	"github.com/wardfs/wardfs/posix"
)

// Large blocks are written past the page cache: to copy them into pages that
// nobody may ever read costs more than all the rest of a Put, takes memory from
// what is read, and leaves the disk idle until the sync, which then takes long.
// Who reads such a block has the page cache as ever.

// directSize is how large a block must be for that, in bytes, at most.
const directSize = 512 << 10

// writeRecord writes the record at the tail of v. s.log is held.
func (s *Store) writeRecord(v *volume, r *record) error {
	pieces := append(append(make([][]byte, 0, 8), r.head), r.data...)
	if int64(r.size) >= s.size.direct {
		err := s.writePast(v, pieces)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		s.size.direct = posix.BlockMax + 1 // not on this disk
	}
	return v.f.writev(pieces, v.tail)
}

// writePast writes the pages that the record has for itself past the cache, and
// its first and last bytes, in pages that it shares with others, as usual. So
// no page is ever written in both ways.
func (s *Store) writePast(v *volume, pieces [][]byte) error {
	end := v.tail + total(pieces)
	base, from, to := alignDown(v.tail, pageSize), alignUp(v.tail, pageSize), alignDown(end, pageSize)
	b := s.pages(end - base)[:end-base]
	n := v.tail - base
	for _, p := range pieces {
		n += int64(copy(b[n:], p))
	}
	if err := s.fs.writeDirect(volumeName(v.number), b[from-base:to-base], from); err != nil {
		return err
	}
	if from > v.tail {
		if err := v.f.writev([][]byte{b[v.tail-base : from-base]}, v.tail); err != nil {
			return err
		}
	}
	if to == end {
		return nil
	}
	return v.f.writev([][]byte{b[to-base:]}, to)
}

// pages answers memory for n bytes that begins with a page. There is one, for
// one record is written at a time. s.log is held.
func (s *Store) pages(n int64) []byte {
	if int64(len(s.bounce)) < n {
		b := make([]byte, alignUp(n, 1<<20)+pageSize)
		odd := int64(uintptr(unsafe.Pointer(&b[0])) % pageSize)
		s.bounce = b[alignUp(odd, pageSize)-odd:]
	}
	return s.bounce
}
