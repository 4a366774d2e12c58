package namespace

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestChoose(t *testing.T) {
	const k = 1 << 10
	big, old := posix.Slice{ID: posix.SliceID{1}, Len: 4 << 20}, posix.Slice{ID: posix.SliceID{2}, Len: 4 << 20}
	ext := func(off uint64, n uint32, s posix.Slice) posix.Extent {
		return posix.Extent{Off: off * k, Len: n * k, Slice: s}
	}
	tiny := func(n int, from uint64) (m []posix.Extent) {
		for i := range n {
			m = append(m, ext(from+4*uint64(i), 4, posix.Slice{ID: posix.SliceID{3, byte(i), byte(i >> 8)}, Len: 4 * k}))
		}
		return m
	}
	for name, c := range map[string]struct {
		all  []posix.Extent
		want int
		not  posix.Slice // is named elsewhere too
	}{
		"nothing":                 {},
		"whole":                   {all: []posix.Extent{ext(0, 4096, big)}},
		"a quarter dead":          {all: []posix.Extent{ext(0, 3072, big)}},
		"three quarters dead":     {all: []posix.Extent{ext(0, 512, big), ext(2048, 512, big)}, want: 2},
		"dead, and shared":        {all: []posix.Extent{ext(0, 512, big)}, not: big},
		"dead beside alive":       {all: []posix.Extent{ext(0, 512, big), ext(512, 4096, old)}, want: 1},
		"too little to give back": {all: []posix.Extent{ext(0, 8, posix.Slice{ID: posix.SliceID{9}, Len: 100 * k})}},
		"a run of small ones":     {all: tiny(smallRun, 0), want: smallRun},
		"one less":                {all: tiny(smallRun-1, 0)},
		"with a hole between":     {all: append(tiny(smallRun-1, 0), tiny(smallRun-1, 1000)...)},
		"a run, then a big one":   {all: append(tiny(smallRun, 0), ext(4*smallRun, 4096, big)), want: smallRun},
		"shared within the run":   {all: tiny(2*smallRun-1, 0), not: tiny(smallRun, 0)[smallRun-1].Slice},
	} {
		got := choose(c.all, Usual, func(s posix.Slice) bool { return s != c.not })
		if len(got) != c.want {
			t.Errorf("%s: %d extents, want %d: %v", name, len(got), c.want, got)
		}
	}
}

// origin is what a byte of a file is made of, byte for byte: which byte of which slice.
type origin struct {
	slice posix.SliceID
	byte  uint32
}

func bytesOf(t *testing.T, v View, h posix.Handle, size uint64) []origin {
	t.Helper()
	m, _, err := v.Layout(t.Context(), h, 0, size)
	ok(t, err)
	b := make([]origin, size)
	for _, e := range m {
		for i := range e.Len {
			b[e.Off+uint64(i)] = origin{e.Slice.ID, e.From + i}
		}
	}
	return b
}

// Whatever was written in whatever order, compaction leaves each byte what it
// was, holes holes, and nothing of it uncounted; and it comes to an end.
func TestCompaction(t *testing.T) {
	const size = 300 << 10
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		tr := open(t, mem.New(), Config{})
		v := tr.As(super).In(1)
		f := create(t, v, "f", 1)
		write(t, v, 1, f, 255, 0, 2<<20) // a slice of which little will be left
		_, err := v.Setattr(t.Context(), f, posix.SetAttr{Set: posix.SetSize, Size: size, Handle: 1})
		ok(t, err)
		for i := range byte(100) {
			n := 1 + rnd.Uint32N(8<<10)
			write(t, v, 1, f, i+1, rnd.Uint64N(size-uint64(n)), n)
		}
		_, err = v.Allocate(t.Context(), 1, posix.AllocPunchHole|posix.AllocKeepSize, 100<<10, 5000)
		ok(t, err)
		before := bytesOf(t, v, 1, size)
		attr, err := v.Getattr(t.Context(), f)
		ok(t, err)

		moved := map[origin]origin{}
		soon := time.Now().Add(time.Hour)
		for round := 0; ; round++ {
			list := tr.Ragged(soon, 10)
			if round == 0 && !slices.Contains(list, f) {
				t.Fatal("the file is not noted")
			}
			worn, _, err := tr.Worn(t.Context(), f, 0, Usual)
			ok(t, err)
			if len(worn) == 0 {
				break
			}
			if round == 10 {
				t.Fatalf("seed %d: it goes on: %v", seed, worn)
			}
			s := posix.Slice{File: f, ID: posix.SliceID{0xaa, byte(round)}}
			for _, e := range worn {
				for i := range e.Len {
					from := origin{e.Slice.ID, e.From + i}
					if first, ok := moved[from]; ok {
						from = first
					}
					moved[origin{s.ID, s.Len + i}] = from
				}
				s.Len += e.Len
			}
			done, err := tr.Repack(t.Context(), f, worn, s)
			ok(t, err)
			if !done {
				t.Fatal("nothing had changed, and it was not done")
			}
			well(t, tr)
		}
		after := bytesOf(t, v, 1, size)
		for i := range after {
			if o, ok := moved[after[i]]; ok {
				after[i] = o
			}
		}
		if !slices.Equal(before, after) {
			t.Fatalf("seed %d: the bytes have changed", seed)
		}
		if now, err := v.Getattr(t.Context(), f); err != nil || now != attr {
			t.Errorf("the file has changed: %+v, was %+v", now, attr)
		}
		settled(t, tr)
	}
}

// What was written while the bytes were copied stays.
func TestRepackLosesTheRace(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	for i := range byte(smallRun) {
		write(t, v, 1, f, i+1, uint64(i)*4096, 4096)
	}
	worn, _, err := tr.Worn(t.Context(), f, 0, Usual)
	ok(t, err)
	if len(worn) != smallRun {
		t.Fatal(worn)
	}
	write(t, v, 1, f, 100, 5000, 10)
	before := bytesOf(t, v, 1, smallRun*4096)
	if done, err := tr.Repack(t.Context(), f, worn, posix.Slice{File: f, ID: posix.SliceID{0xaa}, Len: smallRun * 4096}); done || err != nil {
		t.Errorf("done is %v, %v", done, err)
	}
	if !slices.Equal(before, bytesOf(t, v, 1, smallRun*4096)) {
		t.Error("the bytes have changed")
	}
	ok(t, v.Close(t.Context(), 1))
	ok(t, v.Unlink(t.Context(), posix.RootIno, "f"))
	reclaimAll(t, tr)
	if done, err := tr.Repack(t.Context(), f, worn, posix.Slice{File: f, ID: posix.SliceID{0xab}, Len: smallRun * 4096}); done || err != nil {
		t.Errorf("of a file that is gone: done is %v, %v", done, err)
	}
	if _, next, err := tr.Worn(t.Context(), f, 0, Usual); next != 0 || err != nil {
		t.Error(next, err)
	}
	settled(t, tr)
}

func TestRaggedIsBounded(t *testing.T) {
	var r ragged
	for i := range posix.Ino(raggedMax + 10) {
		r.note(i+1, time.Unix(1, 0))
	}
	if len(r.last) != raggedMax {
		t.Errorf("%d files", len(r.last))
	}
}

// A slice of which a commit names next to nothing lies whole in the store, and
// no quota is charged for it: compaction gives it back.
func TestMostlyUnusedSliceIsNoted(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	s := posix.Slice{File: f, ID: posix.SliceID{1}, Len: 4 << 20}
	_, err := v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Len: 1, Slice: s}}})
	ok(t, err)
	if list := tr.Ragged(time.Now().Add(time.Hour), 10); !slices.Contains(list, f) {
		t.Error("the file is not noted")
	}
	if worn, _, err := tr.Worn(t.Context(), f, 0, Usual); len(worn) != 1 || err != nil {
		t.Errorf("%v %v", worn, err)
	}
	settled(t, tr)
}

// A chunk that somebody made of single bytes is rewritten in parts.
func TestWornIsBounded(t *testing.T) {
	const most = wornMost + 500
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	var c posix.Commit
	for i := range uint64(most) {
		s := posix.Slice{File: f, ID: posix.SliceID{1, byte(i), byte(i >> 8), byte(i >> 16)}, Len: 1}
		c.Extents = append(c.Extents, posix.Extent{Off: i, Len: 1, Slice: s})
	}
	_, err := v.Commit(t.Context(), 1, c)
	ok(t, err)
	var sizes []int
	for from, round := uint64(0), byte(0); ; round++ {
		worn, next, err := tr.Worn(t.Context(), f, from, Usual)
		ok(t, err)
		if len(worn) > 0 {
			sizes = append(sizes, len(worn))
			done, err := tr.Repack(t.Context(), f, worn, posix.Slice{File: f, ID: posix.SliceID{2, round}, Len: uint32(len(worn))})
			if !done || err != nil {
				t.Fatal(done, err)
			}
		}
		if from = next; next == 0 {
			break
		}
	}
	if !slices.Equal(sizes, []int{wornMost, most - wornMost}) {
		t.Errorf("%v extents were rewritten", sizes)
	}
	if m, _, err := v.Layout(t.Context(), 1, 0, most); len(m) != 2 || err != nil {
		t.Errorf("%d extents are left, %v", len(m), err)
	}
	well(t, tr)
}
