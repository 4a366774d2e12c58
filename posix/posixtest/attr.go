package posixtest

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// y2k is a time that no test's clock answers: what was set to it and differs
// has been changed, whatever the clock's resolution.
var y2k = posix.Time{Sec: 946684800}

// past sets the mtime of each to y2k.
func (e *env) past(inos ...posix.Ino) {
	e.Helper()
	for _, ino := range inos {
		_, err := e.root.Setattr(e.ctx, ino, posix.SetAttr{Set: posix.SetMtime | posix.SetAtime, Mtime: y2k, Atime: y2k})
		e.ok(err)
	}
}

// grew expects that ctime and the change counter show a change.
func (e *env) grew(what string, before, after posix.Attr) {
	e.Helper()
	if after.Ctime.Before(before.Ctime) {
		e.Errorf("%s: ctime went from %v back to %v", what, before.Ctime, after.Ctime)
	}
	if after.Change <= before.Change {
		e.Errorf("%s: change went from %d to %d", what, before.Change, after.Change)
	}
	if after.Btime != before.Btime || after.Gen != before.Gen {
		e.Errorf("%s: born %v/%d, then %v/%d", what, before.Btime, before.Gen, after.Btime, after.Gen)
	}
}

// modified expects that content changed since past.
func (e *env) modified(what string, before, after posix.Attr) {
	e.Helper()
	e.grew(what, before, after)
	if after.Mtime == y2k {
		e.Errorf("%s: mtime stayed", what)
	}
	if after.Atime != before.Atime {
		e.Errorf("%s: atime went from %v to %v", what, before.Atime, after.Atime)
	}
}

// testTimes: which inodes an operation marks, and which not.
func testTimes(e *env) {
	d := e.mkdir(1, "d", 0o755)
	f := e.mkfile(d, "f", 0o644)
	h := e.open(f, posix.OpenRead|posix.OpenWrite)
	var err error
	for _, c := range []struct {
		what string
		do   func()
		dir  bool // d is modified
		data bool // f is modified
		attr bool // f is changed
	}{
		{"mkdir", func() { _, err = e.root.Mkdir(e.ctx, d, "x", 0o755, 0) }, true, false, false},
		{"mkdir again", func() { _, err = e.root.Mkdir(e.ctx, d, "x", 0o755, 0) }, false, false, false},
		{"rmdir", func() { err = e.root.Rmdir(e.ctx, d, "x") }, true, false, false},
		{"mknod", func() { _, err = e.root.Mknod(e.ctx, d, "x", 0o644, 0, 0) }, true, false, false},
		{"unlink", func() { err = e.root.Unlink(e.ctx, d, "x") }, true, false, false},
		{"symlink", func() { _, err = e.root.Symlink(e.ctx, d, "x", "y") }, true, false, false},
		{"rename", func() { err = e.root.Rename(e.ctx, d, "x", d, "y", 0) }, true, false, false},
		{"create", func() { _, err = e.root.Create(e.ctx, d, "z", 0o644, 0, e.handle(), posix.OpenRead) }, true, false, false},
		{"create of what exists", func() { _, err = e.root.Create(e.ctx, d, "f", 0o644, 0, e.handle(), posix.OpenRead) }, false, false, false},
		{"link", func() { _, err = e.root.Link(e.ctx, f, d, "hard") }, true, false, true},
		{"unlink of a link", func() { err = e.root.Unlink(e.ctx, d, "hard") }, true, false, true},
		{"chmod", func() { _, err = e.root.Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetMode, Mode: 0o600}) }, false, false, true},
		{"setxattr", func() { err = e.root.Setxattr(e.ctx, f, "user.a", nil, 0) }, false, false, true},
		{"removexattr", func() { err = e.root.Removexattr(e.ctx, f, "user.a") }, false, false, true},
		{"commit", func() { e.write(h, f, 0, 10) }, false, true, true},
		{"truncate", func() { e.truncate(f, 5) }, false, true, true},
		{"truncate up", func() { e.truncate(f, 50) }, false, true, true},
		{"open and truncate", func() { e.open(f, posix.OpenWrite|posix.OpenTrunc) }, false, true, true},
		{"open", func() { e.open(f, posix.OpenRead|posix.OpenWrite) }, false, false, false},
		{"nothing", func() { _, err = e.root.Setattr(e.ctx, f, posix.SetAttr{}) }, false, false, false},
		{"looking", func() {
			e.list(d, 10)
			e.layout(h)
			_, err = e.root.Lookup(e.ctx, d, "f")
		}, false, false, false},
	} {
		e.past(d, f)
		dir, file := e.attr(d), e.attr(f)
		c.do()
		if c.what != "mkdir again" {
			e.ok(err)
		}
		err = nil
		if c.dir {
			e.modified(c.what+": directory", dir, e.attr(d))
		} else {
			e.is(c.what+": directory", e.attr(d), dir)
		}
		switch {
		case c.data:
			e.modified(c.what+": file", file, e.attr(f))
		case c.attr:
			e.grew(c.what+": file", file, e.attr(f))
			e.is(c.what+": mtime", e.attr(f).Mtime, y2k)
		default:
			e.is(c.what+": file", e.attr(f), file)
		}
	}
	given := posix.Time{Sec: 5, Nsec: 6}
	a, err := e.root.Commit(e.ctx, h, posix.Commit{Mtime: given, Extents: []posix.Extent{{Len: 1, Slice: e.fresh(f, 1)}}})
	e.ok(err)
	e.is("mtime by the writer's clock", a.Mtime, given)
}

// testTruncate: bytes that a truncation cut are zeros when they come back.
func testTruncate(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h := e.open(f, posix.OpenRead|posix.OpenWrite)
	const border = posix.ChunkSize
	w := e.write(h, f, 0, 1000)
	last := posix.Extent{Off: border - 10, Len: 10, Slice: e.fresh(f, 10)}
	first := posix.Extent{Off: border, Len: 10, Slice: e.fresh(f, 10)}
	_, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{last, first}})
	e.ok(err)
	for _, c := range []struct {
		size uint64
		want posix.Map
	}{
		{border + 10, posix.Map{w, last, first}},
		{border + 4, posix.Map{w, last, first.Cut(border, border+4)}},
		{border + 9, posix.Map{w, last, first.Cut(border, border+4)}},
		{border, posix.Map{w, last}},
		{border - 1, posix.Map{w, last.Cut(border-10, border-1)}},
		{border + 5, posix.Map{w, last.Cut(border-10, border-1)}},
		{1000, posix.Map{w}},
		{1 << 50, posix.Map{w}},
		{1, posix.Map{w.Cut(0, 1)}},
		{2, posix.Map{w.Cut(0, 1)}},
		{0, nil},
		{posix.FileSizeMax, nil},
	} {
		a := e.truncate(f, c.size)
		e.is("size", a.Size, c.size)
		e.is("bytes", a.Alloc, c.want.Covered(0, posix.FileSizeMax))
		e.sameMap(fmt.Sprintf("cut to %d", c.size), e.layout(h), c.want)
	}
}

func testSetSizeErrors(e *env) {
	d := e.mkdir(1, "d", 0o777)
	f := e.owned(e.mkfile(1, "f", 0o644), alice, staff)
	fifo, err := e.root.Mknod(e.ctx, 1, "p", posix.TypeFIFO|0o666, 0, 0)
	e.ok(err)
	size := func(n uint64, h posix.Handle) posix.SetAttr {
		return posix.SetAttr{Set: posix.SetSize, Size: n, Handle: h}
	}
	r, w := e.open(f, posix.OpenRead), e.open(f, posix.OpenWrite)
	other := e.open(e.mkfile(1, "g", 0o644), posix.OpenWrite)
	for _, c := range []struct {
		what string
		want posix.Errno
		who  posix.Cred
		ino  posix.Ino
		set  posix.SetAttr
	}{
		{"directory", posix.EISDIR, root, d, size(0, 0)},
		{"fifo", posix.EINVAL, root, fifo.Ino, size(0, 0)},
		{"too big", posix.EFBIG, root, f, size(1<<63, 0)},
		{"no writer", posix.EACCES, bob, f, size(0, 0)},
		{"a handle for reading", posix.EINVAL, root, f, size(0, r)},
		{"a handle of another file", posix.EBADF, root, f, size(0, other)},
		{"a handle that is none", posix.EBADF, root, f, size(0, 1<<60)},
		{"nothing", posix.ESTALE, root, 1 << 40, size(0, 0)},
		{"a stranger with a handle for writing", 0, eve, f, size(7, w)},
	} {
		_, err := e.set(c.who, c.ino, c.set)
		e.either(c.what, c.want, err)
	}
	e.chmod(f, 0) // a mode that forbids does not shut what is open
	_, err = e.set(alice, f, size(3, w))
	e.ok(err)
	_, err = e.set(alice, f, size(3, 0))
	e.no("its owner without a handle", posix.EACCES, err)
}

func testStatfs(e *env) {
	before, err := e.root.Statfs(e.ctx, 1)
	e.ok(err)
	for i := range 10 {
		e.mkfile(1, fmt.Sprint(i), 0o644)
	}
	after, err := e.as(eve).Statfs(e.ctx, 1)
	e.ok(err)
	e.is("inodes in use", after.Files-after.FreeFiles, before.Files-before.FreeFiles+10)
	if after.Bytes == 0 || after.FreeBytes > after.Bytes || after.AvailBytes > after.FreeBytes {
		e.Errorf("%+v", after)
	}
}

// testStale: everything about an inode that is gone.
func testStale(e *env) {
	f := e.mkfile(1, "f", 0o644)
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	_, err := e.root.Getattr(e.ctx, f)
	e.no("getattr", posix.ESTALE, err)
	_, err = e.root.Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetMode})
	e.no("setattr", posix.ESTALE, err)
	_, err = e.root.Readlink(e.ctx, f)
	e.no("readlink", posix.ESTALE, err)
	_, err = e.root.Open(e.ctx, f, e.handle(), posix.OpenRead)
	e.no("open", posix.ESTALE, err)
	_, err = e.root.Readdir(e.ctx, f, 0, 0, 10, false)
	e.no("readdir", posix.ESTALE, err)
	_, err = e.root.Listxattr(e.ctx, f)
	e.no("listxattr", posix.ESTALE, err)
	_, err = e.root.Link(e.ctx, f, 1, "g")
	e.no("link", posix.ESTALE, err)
}

func testCancelled(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.root.Getattr(ctx, 1)
	e.no("getattr", posix.EINTR, err)
	_, err = e.root.Mkdir(ctx, 1, "d", 0o755, 0)
	e.no("mkdir", posix.EINTR, err)
	e.is("what was made", e.at(1, "d"), posix.Ino(0))
}
