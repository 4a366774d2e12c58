package namespace

import (
	"slices"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// shared makes file "a" of one slice and file "b" that shares it.
func shared(t *testing.T, v View) (a, b posix.Ino, s posix.Slice) {
	t.Helper()
	a, b = create(t, v, "a", 1), create(t, v, "b", 2)
	s = write(t, v, 1, a, 1, 0, 100)
	if n, _, err := v.CopyRange(t.Context(), 1, 0, 2, 0, 100); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	return a, b, s
}

func freedNow(t *testing.T, tr *Tree) []posix.Slice {
	t.Helper()
	list, err := tr.Freed(t.Context(), 100)
	ok(t, err)
	return list
}

// What two files share is freed with the last of them, whichever that is.
func TestSharedOutlivesEither(t *testing.T) {
	for _, first := range []string{"a", "b"} {
		tr := open(t, mem.New(), Config{})
		v := tr.As(super).In(1)
		_, _, s := shared(t, v)
		ok(t, tr.EndSession(t.Context(), 1))
		last := map[string]string{"a": "b", "b": "a"}[first]
		ok(t, v.Unlink(t.Context(), 1, first))
		reclaimAll(t, tr)
		if list := freedNow(t, tr); len(list) != 0 {
			t.Errorf("%s removed: %v freed, and %s names it", first, list, last)
		}
		named, err := tr.Named(t.Context(), s.BlockID(0))
		if !named || err != nil {
			t.Errorf("%s removed: named is %v, %v", first, named, err)
		}
		ok(t, v.Unlink(t.Context(), 1, last))
		reclaimAll(t, tr)
		if list := freedNow(t, tr); !slices.Equal(list, []posix.Slice{s}) {
			t.Errorf("both removed: %v freed, want %v", list, s)
		}
		ok(t, tr.Forget(t.Context(), []posix.Slice{s}))
		settled(t, tr)
	}
}

func TestOrigins(t *testing.T) {
	disk := mem.NewDisk()
	tr := open(t, disk.Open(), Config{})
	v := tr.As(super).In(1)
	a, b, _ := shared(t, v)
	origins := func(ino posix.Ino, want ...posix.Ino) {
		t.Helper()
		got, err := tr.Origins(t.Context(), ino)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("origins of %d: %v %v, want %v", ino, got, err, want)
		}
	}
	origins(a)
	origins(b, a)
	c := create(t, v, "c", 3)
	write(t, v, 3, c, 2, 0, 10)
	_, _, err := v.CopyRange(t.Context(), 2, 0, 3, 50, 10)
	ok(t, err)
	origins(c, a) // the slice is a's, wherever it came from
	_, _, err = v.CopyRange(t.Context(), 3, 0, 2, 50, 60)
	ok(t, err)
	origins(b, a, c)
	_, _, err = v.CopyRange(t.Context(), 2, 0, 1, 0, 60)
	ok(t, err)
	origins(a, c)    // and not itself
	origins(1 << 40) // what is gone has none
	well(t, tr)

	tr = open(t, disk.Open(), Config{})
	origins(b, a, c)
	ok(t, tr.Reopen(t.Context(), 1, 0, b, 2, posix.OpenWrite))
	v = tr.As(super).In(1)
	_, err = v.Setattr(t.Context(), b, posix.SetAttr{Set: posix.SetSize, Size: 1})
	ok(t, err)
	origins(b, a, c) // some may be left
	_, err = v.Open(t.Context(), b, 9, posix.OpenWrite|posix.OpenTrunc)
	ok(t, err)
	origins(b)
	settled(t, tr)
}

// Fsck tells of a slice that no capability would open.
func TestFsckOrigins(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	_, b, _ := shared(t, v)
	_, err := tr.As(super).run(t.Context(), func(x *txn) error {
		n, err := x.inode(b)
		n.origins, n.dirty = nil, true
		return err
	})
	ok(t, err)
	found, err := tr.Fsck(t.Context())
	if err != nil || len(found) != 1 {
		t.Errorf("%q %v", found, err)
	}
}

// A slice is handed out only when readers of an older layout had their time.
func TestFreedAge(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	tr := open(t, mem.New(), Config{Now: func() time.Time { return now }, FreedAge: 30 * time.Second})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	var slices []posix.Slice
	for i := range byte(3) {
		slices = append(slices, write(t, v, 1, f, 1+i, 0, 10))
		now = now.Add(10 * time.Second) // the next write frees this slice
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {9 * time.Second, 0}, {10 * time.Second, 1}, {19 * time.Second, 1}, {20 * time.Second, 2}, {time.Hour, 2}} {
		at := now
		now = now.Add(c.after)
		if got := freedNow(t, tr); len(got) != c.want {
			t.Errorf("after %v: %v freed, want %d", c.after, got, c.want)
		}
		now = at
	}
	now = now.Add(10 * time.Second)
	if got := freedNow(t, tr); len(got) != 1 || got[0] != slices[0] {
		t.Errorf("%v first, want %v", got, slices[0])
	}
}

// A file without a name that was open when the server died can still be given
// one by its session, and is swept if that does not come back.
func TestTmpfileOverCrash(t *testing.T) {
	disk := mem.NewDisk()
	tr := open(t, disk.Open(), Config{})
	v := tr.As(super).In(1)
	tmp := func(h posix.Handle) posix.Ino {
		o, err := v.Tmpfile(t.Context(), 1, 0o600, 0, h, posix.OpenWrite)
		ok(t, err)
		write(t, v, h, o.Attr.Ino, byte(h), 0, 10)
		return o.Attr.Ino
	}
	kept, left := tmp(1), tmp(2)
	reclaimAll(t, tr)
	well(t, tr)

	tr = open(t, disk.Open(), Config{})
	v = tr.As(super).In(1)
	ok(t, tr.Reopen(t.Context(), 1, 0, kept, 1, posix.OpenWrite))
	_, err := v.Link(t.Context(), left, 1, "left")
	no(t, posix.ENOENT, err)
	tr.Recovered()
	reclaimAll(t, tr)
	_, err = v.Getattr(t.Context(), left)
	no(t, posix.ESTALE, err)
	a, err := v.Link(t.Context(), kept, 1, "kept")
	if err != nil || a.Nlink != 1 {
		t.Fatal(a, err)
	}
	ok(t, v.Close(t.Context(), 1))
	reclaimAll(t, tr)
	if a, err = v.Lookup(t.Context(), 1, "kept"); err != nil || a.Ino != kept || a.Size != 10 {
		t.Error(a, err)
	}
	settled(t, tr)
}

// To give a name and to sweep exclude each other, whoever comes first.
func TestRaceLinkSweep(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	linked := 0
	for i := range 200 {
		o, err := v.Tmpfile(t.Context(), 1, 0o600, 0, 1, posix.OpenWrite)
		ok(t, err)
		for j := range byte(5) {
			s := posix.Slice{File: o.Attr.Ino, ID: posix.SliceID{1, j}, Len: 10}
			_, err = v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Off: uint64(j) * 10, Len: 10, Slice: s}}})
			ok(t, err)
		}
		done := make(chan error)
		go func() {
			_, err := v.Link(t.Context(), o.Attr.Ino, 1, "f")
			done <- err
		}()
		ok(t, v.Close(t.Context(), 1))
		for n := 1; n > 0; {
			n, err = tr.Reclaim(t.Context(), 2)
			ok(t, err)
		}
		if err := <-done; err == nil {
			linked++
			a, err := v.Lookup(t.Context(), 1, "f")
			if err != nil || a.Alloc != 50 || a.Nlink != 1 {
				t.Fatalf("round %d: %+v %v", i, a, err)
			}
			ok(t, v.Unlink(t.Context(), 1, "f"))
		}
		well(t, tr)
	}
	t.Logf("%d of 200 were given a name", linked)
	settled(t, tr)
}
