package namespace

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// compact rewrites all that is worn of f.
func compact(t *testing.T, tr *Tree, f posix.Ino) {
	t.Helper()
	for from, round := uint64(0), 0; ; round++ {
		worn, next, err := tr.Worn(t.Context(), f, from, Usual)
		ok(t, err)
		if len(worn) > 0 {
			s := posix.Slice{File: f, ID: posix.SliceID{0xcc, byte(round), byte(round >> 8)}}
			copy(s.ID[4:], worn[0].Slice.ID[:])
			for _, e := range worn {
				s.Len += e.Len
			}
			done, err := tr.Repack(t.Context(), f, worn, s)
			ok(t, err)
			if !done {
				t.Fatal("the file has changed")
			}
		}
		if from = next; next == 0 {
			return
		}
	}
}

// storedBytes is what all slices take that are named, and those that are not.
func storedBytes(t *testing.T, tr *Tree) (named, freed uint64) {
	t.Helper()
	ok(t, tr.eng.View(t.Context(), func(r engine.Reader) error {
		err := r.Scan([]byte{keyRef}, []byte{keyRef + 1}, func(_, v []byte) bool {
			f, err := decodeRef(v)
			ok(t, err)
			named += uint64(f.len)
			return true
		})
		ok(t, err)
		return r.Scan([]byte{keyFreed}, []byte{keyFreed + 1}, func(_, v []byte) bool {
			f, err := decodeFreed(v)
			ok(t, err)
			freed += uint64(f.len)
			return true
		})
	}))
	return named, freed
}

func sliceID(n int) posix.SliceID { return posix.SliceID{1, byte(n), byte(n >> 8), byte(n >> 16)} }

// A client that stores much, and names little of it, is charged for what it
// stores: whatever it does, that is at most twice what its quota counts.
func TestQuotaCountsWhatIsStored(t *testing.T) {
	const limit, slice = 1 << 20, 64 << 10
	for name, way := range map[string]func(i uint64) posix.Extent{
		"a byte of each slice, far from each other": func(i uint64) posix.Extent {
			return posix.Extent{Off: i * posix.ChunkSize, Len: 1, Slice: posix.Slice{Len: slice}}
		},
		"a byte of each slice, side by side": func(i uint64) posix.Extent {
			return posix.Extent{Off: i, Len: 1, From: 7, Slice: posix.Slice{Len: slice}}
		},
		"each slice written over but for its first byte": func(i uint64) posix.Extent {
			return posix.Extent{Off: i, Len: slice, Slice: posix.Slice{Len: slice}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := open(t, mem.New(), Config{})
			v := tr.As(super).In(1)
			d := mkdir(t, v, 1, "d")
			ok(t, tr.SetQuota(t.Context(), dirQuota(d), Usage{Bytes: limit}))
			countAll(t, tr)
			o, err := v.Create(t.Context(), d, "f", 0o644, 0, 1, posix.OpenWrite)
			ok(t, err)
			refused := 0
			for i := range 100 {
				e := way(uint64(i))
				e.Slice.File, e.Slice.ID = o.Attr.Ino, sliceID(i)
				if _, err := v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{e}}); err != nil {
					no(t, posix.ENOSPC, err)
					refused++
				}
			}
			if named, _ := storedBytes(t, tr); named > 2*limit || refused == 0 {
				t.Errorf("%d bytes are stored under a quota of %d; %d of 100 were refused", named, limit, refused)
			}
			ino, wasteful := v.Wasteful(t.Context(), 1)
			if ino != o.Attr.Ino || !wasteful {
				t.Error("nobody would compact it")
			}
			compact(t, tr, ino)
			a, err := v.Getattr(t.Context(), ino)
			ok(t, err)
			uses(t, tr, dirQuota(d), a.Alloc, 2)
			if named, _ := storedBytes(t, tr); named != a.Alloc {
				t.Errorf("%d bytes are stored of %d", named, a.Alloc)
			}
		})
	}
}

// Who writes over his own bytes without end is compacted without waiting for
// the end.
func TestWastefulFileIsDue(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tr := open(t, mem.New(), Config{Now: func() time.Time { return now }})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	write(t, v, 1, f, 1, 0, 4<<20)
	write(t, v, 1, f, 2, 0, 1<<20)
	if list := tr.Ragged(now, 1); len(list) != 0 {
		t.Error("it is due, though it covers most of what it stores")
	}
	write(t, v, 1, f, 3, 0, 4<<20-1)
	write(t, v, 1, f, 4, 0, 4<<20-2)
	if list := tr.Ragged(now, 1); len(list) != 1 {
		t.Error("it is not due")
	}
}

// The same 4 KiB, over and over: each slice dies whole, and what waits to be
// deleted is bounded, however young it is.
func TestQuotaOfTheSameBytes(t *testing.T) {
	const times, most = 20_000, 1 << 20
	tr := open(t, mem.New(), Config{FreedMost: most, FreedAge: time.Hour})
	v := tr.As(super).In(1)
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(t.Context(), dirQuota(d), Usage{Bytes: 4096}))
	countAll(t, tr)
	o, err := v.Create(t.Context(), d, "f", 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	for i := range times {
		s := posix.Slice{File: o.Attr.Ino, ID: sliceID(i), Len: 4096}
		_, err := v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Len: 4096, Slice: s}}})
		ok(t, err)
		if tr.Backlog() { // as the server does
			list, err := tr.Freed(t.Context(), 64)
			ok(t, err)
			ok(t, tr.Forget(t.Context(), list))
		}
	}
	if named, freed := storedBytes(t, tr); named != 4096 || freed > 2*most+4096 || tr.backlog.Load() != int64(freed) {
		t.Errorf("%d bytes are stored, and %d wait to be deleted: %d are counted", named, freed, tr.backlog.Load())
	}
	uses(t, tr, dirQuota(d), 4096, 2)
	if again := open(t, tr.eng, Config{}); again.backlog.Load() != tr.backlog.Load() {
		t.Errorf("%d wait after a restart, %d before", again.backlog.Load(), tr.backlog.Load())
	}
}

// Nobody is kept from giving back, though what is left is charged by what it
// stores; and random use of files never comes to count what there is not.
func TestDeadBytes(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tr := open(t, mem.New(), Config{})
		v := tr.As(super).In(1)
		d := mkdir(t, v, 1, "d")
		q := dirQuota(d)
		ok(t, tr.SetQuota(t.Context(), q, Usage{Bytes: 1 << 40}))
		countAll(t, tr)
		var inos [2]posix.Ino
		for i := range inos {
			o, err := v.Create(t.Context(), d, fmt.Sprint(i), 0o644, 0, posix.Handle(i+1), posix.OpenRead|posix.OpenWrite)
			ok(t, err)
			inos[i] = o.Attr.Ino
		}
		for i := range 300 {
			f := rnd.IntN(2)
			h, off, n := posix.Handle(f+1), rnd.Uint64N(64<<10), 1+rnd.Uint32N(16<<10)
			var err error
			switch rnd.IntN(6) {
			case 0:
				ok(t, tr.SetQuota(t.Context(), q, Usage{Bytes: 1})) // far too little
				_, err = v.Allocate(t.Context(), h, posix.AllocPunchHole|posix.AllocKeepSize, off, uint64(n))
				ok(t, err)
				_, err = v.Setattr(t.Context(), inos[f], posix.SetAttr{Set: posix.SetSize, Size: 60 << 10})
				ok(t, err)
				ok(t, tr.SetQuota(t.Context(), q, Usage{Bytes: 1 << 40}))
			case 1:
				_, _, err = v.CopyRange(t.Context(), h, off, posix.Handle(2-f), rnd.Uint64N(64<<10), uint64(n))
			case 2:
				compact(t, tr, inos[f])
			default:
				s := posix.Slice{File: inos[f], ID: sliceID(i + 1), Len: n + rnd.Uint32N(4096)}
				_, err = v.Commit(t.Context(), h, posix.Commit{Extents: []posix.Extent{{Off: off, Len: n, Slice: s}}})
			}
			ok(t, err)
		}
		well(t, tr)
		sameInMemory(t, tr)
		for i := range inos {
			ok(t, v.Unlink(t.Context(), d, fmt.Sprint(i)))
			ok(t, v.Close(t.Context(), posix.Handle(i+1)))
		}
		for did := 1; did > 0; {
			var err error
			did, err = tr.Reclaim(t.Context(), 100)
			ok(t, err)
		}
		uses(t, tr, q, 0, 1)
	}
}
