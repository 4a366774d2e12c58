package segment

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzOpen: no stored bytes but the right ones open, and none panic.
func FuzzOpen(f *testing.F) {
	for i, suite := range all {
		s := slice(f, Format{suite, MinSize}, 1, here)
		f.Add(byte(i), uint32(5000), uint32(10), uint32(4990), seal(f, s, 0, text(5000)))
	}
	f.Add(byte(0), uint32(1), uint32(0), uint32(1), []byte{})
	f.Fuzz(func(t *testing.T, suite byte, size, off, n uint32, stored []byte) {
		s := slice(t, Format{all[int(suite)%len(all)], MinSize}, 1, here)
		if n > 1<<16 || size == 0 || size > 1<<16 {
			return
		}
		dst := make([]byte, n)
		err := s.Open(dst, 0, size, off, stored)
		if n == 0 || uint64(off)+uint64(n) > uint64(size) {
			if err == nil {
				t.Fatal("a range outside the block was opened")
			}
			return
		}
		plain := text(int(size))
		start, length := s.f.Span(size, off, n)
		right := seal(t, s, 0, plain)[start : start+length]
		switch {
		case bytes.Equal(stored, right):
			if err != nil || !bytes.Equal(dst, plain[off:off+n]) {
				t.Fatalf("the right bytes: %v", err)
			}
		case !errors.Is(err, ErrDamaged):
			t.Fatalf("wrong bytes were not refused: %v", err)
		}
	})
}

// FuzzSpan holds the arithmetic against a count, segment by segment.
func FuzzSpan(f *testing.F) {
	f.Add(byte(0), uint32(100_000), uint32(5), uint32(70_000))
	f.Add(byte(3), uint32(4096), uint32(4095), uint32(1))
	f.Fuzz(func(t *testing.T, suite byte, size, off, n uint32) {
		size = size%(4<<20) + 1
		off %= size
		n = n%(size-off) + 1
		form := Format{all[int(suite)%len(all)], MinSize}
		start, length := form.Span(size, off, n)
		var at, from, to uint32
		for p := uint32(0); p < size; p += form.Size {
			have := form.sealed(min(form.Size, size-p))
			if p <= off {
				from = at
			}
			at += have
			if p < off+n {
				to = at
			}
		}
		if at != form.Stored(size) || from != start || to != start+length {
			t.Fatalf("%v, %d bytes [%d, +%d): stored %d, span %d+%d; counted %d, %d to %d",
				form, size, off, n, form.Stored(size), start, length, at, from, to)
		}
		p, m := form.Within(size, start, length)
		if p/form.Size != off/form.Size || p%form.Size != 0 || p+m < off+n || (p+m)%form.Size != 0 && p+m != size {
			t.Fatalf("%v, %d bytes: %d+%d within are [%d, +%d)", form, size, start, length, p, m)
		}
		if length > 1 {
			if _, less := form.Within(size, start, length-1); less >= m {
				t.Fatal("a segment cut short counts as whole")
			}
		}
	})
}
