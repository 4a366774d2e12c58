package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// Every changing operation, sent again after a crash that came between its
// commit and its answer: it is applied once, and answers the same inode.
func TestOnceOverCrash(t *testing.T) {
	disk := mem.NewDisk()
	tr := open(t, disk.Open(), Config{})
	seq := uint64(0)
	h := posix.Handle(1)
	view := func() View { return tr.As(super).In(9).Once(3, seq) }
	ctx := t.Context()
	d, err := tr.As(super).Mkdir(ctx, 1, "d", 0o755, 0)
	ok(t, err)
	f := create(t, tr.As(super).In(9), "f", h)
	restart := func() {
		tr = open(t, disk.Open(), Config{})
		ok(t, tr.Reopen(ctx, 9, 0, f, h, posix.OpenRead|posix.OpenWrite))
	}
	ext := func(id byte) posix.Commit {
		s := posix.Slice{File: f, ID: posix.SliceID{id}, Len: 10}
		return posix.Commit{Extents: []posix.Extent{{Len: 10, Slice: s}}}
	}
	for _, c := range []struct {
		name string
		do   func(v View) (posix.Attr, error)
	}{
		{"mkdir", func(v View) (posix.Attr, error) { return v.Mkdir(ctx, d.Ino, "a", 0o755, 0) }},
		{"mknod", func(v View) (posix.Attr, error) { return v.Mknod(ctx, d.Ino, "b", 0o644, 0, 0) }},
		{"symlink", func(v View) (posix.Attr, error) { return v.Symlink(ctx, d.Ino, "c", "x") }},
		{"link", func(v View) (posix.Attr, error) { return v.Link(ctx, f, d.Ino, "l") }},
		{"rename", func(v View) (posix.Attr, error) { return posix.Attr{}, v.Rename(ctx, d.Ino, "a", d.Ino, "e", 0) }},
		{"exchange", func(v View) (posix.Attr, error) {
			return posix.Attr{}, v.Rename(ctx, d.Ino, "b", d.Ino, "e", posix.RenameExchange)
		}},
		{"rmdir", func(v View) (posix.Attr, error) { return posix.Attr{}, v.Rmdir(ctx, d.Ino, "b") }},
		{"unlink", func(v View) (posix.Attr, error) { return posix.Attr{}, v.Unlink(ctx, d.Ino, "c") }},
		{"create", func(v View) (posix.Attr, error) {
			o, err := v.Create(ctx, d.Ino, "n", 0o644, 0, 2, posix.OpenWrite|posix.OpenExcl)
			return o.Attr, err
		}},
		{"tmpfile", func(v View) (posix.Attr, error) {
			o, err := v.Tmpfile(ctx, d.Ino, 0o644, 0, 7, posix.OpenWrite)
			return o.Attr, err
		}},
		{"commit", func(v View) (posix.Attr, error) { return v.Commit(ctx, h, ext(1)) }},
		{"copyrange", func(v View) (posix.Attr, error) {
			n, a, err := v.CopyRange(ctx, h, 2, h, 100, 5)
			if err == nil && n != 5 {
				t.Errorf("%d bytes copied, want 5", n)
			}
			return a, err
		}},
		{"allocate", func(v View) (posix.Attr, error) {
			return v.Allocate(ctx, h, posix.AllocPunchHole|posix.AllocKeepSize, 1, 3)
		}},
		{"setattr", func(v View) (posix.Attr, error) {
			return v.Setattr(ctx, f, posix.SetAttr{Set: posix.SetSize | posix.SetMode, Mode: 0o600, Size: 5})
		}},
		{"open", func(v View) (posix.Attr, error) {
			o, err := v.Open(ctx, f, 3, posix.OpenWrite|posix.OpenTrunc)
			return o.Attr, err
		}},
		{"create of what exists", func(v View) (posix.Attr, error) {
			o, err := v.Create(ctx, d.Ino, "l", 0o644, 0, 4, posix.OpenWrite|posix.OpenTrunc)
			return o.Attr, err
		}},
		{"setxattr", func(v View) (posix.Attr, error) {
			return posix.Attr{}, v.Setxattr(ctx, f, "user.a", nil, posix.XattrCreate)
		}},
		{"setxattr of an ACL", func(v View) (posix.Attr, error) {
			return posix.Attr{}, v.Setxattr(ctx, f, acl.XattrAccess, acl.EncodeXattr(someACL()), 0)
		}},
		{"removexattr of an ACL", func(v View) (posix.Attr, error) {
			return posix.Attr{}, v.Removexattr(ctx, f, acl.XattrAccess)
		}},
		{"removexattr", func(v View) (posix.Attr, error) { return posix.Attr{}, v.Removexattr(ctx, f, "user.a") }},
	} {
		seq++
		a, err := c.do(view())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		restart()
		before := dump(t, tr)
		again, err := c.do(view())
		if err != nil || again != a {
			t.Errorf("%s again: %+v %v, want %+v", c.name, again, err, a)
		}
		if after := dump(t, tr); after != before {
			t.Errorf("%s again changed\n%q\nto\n%q", c.name, before, after)
		}
		if c.name == "create" {
			_, err := tr.opens.get(9, 2)
			ok(t, err) // it is open too
		}
		seq--
		_, err = c.do(view())
		if seq > 0 && c.name != "open" { // 0 is no protection, and what is open can be opened again
			no(t, posix.ESTALE, err)
		}
		seq++
	}
	// Another operation under the number of the last is no client's doing.
	_, err = view().Mkdir(ctx, 1, "x", 0o755, 0)
	no(t, posix.EPROTO, err)
	well(t, tr)
	ok(t, tr.EndSession(ctx, 9))
	if n := count1(t, tr, keyReply); n != 0 {
		t.Errorf("%d replies are left", n)
	}
}

// A failure leaves no trace: the retry is a new try.
func TestOnceFailure(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1).Once(1, 5)
	no(t, posix.ENOENT, v.Unlink(t.Context(), 1, "f"))
	create(t, tr.As(super).In(1), "f", 1)
	ok(t, v.Unlink(t.Context(), 1, "f"))
	ok(t, v.Unlink(t.Context(), 1, "f"))
	no(t, posix.ENOENT, tr.As(super).In(1).Once(2, 5).Unlink(t.Context(), 1, "f")) // another slot
	no(t, posix.ENOENT, tr.As(super).In(2).Once(1, 5).Unlink(t.Context(), 1, "f")) // another session
	no(t, posix.ESTALE, v.Once(1, 4).Unlink(t.Context(), 1, "f"))
	no(t, posix.ENOENT, v.Once(1, 6).Unlink(t.Context(), 1, "f"))

	// What was made and is gone since can't be answered any more.
	_, err := v.Once(1, 7).Mkdir(t.Context(), 1, "d", 0o755, 0)
	ok(t, err)
	ok(t, v.Once(1, 0).Rmdir(t.Context(), 1, "d"))
	_, err = v.Once(1, 7).Mkdir(t.Context(), 1, "d", 0o755, 0)
	no(t, posix.ESTALE, err)
	settled(t, tr)
}

// A Create that cut a file and is sent again when others have written to it
// answers what the file is made of now, and not that it is empty.
func TestOnceCreateAnswersLayout(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	for _, flags := range []posix.OpenFlags{posix.OpenWrite | posix.OpenTrunc, posix.OpenWrite} {
		name := map[bool]string{true: "f", false: "g"}[flags&posix.OpenTrunc != 0]
		h := posix.Handle(10 + flags)
		once := v.Once(uint32(h), 1)
		o, err := once.Create(t.Context(), 1, name, 0o644, 0, h, flags)
		ok(t, err)
		if name == "f" && o.Attr.Ino != f {
			t.Fatalf("opened %d, want %d", o.Attr.Ino, f)
		}
		write(t, v, h, o.Attr.Ino, byte(h), 0, 10)
		o, err = once.Create(t.Context(), 1, name, 0o644, 0, h, flags)
		if err != nil || o.Attr.Size != 10 || len(o.Extents) != 1 {
			t.Errorf("%s: %+v %v", name, o, err)
		}
	}
	settled(t, tr)
}
