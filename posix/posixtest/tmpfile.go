package posixtest

import "github.com/wardfs/wardfs/posix"

// testOpenAgain: a handle that is opened again in the same way keeps its right
// and its bytes, whatever became of the mode; in another way, or as another
// caller, it is asked.
func testOpenAgain(e *env) {
	f := e.owned(e.mkfile(1, "f", 0o600), alice, alice.GID)
	h := e.handle()
	_, err := e.as(alice).Open(e.ctx, f, h, rw|cut)
	e.ok(err)
	x := e.write(h, f, 0, 100)
	e.chmod(f, 0)
	for _, flags := range []posix.OpenFlags{rw, rw | cut} {
		o, err := e.as(alice).Open(e.ctx, f, h, flags)
		e.ok(err)
		e.is("size", o.Attr.Size, uint64(100))
		e.sameMap("layout", o.Extents, posix.Map{x})
	}
	_, err = e.as(alice).Open(e.ctx, f, e.handle(), rw)
	e.no("another handle", posix.EACCES, err)
	_, err = e.as(eve).Open(e.ctx, f, h, rw)
	e.no("another caller", posix.EACCES, err)
	e.chmod(f, 0o600)
	_, err = e.as(alice).Open(e.ctx, f, h, rd)
	e.no("another way", posix.EBADF, err)
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	o, err := e.as(alice).Open(e.ctx, f, h, rw)
	e.ok(err)
	e.is("links", o.Attr.Nlink, uint32(0))
}

func testTmpfile(e *env) {
	d := e.mkdir(1, "d", 0o777|posix.SetGID)
	e.owned(d, alice, staff)
	h := e.handle()
	o, err := e.as(eve).Tmpfile(e.ctx, d, 0o666, 0o022, h, rw)
	e.ok(err)
	f := o.Attr.Ino
	e.is("mode", o.Attr.Mode, posix.TypeReg|0o644)
	e.is("links", o.Attr.Nlink, uint32(0))
	e.is("owner", o.Attr.UID, eve.UID)
	e.is("group of the directory", o.Attr.GID, staff)
	e.is("entries", len(e.list(d, 10)), 0)
	x := e.write(h, f, 0, 10)

	_, err = e.as(eve).Link(e.ctx, f, d, "f")
	e.ok(err)
	e.is("named", e.at(d, "f"), f)
	e.is("links", e.attr(f).Nlink, uint32(1))
	e.ok(e.root.Close(e.ctx, h))
	h = e.open(f, rd)
	e.sameMap("layout", e.layout(h), posix.Map{x})
	e.ok(e.root.Unlink(e.ctx, d, "f"))
	_, err = e.root.Link(e.ctx, f, d, "g")
	e.no("a name after the last is gone", posix.ENOENT, err)

	// Without a name it goes with its last close.
	h = e.handle()
	o, err = e.root.Tmpfile(e.ctx, d, 0o600, 0, h, wr)
	e.ok(err)
	e.write(h, o.Attr.Ino, 0, 10)
	e.ok(e.root.Close(e.ctx, h))
	_, err = e.root.Open(e.ctx, o.Attr.Ino, e.handle(), rd)
	e.no("open after the last close", posix.ESTALE, err)
	_, err = e.root.Link(e.ctx, o.Attr.Ino, d, "g")
	if got := posix.ErrnoOf(err); got != posix.ENOENT && got != posix.ESTALE {
		e.Errorf("a name after the last close: %v", err)
	}
}

func testTmpfileErrors(e *env) {
	d, f := e.mkdir(1, "d", 0o755), e.mkfile(1, "f", 0o644)
	for _, c := range []struct {
		what  string
		want  posix.Errno
		as    posix.Cred
		dir   posix.Ino
		flags posix.OpenFlags
	}{
		{"without w on the directory", posix.EACCES, eve, d, rw},
		{"in a file", posix.ENOTDIR, root, f, rw},
		{"in nothing", posix.ESTALE, root, 1 << 40, rw},
		{"to read alone", posix.EINVAL, root, d, rd},
	} {
		_, err := e.as(c.as).Tmpfile(e.ctx, c.dir, 0o644, 0, e.handle(), c.flags)
		e.no(c.what, c.want, err)
	}
	_, err := e.root.Tmpfile(e.ctx, d, 0o644, 0, 0, rw)
	e.no("no handle", posix.EINVAL, err)
	h := e.open(f, rw)
	_, err = e.root.Tmpfile(e.ctx, d, 0o644, 0, h, rw)
	e.no("a handle in use", posix.EBADF, err)

	h = e.handle()
	o, err := e.root.Tmpfile(e.ctx, d, 0o644, 0, h, rw|posix.OpenExcl)
	e.ok(err)
	_, err = e.root.Link(e.ctx, o.Attr.Ino, d, "f")
	e.no("a name for what shall have none", posix.ENOENT, err)
	e.is("entries", len(e.list(d, 10)), 0)
}

// testRemovedDirectory: one that is open and was removed can be asked about
// through its number, and nothing can be made in it.
func testRemovedDirectory(e *env) {
	d, f := e.mkdir(1, "d", 0o755), e.mkfile(1, "f", 0o644)
	h := e.open(d, rd|dir)
	e.ok(e.root.Rmdir(e.ctx, 1, "d"))
	a := e.attr(d)
	e.is("links", a.Nlink, uint32(0))
	e.is("type", a.Mode.IsDir(), true)
	ents, err := e.root.Readdir(e.ctx, d, h, 0, 10, true)
	e.ok(err)
	e.is("entries", len(ents), 0)
	_, err = e.root.Mkdir(e.ctx, d, "x", 0o755, 0)
	e.no("mkdir", posix.ENOENT, err)
	_, err = e.root.Mknod(e.ctx, d, "x", 0o644, 0, 0)
	e.no("mknod", posix.ENOENT, err)
	_, err = e.root.Create(e.ctx, d, "x", 0o644, 0, e.handle(), rw)
	e.no("create", posix.ENOENT, err)
	_, err = e.root.Tmpfile(e.ctx, d, 0o644, 0, e.handle(), rw)
	e.no("tmpfile", posix.ENOENT, err)
	_, err = e.root.Link(e.ctx, f, d, "x")
	e.no("link", posix.ENOENT, err)
	e.no("rename", posix.ENOENT, e.root.Rename(e.ctx, 1, "f", d, "x", 0))
	_, err = e.root.Lookup(e.ctx, d, "x")
	e.no("lookup", posix.ENOENT, err)
	e.chmod(d, 0o700)
	e.is("mode", e.attr(d).Mode.Perm(), posix.Mode(0o700))
	e.ok(e.root.Close(e.ctx, h))
	_, err = e.root.Open(e.ctx, d, e.handle(), rd|dir)
	e.no("open after the last close", posix.ESTALE, err)
}
