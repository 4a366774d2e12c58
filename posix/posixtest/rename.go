package posixtest

import (
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

func testRename(e *env) {
	a, b := e.mkdir(1, "a", 0o755), e.mkdir(1, "b", 0o755)
	mv := func(from posix.Ino, name string, to posix.Ino, newName string) {
		e.Helper()
		ino := e.at(from, name)
		e.past(from, to)
		fd, td, n := e.attr(from), e.attr(to), e.attr(ino)
		e.ok(e.root.Rename(e.ctx, from, name, to, newName, 0))
		if from != to || name != newName {
			e.is("the old name", e.at(from, name), posix.Ino(0))
		}
		e.is("the new name", e.at(to, newName), ino)
		e.modified("the old parent", fd, e.attr(from))
		e.modified("the new parent", td, e.attr(to))
		e.grew("what was moved", n, e.attr(ino))
	}
	f := e.mkfile(a, "f", 0o644)
	mv(a, "f", a, "g") // within a directory
	mv(a, "g", b, "f") // to another
	e.mkfile(b, "old", 0o644)
	old := e.at(b, "old")
	mv(b, "f", b, "old") // over a file
	_, err := e.root.Getattr(e.ctx, old)
	e.no("what was replaced", posix.ESTALE, err)
	e.is("what replaced it", e.at(b, "old"), f)

	d := e.mkdir(a, "d", 0o755)
	mv(a, "d", b, "d") // a directory to another
	up, err := e.root.Lookup(e.ctx, d, "..")
	e.ok(err)
	e.is("..", up.Ino, b)
	e.is("links of the old parent", e.attr(a).Nlink, uint32(2))
	e.is("links of the new parent", e.attr(b).Nlink, uint32(3))
	e.mkdir(a, "empty", 0o755)
	mv(b, "d", a, "empty") // over an empty directory
	e.is("links", e.attr(a).Nlink, uint32(3))
	e.is("links", e.attr(b).Nlink, uint32(2))
	e.mkdir(a, "sub", 0o755)
	mv(a, "sub", a, "empty") // within a directory, over an empty one
	e.is("links", e.attr(a).Nlink, uint32(3))

	// Two names of one inode: nothing happens.
	_, err = e.root.Link(e.ctx, f, a, "hard")
	e.ok(err)
	before := e.attr(a)
	e.ok(e.root.Rename(e.ctx, a, "hard", b, "old", 0))
	e.ok(e.root.Rename(e.ctx, a, "hard", a, "hard", 0))
	e.is("the first name", e.at(a, "hard"), f)
	e.is("the second name", e.at(b, "old"), f)
	e.is("the directory", e.attr(a), before)
	e.no("two names, none to be replaced", posix.EEXIST,
		e.root.Rename(e.ctx, a, "hard", b, "old", posix.RenameNoReplace))

	e.ok(e.root.Rename(e.ctx, a, "hard", a, "moved", posix.RenameNoReplace))
	e.is("without replacing", e.at(a, "moved"), f)
}

func testRenameErrors(e *env) {
	d := e.mkdir(1, "d", 0o755)
	dd := e.mkdir(d, "dd", 0o755)
	full := e.mkdir(1, "full", 0o755)
	e.mkdir(full, "x", 0o755)
	f := e.mkfile(1, "f", 0o644)
	e.mkfile(1, "g", 0o644)
	const keep, swap = posix.RenameNoReplace, posix.RenameExchange
	for _, c := range []struct {
		want  posix.Errno
		from  posix.Ino
		name  string
		to    posix.Ino
		as    string
		flags posix.RenameFlags
	}{
		{posix.ENOENT, 1, "x", 1, "y", 0},
		{posix.ENOENT, 1, "x", 1, "f", 0},
		{posix.ENOTDIR, f, "x", 1, "y", 0},
		{posix.ENOTDIR, 1, "f", f, "y", 0},
		{posix.ENOTDIR, 1, "d", 1, "f", 0},
		{posix.EISDIR, 1, "f", 1, "d", 0},
		{posix.ENOTEMPTY, 1, "d", 1, "full", 0},
		{posix.EINVAL, 1, "d", d, "x", 0},
		{posix.EINVAL, 1, "d", dd, "x", 0},
		{posix.EINVAL, 1, "d", d, "dd", 0},
		{posix.ENOTEMPTY, d, "dd", 1, "d", 0},
		{posix.EBUSY, d, ".", 1, "x", 0},
		{posix.EBUSY, d, "..", 1, "x", 0},
		{posix.EBUSY, 1, "f", d, "..", 0},
		{posix.EEXIST, 1, "f", d, "..", keep},
		{posix.EEXIST, 1, "f", 1, "g", keep},
		{posix.EEXIST, 1, "f", 1, "f", keep},
		{posix.ENOENT, 1, "f", 1, "x", swap},
		{posix.EINVAL, 1, "d", d, "dd", swap},
		{posix.EINVAL, d, "dd", 1, "d", swap},
		{posix.EINVAL, 1, "f", 1, "g", keep | swap},
		{posix.EINVAL, 1, "f", 1, "g", 4},
		{posix.EINVAL, 1, "f", 1, "a/b", 0},
		{posix.ENAMETOOLONG, 1, "f", 1, long, 0},
		{posix.ENAMETOOLONG, 1, long, 1, "x", 0},
		{posix.ESTALE, 1 << 40, "x", 1, "y", 0},
		{posix.ESTALE, 1, "f", 1 << 40, "y", 0},
	} {
		e.no(fmt.Sprintf("rename(%d/%.9q, %d/%.9q, %d)", c.from, c.name, c.to, c.as, c.flags), c.want,
			e.root.Rename(e.ctx, c.from, c.name, c.to, c.as, c.flags))
	}
	e.is("names of root", len(e.list(1, 3)), 4)
	e.is("links of root", e.attr(1).Nlink, uint32(4))
}

func testRenameExchange(e *env) {
	a, b := e.mkdir(1, "a", 0o755), e.mkdir(1, "b", 0o755)
	f, d := e.mkfile(a, "f", 0o644), e.mkdir(b, "d", 0o755)
	e.mkfile(d, "inside", 0o644)
	e.past(a, b)
	wasA, wasB, wasF, wasD := e.attr(a), e.attr(b), e.attr(f), e.attr(d)
	e.ok(e.root.Rename(e.ctx, a, "f", b, "d", posix.RenameExchange))
	e.is("the file", e.at(b, "d"), f)
	e.is("the directory", e.at(a, "f"), d)
	up, err := e.root.Lookup(e.ctx, d, "..")
	e.ok(err)
	e.is("..", up.Ino, a)
	e.is("links of a", e.attr(a).Nlink, uint32(3))
	e.is("links of b", e.attr(b).Nlink, uint32(2))
	e.modified("a", wasA, e.attr(a))
	e.modified("b", wasB, e.attr(b))
	e.grew("the file", wasF, e.attr(f))
	e.grew("the directory", wasD, e.attr(d))

	dd := e.mkdir(b, "dd", 0o755)
	e.ok(e.root.Rename(e.ctx, a, "f", b, "dd", posix.RenameExchange)) // two directories
	e.is("one", e.at(a, "f"), dd)
	e.is("other", e.at(b, "dd"), d)
	e.is("links of a", e.attr(a).Nlink, uint32(3))
	e.is("links of b", e.attr(b).Nlink, uint32(3))
	e.ok(e.root.Rename(e.ctx, b, "dd", b, "d", posix.RenameExchange)) // within one directory
	e.is("one", e.at(b, "d"), d)
	e.is("other", e.at(b, "dd"), f)
	e.is("links of b", e.attr(b).Nlink, uint32(3))
	e.ok(e.root.Rename(e.ctx, b, "d", b, "d", posix.RenameExchange)) // with itself
}

// testRenamePermission: what rename(2) asks of parents and of a directory that
// changes its parent.
func testRenamePermission(e *env) {
	open := e.mkdir(1, "open", 0o777)
	other := e.mkdir(1, "other", 0o777)
	shut := e.mkdir(1, "shut", 0o755)
	dark := e.mkdir(1, "dark", 0o766)
	e.mkfile(shut, "f", 0o666)
	e.mkfile(dark, "f", 0o666)
	e.mkfile(open, "f", 0o000)
	e.mkfile(open, "g", 0o000)
	e.mkdir(open, "foreign", 0o755)
	e.owned(e.mkdir(open, "own", 0o755), alice, alice.GID)
	e.mkdir(other, "foreign", 0o755)
	fs := e.as(alice)
	for _, c := range []struct {
		what  string
		want  posix.Errno
		from  posix.Ino
		name  string
		to    posix.Ino
		as    string
		flags posix.RenameFlags
	}{
		{"from a read-only parent", posix.EACCES, shut, "f", open, "x", 0},
		{"into a read-only parent", posix.EACCES, open, "f", shut, "x", 0},
		{"over, in a read-only parent", posix.EACCES, open, "f", shut, "f", 0},
		{"from a parent without search", posix.EACCES, dark, "f", open, "x", 0},
		{"into a parent without search", posix.EACCES, open, "f", dark, "x", 0},
		{"a foreign file needs no bits", 0, open, "f", other, "f", 0},
		{"a foreign directory within its parent", 0, open, "foreign", open, "renamed", 0},
		{"a foreign directory to another parent", posix.EACCES, open, "renamed", other, "x", 0},
		{"an own directory to another parent", 0, open, "own", other, "own", 0},
		{"exchange with a foreign directory", posix.EACCES, open, "g", other, "foreign", posix.RenameExchange},
	} {
		e.either(c.what, c.want, fs.Rename(e.ctx, c.from, c.name, c.to, c.as, c.flags))
	}
}
