package posix

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// slot makes a slice that is told from others by its number; 0 is a hole.
func slot(n byte) Slice {
	if n == 0 {
		return Slice{}
	}
	return Slice{File: 1, ID: SliceID{n}, Len: 1 << 16}
}

func TestExtentCheck(t *testing.T) {
	s := Slice{File: 1, ID: SliceID{1}, Len: 100}
	for _, c := range []struct {
		name string
		want Errno
		e    Extent
	}{
		{"whole slice", 0, Extent{Len: 100, Slice: s}},
		{"its end", 0, Extent{Len: 1, From: 99, Slice: s}},
		{"past its end", EINVAL, Extent{Len: 2, From: 99, Slice: s}},
		{"far past its end", EINVAL, Extent{Len: 100, From: 1<<32 - 50, Slice: s}},
		{"empty", EINVAL, Extent{Slice: s}},
		{"empty hole", EINVAL, Extent{Off: 5}},
		{"hole", 0, Extent{Len: ChunkSize}},
		{"a chunk", 0, Extent{Off: ChunkSize, Len: ChunkSize, Slice: Slice{ID: s.ID, Len: ChunkSize}}},
		{"a chunk and a byte", EINVAL, Extent{Len: ChunkSize + 1}},
		{"over a border", EINVAL, Extent{Off: ChunkSize - 1, Len: 2}},
		{"slice too long", EINVAL, Extent{Len: 1, Slice: Slice{ID: s.ID, Len: ChunkSize + 1}}},
		{"last byte", 0, Extent{Off: FileSizeMax - 1, Len: 1}},
		{"after the last", EFBIG, Extent{Off: FileSizeMax, Len: 1}},
		{"end wraps", EFBIG, Extent{Off: 1<<64 - 1, Len: 2}},
	} {
		if got := c.e.Check(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSliceBlocks(t *testing.T) {
	for _, c := range []struct{ len, blocks, last uint32 }{
		{0, 0, 0}, {1, 1, 1}, {BlockSize - 1, 1, BlockSize - 1}, {BlockSize, 1, BlockSize}, {BlockSize + 1, 2, 1},
		{ChunkSize - 1, 16, BlockSize - 1}, {ChunkSize, 16, BlockSize},
	} {
		s := Slice{Len: c.len}
		if s.Blocks() != c.blocks {
			t.Errorf("%d bytes: %d blocks, want %d", c.len, s.Blocks(), c.blocks)
		}
		var sum uint32
		for i := range s.Blocks() {
			sum += s.Block(i)
		}
		if sum != c.len || s.Block(s.Blocks()) != 0 || s.Block(1<<32-1) != 0 {
			t.Errorf("%d bytes: blocks of %d", c.len, sum)
		}
		if c.blocks > 0 && s.Block(c.blocks-1) != c.last {
			t.Errorf("%d bytes: last block of %d, want %d", c.len, s.Block(c.blocks-1), c.last)
		}
	}
}

func TestExtentCut(t *testing.T) {
	e := Extent{Off: 100, Len: 50, From: 7, Slice: slot(1)}
	for _, c := range []struct {
		lo, hi uint64
		want   Extent
	}{
		{0, 1000, e}, {100, 150, e},
		{120, 1000, Extent{120, 30, 27, e.Slice}}, {0, 120, Extent{100, 20, 7, e.Slice}},
		{149, 150, Extent{149, 1, 56, e.Slice}}, {110, 111, Extent{110, 1, 17, e.Slice}},
	} {
		if got := e.Cut(c.lo, c.hi); got != c.want {
			t.Errorf("[%d, %d): %+v, want %+v", c.lo, c.hi, got, c.want)
		}
	}
}

func TestMapLay(t *testing.T) {
	x := func(n byte, off, end uint64, from uint32) Extent {
		return Extent{Off: off, Len: uint32(end - off), From: from, Slice: slot(n)}
	}
	base := Map{x(1, 10, 20, 0), x(2, 20, 30, 0), x(3, 40, 50, 0)}
	for _, c := range []struct {
		name string
		e    Extent
		want Map
	}{
		{"before all", x(9, 0, 10, 0), Map{x(9, 0, 10, 0), x(1, 10, 20, 0), x(2, 20, 30, 0), x(3, 40, 50, 0)}},
		{"after all", x(9, 50, 60, 0), Map{x(1, 10, 20, 0), x(2, 20, 30, 0), x(3, 40, 50, 0), x(9, 50, 60, 0)}},
		{"between", x(9, 30, 40, 0), Map{x(1, 10, 20, 0), x(2, 20, 30, 0), x(9, 30, 40, 0), x(3, 40, 50, 0)}},
		{"within one", x(9, 12, 15, 0), Map{x(1, 10, 12, 0), x(9, 12, 15, 0), x(1, 15, 20, 5), x(2, 20, 30, 0), x(3, 40, 50, 0)}},
		{"just one", x(9, 20, 30, 0), Map{x(1, 10, 20, 0), x(9, 20, 30, 0), x(3, 40, 50, 0)}},
		{"its beginning", x(9, 15, 25, 0), Map{x(1, 10, 15, 0), x(9, 15, 25, 0), x(2, 25, 30, 5), x(3, 40, 50, 0)}},
		{"from end to beginning", x(9, 29, 41, 0), Map{x(1, 10, 20, 0), x(2, 20, 29, 0), x(9, 29, 41, 0), x(3, 41, 50, 1)}},
		{"all", x(9, 0, 100, 0), Map{x(9, 0, 100, 0)}},
		{"a hole over all but the ends", x(0, 11, 49, 0), Map{x(1, 10, 11, 0), x(0, 11, 49, 0), x(3, 49, 50, 9)}},
	} {
		if got := slices.Clone(base).Lay(c.e); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got  %+v\n want %+v", c.name, got, c.want)
		}
	}
	if got := Map(nil).Lay(base[0]); !slices.Equal(got, base[:1]) {
		t.Errorf("over nothing: %+v", got)
	}
}

const span = 64 // bytes that the oracle knows

// oracle is a map in its simplest form: for each byte the slice and the place
// in it; slice 0 is a hole or nothing.
type oracle [span]struct {
	slice byte
	at    uint32
}

// run lays the extents that script says over a map and an oracle, three bytes
// each, and compares after each.
func run(t *testing.T, script []byte) {
	var m Map
	var o oracle
	for i := 0; i+3 <= len(script) && i < 300; i += 3 {
		off := uint64(script[i]) % span
		e := Extent{Off: off, Len: uint32(1 + uint64(script[i+1])%(span-off)), From: uint32(script[i+2]), Slice: slot(script[i+2] % 7)}
		m = m.Lay(e)
		for j := range e.Len {
			o[off+uint64(j)].slice, o[off+uint64(j)].at = script[i+2]%7, e.From+j
		}
		compare(t, m, &o, 0, span)
	}
	for lo := uint64(0); lo <= span; lo += 5 {
		for hi := lo; hi <= span; hi += 3 {
			r := m.Range(lo, hi)
			compare(t, r, &o, lo, hi)
			if got, want := m.Covered(lo, hi), r.Covered(0, span); got != want {
				t.Fatalf("%d bytes covered in [%d, %d), want %d", got, lo, hi, want)
			}
		}
	}
	for _, r := range [][2]uint64{{span, 1 << 63}, {span / 2, span / 2}, {span, 0}} {
		if got, n := m.Range(r[0], r[1]), m.Covered(r[0], r[1]); got != nil || n != 0 {
			t.Fatalf("in [%d, %d): %v, %d bytes", r[0], r[1], got, n)
		}
	}
}

// compare expects m to be in order and to say of [lo, hi) what the oracle
// says, and of nothing else.
func compare(t *testing.T, m Map, o *oracle, lo, hi uint64) {
	t.Helper()
	end, covered, want := lo, uint64(0), uint64(0)
	var seen [span]bool
	for _, e := range m {
		if e.Off < end || e.Len == 0 || e.End() > hi {
			t.Fatalf("extent [%d, %d) in [%d, %d) after %d: %+v", e.Off, e.End(), lo, hi, end, m)
		}
		end = e.End()
		for j := range e.Len {
			at := e.Off + uint64(j)
			seen[at] = true
			if e.Slice.ID[0] != o[at].slice || !e.Hole() && e.From+j != o[at].at {
				t.Fatalf("byte %d is %d of slice %d, want %d of %d", at, e.From+j, e.Slice.ID[0], o[at].at, o[at].slice)
			}
		}
	}
	for at := lo; at < hi; at++ {
		if o[at].slice != 0 {
			want++
			if seen[at] {
				covered++
			}
		}
	}
	if covered != want || m.Covered(lo, hi) != want {
		t.Fatalf("%d bytes said, %d covered, want %d", covered, m.Covered(lo, hi), want)
	}
}

func TestMapRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		script := make([]byte, 90)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		run(t, script)
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte{0, 63, 1, 10, 10, 2, 15, 0, 3, 0, 9, 0})
	f.Add([]byte{60, 3, 1, 0, 3, 2, 3, 60, 3})
	f.Fuzz(func(t *testing.T, script []byte) { run(t, script) })
}

// Far offsets do not wrap.
func TestMapFar(t *testing.T) {
	last := Extent{Off: FileSizeMax - 10, Len: 10, Slice: slot(1)}
	m := Map{}.Lay(last).Lay(Extent{Len: 10, Slice: slot(2)}).Lay(Extent{Off: FileSizeMax - 5, Len: 1, Slice: slot(3)})
	if got := m.Covered(0, FileSizeMax); got != 20 || len(m) != 4 {
		t.Errorf("%d bytes of %v", got, m)
	}
	if r := m.Range(FileSizeMax-1, 1<<64-1); len(r) != 1 || r[0].From != 9 {
		t.Errorf("%v", r)
	}
}

func FuzzExtentCheck(f *testing.F) {
	f.Add(make([]byte, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 20 {
			return
		}
		n := binary.LittleEndian
		e := Extent{Off: n.Uint64(b), Len: n.Uint32(b[8:]), From: n.Uint32(b[12:]), Slice: Slice{ID: SliceID{1}, Len: n.Uint32(b[16:])}}
		if e.Check() != 0 {
			return
		}
		if e.End() < e.Off || e.End() > FileSizeMax || e.Len == 0 || uint64(e.From)+uint64(e.Len) > uint64(e.Slice.Len) || e.Slice.Len > ChunkSize {
			t.Errorf("%+v is taken for good", e)
		}
	})
}
