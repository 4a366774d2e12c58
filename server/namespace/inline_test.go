package namespace

import (
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// bringing is a commit of data at off that brings its bytes.
func bringing(f posix.Ino, id byte, off uint64, data []byte) posix.Commit {
	s := posix.Slice{File: f, ID: posix.SliceID{id}, Len: uint32(len(data))}
	return posix.Commit{
		Extents: []posix.Extent{{Off: off, Len: s.Len, Slice: s}},
		Inline:  []posix.Inline{{Slice: s.ID, Data: data}},
	}
}

// What a commit brings is there until it is moved, or until its slice is freed
// and forgotten; the tree is well all the while.
func TestInline(t *testing.T) {
	now := time.Unix(1000, 0)
	tr := open(t, mem.New(), Config{Now: func() time.Time { return now }})
	ctx := t.Context()
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	for id, text := range []string{"first", "second"} {
		_, err := v.Commit(ctx, 1, bringing(f, byte(id+1), 0, []byte(text)))
		ok(t, err)
	}
	has := func(id byte, want string) {
		t.Helper()
		got, there, err := tr.Inline(ctx, posix.BlockID{File: f, Slice: posix.SliceID{id}})
		ok(t, err)
		if there != (want != "") || string(got) != want {
			t.Errorf("block %d: %q %v, want %q", id, got, there, want)
		}
	}
	has(1, "first") // covered, and kept for who has an older layout
	has(2, "second")
	if _, there, err := tr.Inline(ctx, posix.BlockID{File: f, Slice: posix.SliceID{2}, Index: 1}); there || err != nil {
		t.Error("a second block", err)
	}
	well(t, tr)

	now = now.Add(time.Hour)
	freed, err := tr.Freed(ctx, 10)
	ok(t, err)
	if len(freed) != 1 || freed[0].ID != (posix.SliceID{1}) {
		t.Fatal(freed)
	}
	ok(t, tr.Forget(ctx, freed))
	has(1, "")
	list, err := tr.Inlined(ctx, 1)
	ok(t, err)
	if len(list) != 1 || string(list[0].Data) != "second" || list[0].ID.File != f {
		t.Fatal(list)
	}
	ok(t, tr.Outline(ctx, list))
	has(2, "")
	well(t, tr)
}

func TestInlineRefused(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	ctx := t.Context()
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	_, err := v.Commit(ctx, 1, bringing(f, 1, 0, []byte("bytes")))
	ok(t, err)
	big := make([]byte, posix.InlineMax)
	for _, c := range []struct {
		name   string
		want   posix.Errno
		commit posix.Commit
		change func(*posix.Commit)
	}{
		{"other bytes for a slice that is named", posix.EINVAL, bringing(f, 1, 0, []byte("other")), nil},
		{"a slice that it does not name", posix.EINVAL, bringing(f, 2, 0, []byte("x")), func(c *posix.Commit) { c.Inline[0].Slice[1] = 1 }},
		{"the same slice twice", posix.EINVAL, bringing(f, 2, 0, []byte("x")), func(c *posix.Commit) { c.Inline = append(c.Inline, c.Inline[0]) }},
		{"a byte too few", posix.EINVAL, bringing(f, 2, 0, []byte("xyz")), func(c *posix.Commit) { c.Inline[0].Data = []byte("xy") }},
		{"another file's slice", posix.EINVAL, bringing(f+1, 2, 0, []byte("x")), nil},
		{"the beginning of a long slice", posix.EINVAL, bringing(f, 2, 0, []byte("x")), func(c *posix.Commit) { c.Extents[0].Slice.Len = 2 * posix.BlockSize }},
		{"no extent", posix.EINVAL, bringing(f, 2, 0, []byte("x")), func(c *posix.Commit) { c.Extents = nil }},
		{"a hole", posix.EINVAL, bringing(f, 2, 0, []byte("x")), func(c *posix.Commit) { c.Extents[0].Slice = posix.Slice{} }},
		{"too much", posix.E2BIG, bringing(f, 2, 0, append(big, 0)), nil},
	} {
		if c.change != nil {
			c.change(&c.commit)
		}
		_, err := v.Commit(ctx, 1, c.commit)
		if posix.ErrnoOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	a, err := v.Commit(ctx, 1, bringing(f, 2, 5, big))
	ok(t, err)
	if a.Size != uint64(5+len(big)) {
		t.Error(a.Size)
	}
	got, _, err := tr.Inline(ctx, posix.BlockID{File: f, Slice: posix.SliceID{1}})
	ok(t, err)
	if string(got) != "bytes" {
		t.Errorf("%q", got)
	}
	well(t, tr)
}

// A commit that is sent again brings nothing again, also when its block has
// been moved or its slice freed meanwhile.
func TestInlineOnce(t *testing.T) {
	tr := open(t, mem.New(), Config{FreedAge: -1})
	ctx := t.Context()
	f := create(t, tr.As(super).In(9), "f", 1)
	v := func() View { return tr.As(super).In(9).Once(3, 1) }
	first, err := v().Commit(ctx, 1, bringing(f, 1, 0, []byte("bytes")))
	ok(t, err)
	list, err := tr.Inlined(ctx, 100)
	ok(t, err)
	ok(t, tr.Outline(ctx, list))
	again, err := v().Commit(ctx, 1, bringing(f, 1, 0, []byte("bytes")))
	ok(t, err)
	if again != first {
		t.Errorf("%+v, first %+v", again, first)
	}
	if list, err := tr.Inlined(ctx, 100); len(list) != 0 || err != nil {
		t.Error(list, err)
	}
	well(t, tr)
}

func TestFsckFindsInline(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	ctx := t.Context()
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	_, err := v.Commit(ctx, 1, bringing(f, 1, 0, []byte("bytes")))
	ok(t, err)
	ok(t, tr.eng.Update(ctx, func(tx engine.Tx) error {
		tx.Put(sliceName{f, posix.SliceID{1}}.key(keyInline), []byte("byte"))
		tx.Put(sliceName{f, posix.SliceID{7}}.key(keyInline), []byte("stray"))
		return nil
	}))
	found, err := tr.Fsck(ctx)
	ok(t, err)
	all := strings.Join(found, "\n")
	if len(found) != 2 || !strings.Contains(all, "has 4 bytes, the slice 5") || !strings.Contains(all, "nothing names it") {
		t.Error(all)
	}
}
