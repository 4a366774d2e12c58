package file

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

func randomMap(r *rand.Rand, n int, name byte) posix.Map {
	var m posix.Map
	off := uint64(0)
	for range n {
		off += uint64(r.IntN(5))
		e := posix.Extent{Off: off, Len: uint32(1 + r.IntN(6)), From: uint32(r.IntN(10)),
			Slice: posix.Slice{ID: posix.SliceID{name, byte(r.Uint32())}, Len: 100}}
		m = append(m, e)
		off = e.End()
	}
	return m
}

// TestOverlay: laying a whole map at once is laying its extents one by one.
func TestOverlay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		base, over := randomMap(r, r.IntN(40), 1), randomMap(r, r.IntN(40), 2)
		want := slices.Clone(base)
		for _, e := range over {
			want = want.Lay(e)
		}
		if got := overlay(slices.Clone(base), over); !slices.Equal(got, want) {
			t.Fatalf("%v\nover %v\ngot  %v\nwant %v", over, base, got, want)
		}
	}
}

// TestLearn compares the layout with an array that has a byte for each byte.
func TestLearn(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const size = 200
	for range 300 {
		var l layout
		var known [size]bool
		var want [size]posix.SliceID
		for range 20 {
			lo := uint64(r.IntN(size))
			hi := lo + uint64(r.IntN(size-int(lo))) + 1
			m := randomMap(r, 60, byte(r.Uint32()))
			switch r.IntN(4) {
			case 0:
				l.truncate(lo)
				hi, m = size, nil
				clear(want[lo:])
				for k := lo; k < hi; k++ {
					known[k] = true
				}
			case 1:
				m = m.Range(lo, hi)
				l.lay(m)
				for _, e := range m {
					for k := e.Off; k < e.End(); k++ {
						known[k], want[k] = true, e.Slice.ID
					}
				}
			default:
				l.learn(m, lo, hi)
				clear(want[lo:hi])
				for k := lo; k < hi; k++ {
					known[k] = true
				}
				for _, e := range m.Range(lo, hi) {
					for k := e.Off; k < e.End(); k++ {
						want[k] = e.Slice.ID
					}
				}
			}
			compare(t, l, known[:], want[:])
		}
	}
}

func compare(t *testing.T, l layout, known []bool, want []posix.SliceID) {
	t.Helper()
	for k := range known {
		at, missing := l.known.gap(uint64(k), uint64(k)+1)
		if missing == known[k] || missing && at != uint64(k) {
			t.Fatalf("byte %d: known %v, want %v", k, !missing, known[k])
		}
		var got posix.SliceID
		if m := l.extents.Range(uint64(k), uint64(k)+1); len(m) > 0 {
			got = m[0].Slice.ID
		}
		if known[k] && got != want[k] {
			t.Fatalf("byte %d is of %v, want %v", k, got, want[k])
		}
	}
}

// FuzzRanges puts spans into a set and compares it with one of single bytes.
func FuzzRanges(f *testing.F) {
	f.Add([]byte{0, 5, 5, 9, 2, 7})
	f.Add([]byte{10, 20, 30, 40, 0, 255, 7, 7})
	f.Fuzz(func(t *testing.T, spans []byte) {
		var r ranges
		var in [257]bool
		for len(spans) >= 2 {
			lo, hi := spans[0], spans[1]
			spans = spans[2:]
			r = r.add(uint64(lo), uint64(hi))
			for k := lo; k < hi; k++ {
				in[k] = true
			}
		}
		for k := range r {
			if r[k].lo >= r[k].hi || k > 0 && r[k].lo <= r[k-1].hi {
				t.Fatal("out of order:", r)
			}
		}
		for k := range uint64(256) {
			want := k
			for want < 256 && in[want] {
				want++
			}
			if got, missing := r.gap(k, 256); missing != (want < 256) || missing && got != want {
				t.Fatalf("%v: gap from %d: %d, %v; want %d", r, k, got, missing, want)
			}
		}
	})
}

// FuzzBuffer writes where the input says, around a block's border, and
// compares what is buffered with an array.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(slices.Repeat([]byte{255, 1, 0, 9}, 20))
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t, Config{Memory: minMemory})
		h := r.create("f", readWrite)
		want := make([]byte, 2*posix.BlockSize)
		size := 0
		for k := byte(1); len(ops) >= 4 && k < 40; k++ {
			off := int(binary.LittleEndian.Uint16(ops)) * 97 % posix.BlockSize
			n := int(binary.LittleEndian.Uint16(ops[2:])) * 31 % posix.BlockSize
			ops = ops[4:]
			for i := range want[off : off+n] {
				want[off+i] = k
			}
			r.write(h, want[off:off+n], uint64(off))
			if n > 0 {
				size = max(size, off+n)
			}
			if k%8 == 0 {
				wantErrno(t, 0, h.Sync(t.Context()))
			}
		}
		r.reads(h, want[:size], 0)
		r.close(h)
		r.stored(h.Ino(), want[:size])
	})
}
