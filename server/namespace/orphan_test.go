package namespace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// dump is the whole store but for what every run changes.
func dump(t *testing.T, tr *Tree) (s string) {
	t.Helper()
	ok(t, tr.eng.View(t.Context(), func(r engine.Reader) error {
		return r.Scan(nil, nil, func(k, v []byte) bool {
			if k[0] != keyMeta {
				s += fmt.Sprintf("%q=%x\n", k, v)
			}
			return true
		})
	}))
	return s
}

func reclaimAll(t *testing.T, tr *Tree) (did int) {
	t.Helper()
	for {
		n, err := tr.Reclaim(t.Context(), 3)
		ok(t, err)
		well(t, tr)
		if n == 0 {
			return did
		}
		did += n
	}
}

// A file that was open and had no name when the server died lives until its
// session had time to come back, and longer if it did.
func TestOrphansOverCrash(t *testing.T) {
	disk := mem.NewDisk()
	tr := open(t, disk.Open(), Config{})
	v := tr.As(super).In(1)
	kept, left := create(t, v, "kept", 1), create(t, v, "left", 2)
	for id := range byte(10) {
		write(t, v, 1, kept, 1+id, uint64(id)*10, 10)
		write(t, v, 2, left, 101+id, uint64(id)*10, 10)
	}
	ok(t, v.Unlink(t.Context(), 1, "kept"))
	ok(t, v.Unlink(t.Context(), 1, "left"))

	tr = open(t, disk.Open(), Config{})
	v = tr.As(super).In(1)
	if n, err := tr.Reclaim(t.Context(), 100); n != 0 || err != nil {
		t.Fatalf("reclaimed %d in the time of grace, %v", n, err)
	}
	_, err := v.Open(t.Context(), kept, 5, posix.OpenRead) // that is no reclaim
	no(t, posix.ESTALE, err)
	ok(t, tr.Reopen(t.Context(), 1, 0, kept, 1, posix.OpenRead|posix.OpenWrite))
	no(t, posix.ESTALE, tr.Reopen(t.Context(), 1, 0, 1<<40, 9, posix.OpenRead))
	tr.Recovered()
	no(t, posix.ESTALE, tr.Reopen(t.Context(), 1, 0, left, 2, posix.OpenRead))
	if n := reclaimAll(t, tr); n != 11 {
		t.Errorf("did %d, want 10 extents and an inode", n)
	}
	_, err = v.Getattr(t.Context(), left)
	no(t, posix.ESTALE, err)
	m, _, err := v.Layout(t.Context(), 1, 0, 1000)
	if err != nil || len(m) != 10 {
		t.Fatalf("%v %v", m, err)
	}
	ok(t, v.Close(t.Context(), 1))
	reclaimAll(t, tr)
	_, err = v.Getattr(t.Context(), kept)
	no(t, posix.ESTALE, err)
	freed, err := tr.Freed(t.Context(), 100)
	ok(t, err)
	if len(freed) != 20 {
		t.Errorf("%d slices freed, want 20", len(freed))
	}
	settled(t, tr)
}

// In the time of grace a file that is unlinked may be open in a session that
// has not come back yet.
func TestUnlinkInGrace(t *testing.T) {
	disk := mem.NewDisk()
	v := open(t, disk.Open(), Config{}).As(super).In(1)
	f := create(t, v, "f", 1)
	tr := open(t, disk.Open(), Config{})
	ok(t, tr.As(super).In(2).Unlink(t.Context(), 1, "f"))
	ok(t, tr.Reopen(t.Context(), 1, 0, f, 1, posix.OpenRead))
	tr.Recovered()
	reclaimAll(t, tr)
	a, err := tr.As(super).Getattr(t.Context(), f)
	if err != nil || a.Nlink != 0 {
		t.Fatalf("%+v %v", a, err)
	}
	settled(t, tr)
}

// The last close of the last session counts.
func TestOrphanOfTwoSessions(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	one, two := tr.As(super).In(1), tr.As(super).In(2)
	f := create(t, one, "f", 1)
	_, err := two.Open(t.Context(), f, 1, posix.OpenRead)
	ok(t, err)
	ok(t, one.Unlink(t.Context(), 1, "f"))
	ok(t, tr.EndSession(t.Context(), 1))
	if n := reclaimAll(t, tr); n != 0 {
		t.Fatal("reclaimed what is open")
	}
	ok(t, two.Close(t.Context(), 1))
	if n := reclaimAll(t, tr); n != 1 {
		t.Fatalf("did %d", n)
	}
	settled(t, tr)
}

// Removed directories and files with many xattrs.
func TestOrphanKinds(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	for i := range 40 {
		ok(t, v.Setxattr(t.Context(), f, fmt.Sprint("user.", i), nil, 0))
	}
	ok(t, v.Close(t.Context(), 1))
	ok(t, v.Unlink(t.Context(), 1, "f"))
	d, err := v.Mkdir(t.Context(), 1, "d", 0o755, 0)
	ok(t, err)
	_, err = v.Open(t.Context(), d.Ino, 2, posix.OpenRead|posix.OpenDir)
	ok(t, err)
	ok(t, v.Rmdir(t.Context(), 1, "d"))
	if n := count1(t, tr, keyOrphan); n != 2 {
		t.Fatalf("%d orphans", n)
	}
	settled(t, tr)
	if n := count1(t, tr, keyXattr); n != 0 {
		t.Errorf("%d xattrs are left", n)
	}
}

func TestFreed(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	s := write(t, v, 1, f, 1, 0, 100)
	named := func(s posix.Slice, want bool) {
		t.Helper()
		if got, err := tr.Named(t.Context(), s.BlockID(0)); got != want || err != nil {
			t.Errorf("slice %s is named: %v %v", s.ID, got, err)
		}
	}
	named(s, true)
	named(posix.Slice{File: f, ID: posix.SliceID{2}}, false)
	if beside, err := tr.Named(t.Context(), s.BlockID(1)); beside || err != nil {
		t.Errorf("a block beside the slice's is named: %v %v", beside, err)
	}
	write(t, v, 1, f, 2, 40, 10) // the first is in two parts
	named(s, true)
	write(t, v, 1, f, 3, 0, 40)
	named(s, true)
	write(t, v, 1, f, 4, 50, 60)
	named(s, false)
	freed, err := tr.Freed(t.Context(), 10)
	if err != nil || len(freed) != 1 || freed[0] != s {
		t.Fatalf("%v %v, want %v", freed, err, s)
	}
	_, err = v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Len: 10, Slice: s}}})
	no(t, posix.EINVAL, err) // its blocks may be gone
	if freed, err = tr.Freed(t.Context(), 0); err != nil || len(freed) != 0 {
		t.Errorf("%v %v", freed, err)
	}
	ok(t, tr.Forget(t.Context(), []posix.Slice{s}))
	if freed, err = tr.Freed(t.Context(), 10); err != nil || len(freed) != 0 {
		t.Errorf("%v %v", freed, err)
	}
	// What a commit names and covers itself is freed at once.
	a := posix.Slice{File: f, ID: posix.SliceID{9}, Len: 5}
	b := posix.Slice{File: f, ID: posix.SliceID{10}, Len: 5}
	_, err = v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Len: 5, Slice: a}, {Len: 5, Slice: b}}})
	ok(t, err)
	named(a, false)
	named(b, true)
	settled(t, tr)
}

// A truncation of more extents than one transaction takes, cut off by a crash
// after any of its transactions: the file is one that a shorter truncation
// could have left, and the retry brings it to its end.
func TestLongTruncationOverCrash(t *testing.T) {
	const extents, size = 50, 50 * 10
	for _, to := range []uint64{0, 5, 10, 11, 250, 499} {
		for crash := 1; crash < 12; crash++ {
			disk := mem.NewDisk()
			tr := open(t, disk.Open(), Config{})
			v := tr.As(super).In(1)
			f := create(t, v, "f", 1)
			for id := range byte(extents) {
				write(t, v, 1, f, 1+id, uint64(id)*10, 10)
			}
			tr.step = 7
			updates := 0
			ctx, cancel := context.WithCancel(t.Context())
			tr.eng = counting{tr.eng, func() {
				if updates++; updates > crash {
					cancel()
				}
			}}
			set := posix.SetAttr{Set: posix.SetSize, Size: to}
			_, err := v.Once(1, 1).Setattr(ctx, f, set)
			if err != nil {
				no(t, posix.EINTR, err)
			}
			tr = open(t, disk.Open(), Config{})
			tr.step = 7
			well(t, tr)
			a, gerr := tr.As(super).Getattr(t.Context(), f)
			ok(t, gerr)
			if a.Size < to || a.Size > size || a.Alloc != a.Size {
				t.Fatalf("to %d, crash %d: %+v", to, crash, a)
			}
			if err == nil && a.Size != to {
				t.Fatalf("to %d: answered, and has %d", to, a.Size)
			}
			if a, err = tr.As(super).In(1).Once(1, 1).Setattr(t.Context(), f, set); err != nil || a.Size != to || a.Alloc != to {
				t.Fatalf("to %d, crash %d, again: %+v %v", to, crash, a, err)
			}
			settled(t, tr)
		}
	}
}

// counting calls before each update.
type counting struct {
	engine.Engine
	before func()
}

func (e counting) Update(ctx context.Context, f func(engine.Tx) error) error {
	e.before()
	return e.Engine.Update(ctx, f)
}

// Power cuts at every write of a busy life: what is left is well, and holds
// everything that was acknowledged.
func TestPowerCuts(t *testing.T) {
	disk := mem.NewDisk()
	rng := rand.New(rand.NewPCG(1, 2))
	var cuts []*mem.Disk
	var acks []int
	acked := 0
	disk.OnOp(func() {
		cuts = append(cuts, disk.Cut(rng))
		acks = append(acks, acked)
	})
	tr := open(t, disk.Open(), Config{})
	tr.step = 2
	v := tr.As(super).In(1)
	for i := range 30 {
		h := posix.Handle(i + 1)
		f := create(t, v, fmt.Sprint(i), h)
		for id := range byte(5) {
			write(t, v, h, f, 1+id, uint64(id)*10, 10)
		}
		acked = i + 1
		if i%3 == 0 {
			ok(t, v.Unlink(t.Context(), 1, fmt.Sprint(i)))
			ok(t, v.Close(t.Context(), h))
		}
		if i%4 == 0 {
			_, err := tr.Reclaim(t.Context(), 3)
			ok(t, err)
		}
	}
	for i, c := range cuts {
		if i < 4 {
			continue // before there was a namespace
		}
		tr := open(t, c.Open(), Config{})
		well(t, tr)
		for k := range acks[i] {
			a, err := tr.As(super).Lookup(t.Context(), 1, fmt.Sprint(k))
			if k%3 == 0 {
				continue
			}
			if err != nil || a.Size != 50 {
				t.Fatalf("cut %d: file %d: %+v %v", i, k, a, err)
			}
		}
		settled(t, tr)
	}
}
