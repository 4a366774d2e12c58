package posixtest

import (
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

var long = strings.Repeat("n", posix.NameMax+1)

func testMake(e *env) {
	before := e.attr(posix.RootIno)
	for _, c := range []struct {
		name  string
		want  posix.Attr
		make  func(name string) (posix.Attr, error)
		links uint32 // of the root, more than before
	}{
		{"dir", posix.Attr{Mode: posix.TypeDir | 0o750, Nlink: 2}, func(n string) (posix.Attr, error) {
			return e.root.Mkdir(e.ctx, 1, n, 0o777, 0o027)
		}, 1},
		{"dir-sticky", posix.Attr{Mode: posix.TypeDir | posix.Sticky | 0o755, Nlink: 2}, func(n string) (posix.Attr, error) {
			return e.root.Mkdir(e.ctx, 1, n, 0o7777, 0o022)
		}, 2},
		{"file", posix.Attr{Mode: posix.TypeReg | 0o640, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.TypeReg|0o666, 0o027, 7)
		}, 2},
		{"untyped", posix.Attr{Mode: posix.TypeReg | posix.SetUID | 0o644, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.SetUID|0o666, 0o022, 0)
		}, 2},
		{"fifo", posix.Attr{Mode: posix.TypeFIFO | 0o600, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.TypeFIFO|0o600, 0, 0)
		}, 2},
		{"sock", posix.Attr{Mode: posix.TypeSock | 0o755, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.TypeSock|0o777, 0o022, 0)
		}, 2},
		{"char", posix.Attr{Mode: posix.TypeChar | 0o600, Nlink: 1, Rdev: 0x103}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.TypeChar|0o600, 0, 0x103)
		}, 2},
		{"block", posix.Attr{Mode: posix.TypeBlock | 0o600, Nlink: 1, Rdev: 0xfff00}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, posix.TypeBlock|0o600, 0, 0xfff00)
		}, 2},
		{"link", posix.Attr{Mode: posix.TypeLink | 0o777, Nlink: 1, Size: 6}, func(n string) (posix.Attr, error) {
			return e.root.Symlink(e.ctx, 1, n, "a/\xff/..")
		}, 2},
		{strings.Repeat("n", posix.NameMax), posix.Attr{Mode: posix.TypeReg | 0o644, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, 0o644, 0, 0)
		}, 2},
		{"\xff\n\\ *", posix.Attr{Mode: posix.TypeReg, Nlink: 1}, func(n string) (posix.Attr, error) {
			return e.root.Mknod(e.ctx, 1, n, 0, 0, 0)
		}, 2},
	} {
		a, err := c.make(c.name)
		e.ok(err)
		got := posix.Attr{Mode: a.Mode, Nlink: a.Nlink, Rdev: a.Rdev, Size: a.Size}
		if a.Mode.IsDir() {
			got.Size = 0 // its own affair
		}
		e.is(c.name, got, c.want)
		l, err := e.root.Lookup(e.ctx, 1, c.name)
		e.ok(err)
		e.is(c.name+": looked up", l, a)
		e.is(c.name+": statted", e.attr(a.Ino), a)
		e.is(c.name+": links of root", e.attr(1).Nlink, before.Nlink+c.links)
		if a.Btime.Before(before.Btime) || a.Btime != a.Mtime || a.Btime != a.Atime {
			e.Errorf("%s: times %v %v %v", c.name, a.Btime, a.Mtime, a.Atime)
		}
	}
	target, err := e.root.Readlink(e.ctx, e.at(1, "link"))
	e.ok(err)
	e.is("readlink", target, "a/\xff/..")
	_, err = e.root.Readlink(e.ctx, e.at(1, "file"))
	e.no("readlink of a file", posix.EINVAL, err)
	_, err = e.root.Readlink(e.ctx, 1)
	e.no("readlink of a directory", posix.EINVAL, err)
}

func testMakeErrors(e *env) {
	d := e.mkdir(1, "d", 0o755)
	f := e.mkfile(1, "f", 0o644)
	link, err := e.root.Symlink(e.ctx, 1, "link", "d")
	e.ok(err)
	makes := map[string]func(dir posix.Ino, name string) error{
		"mkdir": func(dir posix.Ino, name string) error {
			_, err := e.root.Mkdir(e.ctx, dir, name, 0o755, 0)
			return err
		},
		"mknod": func(dir posix.Ino, name string) error {
			_, err := e.root.Mknod(e.ctx, dir, name, 0o644, 0, 0)
			return err
		},
		"symlink": func(dir posix.Ino, name string) error {
			_, err := e.root.Symlink(e.ctx, dir, name, "x")
			return err
		},
		"link": func(dir posix.Ino, name string) error {
			_, err := e.root.Link(e.ctx, f, dir, name)
			return err
		},
		"create": func(dir posix.Ino, name string) error {
			_, err := e.root.Create(e.ctx, dir, name, 0o644, 0, e.handle(), posix.OpenWrite|posix.OpenExcl)
			return err
		},
	}
	for op, make := range makes {
		for _, c := range []struct {
			want posix.Errno
			dir  posix.Ino
			name string
		}{
			{posix.EEXIST, 1, "d"}, {posix.EEXIST, 1, "f"}, {posix.EEXIST, 1, "link"},
			{posix.EINVAL, d, ""}, {posix.EINVAL, d, "a/b"}, {posix.EINVAL, d, "a\x00"},
			{posix.ENAMETOOLONG, d, long},
			{posix.ENOTDIR, f, "x"}, {posix.ENOTDIR, link.Ino, "x"}, {posix.ESTALE, 1 << 40, "x"},
		} {
			e.no(fmt.Sprintf("%s(%d, %.10q)", op, c.dir, c.name), c.want, make(c.dir, c.name))
		}
		for _, dot := range []string{".", ".."} {
			want := posix.EEXIST
			if op == "create" {
				want = posix.EISDIR
			}
			e.no(op+" "+dot, want, make(d, dot))
		}
	}
	e.is("entries made", len(e.list(d, 10)), 0)

	_, err = e.root.Mknod(e.ctx, d, "x", posix.TypeDir|0o755, 0, 0)
	e.no("mknod of a directory", posix.EPERM, err)
	_, err = e.root.Mknod(e.ctx, d, "x", posix.TypeLink|0o755, 0, 0)
	e.no("mknod of a link", posix.EINVAL, err)
	_, err = e.root.Symlink(e.ctx, d, "x", "")
	e.no("symlink to nothing", posix.ENOENT, err)
	_, err = e.root.Symlink(e.ctx, d, "x", strings.Repeat("t", posix.PathMax))
	e.no("symlink to PATH_MAX", posix.ENAMETOOLONG, err)
	_, err = e.root.Symlink(e.ctx, d, "x", strings.Repeat("t", posix.PathMax-1))
	e.ok(err)
}

// testFreshOwner: whose a new inode is, and what setgid directories hand down.
func testFreshOwner(e *env) {
	plain := e.mkdir(1, "plain", 0o777)
	setgid := e.owned(e.mkdir(1, "setgid", 0o777), root, staff)
	e.chmod(setgid, posix.SetGID|0o777)
	foreign := e.owned(e.mkdir(1, "foreign", 0o777), root, 77)
	e.chmod(foreign, posix.SetGID|0o777)

	for _, c := range []struct {
		name string
		dir  posix.Ino
		mode posix.Mode
		want posix.Mode
		gid  posix.GID
	}{
		{"plain file", plain, posix.TypeReg | posix.SetGID | 0o775, posix.TypeReg | posix.SetGID | 0o755, alice.GID},
		{"plain dir", plain, posix.TypeDir | 0o777, posix.TypeDir | 0o755, alice.GID},
		{"setgid file", setgid, posix.TypeReg | 0o664, posix.TypeReg | 0o644, staff},
		{"setgid dir", setgid, posix.TypeDir | 0o777, posix.TypeDir | posix.SetGID | 0o755, staff},
		{"setgid file with the bit, a member", setgid, posix.TypeReg | posix.SetGID | 0o775, posix.TypeReg | posix.SetGID | 0o755, staff},
		{"setgid file with the bit, no member", foreign, posix.TypeReg | posix.SetGID | 0o775, posix.TypeReg | 0o755, 77},
		{"setgid file without x, no member", foreign, posix.TypeReg | posix.SetGID | 0o664, posix.TypeReg | posix.SetGID | 0o644, 77},
		{"setgid dir, no member", foreign, posix.TypeDir | 0o777, posix.TypeDir | posix.SetGID | 0o755, 77},
		{"setgid link", setgid, posix.TypeLink, posix.TypeLink | 0o777, staff},
	} {
		var a posix.Attr
		var err error
		switch fs := e.as(alice); {
		case c.mode.IsDir():
			a, err = fs.Mkdir(e.ctx, c.dir, c.name, c.mode.Perm(), 0o022)
		case c.mode.IsLink():
			a, err = fs.Symlink(e.ctx, c.dir, c.name, "x")
		default:
			var o posix.Opened
			o, err = fs.Create(e.ctx, c.dir, c.name, c.mode.Perm(), 0o022, e.handle(), posix.OpenRead)
			a = o.Attr
		}
		e.ok(err)
		if a.Mode != c.want || a.UID != alice.UID || a.GID != c.gid {
			e.Errorf("%s: %o %d:%d, want %o %d:%d", c.name, a.Mode, a.UID, a.GID, c.want, alice.UID, c.gid)
		}
	}
}

func testLookup(e *env) {
	d := e.mkdir(1, "d", 0o755)
	dd := e.mkdir(d, "dd", 0o755)
	f := e.mkfile(d, "f", 0o644)
	for _, c := range []struct {
		dir  posix.Ino
		name string
		want posix.Ino
	}{
		{d, ".", d}, {d, "..", 1}, {dd, "..", d}, {1, "..", 1}, {1, ".", 1}, {d, "f", f}, {d, "dd", dd},
	} {
		a, err := e.root.Lookup(e.ctx, c.dir, c.name)
		e.ok(err)
		e.is("lookup "+c.name, a.Ino, c.want)
	}
	for _, c := range []struct {
		want posix.Errno
		dir  posix.Ino
		name string
	}{
		{posix.ENOENT, d, "x"}, {posix.ENOENT, d, "F"}, {posix.ENOTDIR, f, "x"}, {posix.ENOTDIR, f, "."},
		{posix.ENAMETOOLONG, d, long}, {posix.EINVAL, d, ""}, {posix.EINVAL, d, "dd/"}, {posix.ESTALE, 1 << 40, "x"},
	} {
		_, err := e.root.Lookup(e.ctx, c.dir, c.name)
		e.no(fmt.Sprintf("lookup(%d, %.10q)", c.dir, c.name), c.want, err)
	}
}

func testLink(e *env) {
	d := e.mkdir(1, "d", 0o755)
	f := e.mkfile(1, "f", 0o644)
	before := e.attr(f)
	a, err := e.root.Link(e.ctx, f, d, "g")
	e.ok(err)
	e.is("inode", a.Ino, f)
	e.is("links", a.Nlink, uint32(2))
	e.grew("the inode", before, a)
	e.is("the other name", e.at(d, "g"), f)
	_, err = e.root.Link(e.ctx, d, 1, "dd")
	e.no("link of a directory", posix.EPERM, err)
	_, err = e.root.Link(e.ctx, 1<<40, 1, "x")
	e.no("link of nothing", posix.ESTALE, err)
	s, err := e.root.Symlink(e.ctx, 1, "s", "f")
	e.ok(err)
	a, err = e.root.Link(e.ctx, s.Ino, d, "s")
	e.ok(err)
	e.is("a link of a link", a.Mode, posix.TypeLink|0o777)

	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	e.is("links", e.attr(f).Nlink, uint32(1))
	e.is("the name left", e.at(d, "g"), f)
}

func testUnlink(e *env) {
	d := e.mkdir(1, "d", 0o755)
	f := e.mkfile(1, "f", 0o644)
	for _, c := range []struct {
		want posix.Errno
		dir  posix.Ino
		name string
	}{
		{posix.EISDIR, 1, "d"}, {posix.ENOENT, 1, "x"}, {posix.ENOTDIR, f, "x"}, {posix.EISDIR, d, "."},
		{posix.EISDIR, d, ".."}, {posix.ENAMETOOLONG, d, long}, {posix.ESTALE, 1 << 40, "x"},
	} {
		e.no(fmt.Sprintf("unlink(%d, %.10q)", c.dir, c.name), c.want, e.root.Unlink(e.ctx, c.dir, c.name))
	}
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	e.is("gone", e.at(1, "f"), posix.Ino(0))
	e.no("again", posix.ENOENT, e.root.Unlink(e.ctx, 1, "f"))
	_, err := e.root.Getattr(e.ctx, f)
	e.no("the inode", posix.ESTALE, err)
	if again := e.mkfile(1, "f", 0o644); again == f {
		e.Error("the number was used again")
	}
}

func testRmdir(e *env) {
	d := e.mkdir(1, "d", 0o755)
	dd := e.mkdir(d, "dd", 0o755)
	f := e.mkfile(d, "f", 0o644)
	for _, c := range []struct {
		want posix.Errno
		dir  posix.Ino
		name string
	}{
		{posix.ENOTEMPTY, 1, "d"}, {posix.ENOTDIR, d, "f"}, {posix.ENOENT, d, "x"}, {posix.ENOTDIR, f, "x"},
		{posix.EINVAL, dd, "."}, {posix.ENOTEMPTY, dd, ".."}, {posix.ENAMETOOLONG, d, long},
	} {
		e.no(fmt.Sprintf("rmdir(%d, %.10q)", c.dir, c.name), c.want, e.root.Rmdir(e.ctx, c.dir, c.name))
	}
	e.is("links", e.attr(d).Nlink, uint32(3))
	e.ok(e.root.Rmdir(e.ctx, d, "dd"))
	e.is("links", e.attr(d).Nlink, uint32(2))
	e.no("not empty yet", posix.ENOTEMPTY, e.root.Rmdir(e.ctx, 1, "d"))
	e.ok(e.root.Unlink(e.ctx, d, "f"))
	e.ok(e.root.Rmdir(e.ctx, 1, "d"))
	e.is("links of root", e.attr(1).Nlink, uint32(2))
}

// testRemoved: a directory that is open and was removed.
func testRemoved(e *env) {
	d := e.mkdir(1, "d", 0o755)
	f := e.mkfile(1, "f", 0o644)
	h := e.open(d, posix.OpenRead|posix.OpenDir)
	e.ok(e.root.Rmdir(e.ctx, 1, "d"))
	e.is("links", e.attr(d).Nlink, uint32(0))
	_, err := e.root.Lookup(e.ctx, d, "x")
	e.no("lookup inside", posix.ENOENT, err)
	_, err = e.root.Lookup(e.ctx, d, "..")
	e.no("lookup above", posix.ENOENT, err)
	_, err = e.root.Mkdir(e.ctx, d, "x", 0o755, 0)
	e.no("mkdir inside", posix.ENOENT, err)
	_, err = e.root.Create(e.ctx, d, "x", 0o644, 0, e.handle(), posix.OpenWrite)
	e.no("create inside", posix.ENOENT, err)
	_, err = e.root.Link(e.ctx, f, d, "x")
	e.no("link inside", posix.ENOENT, err)
	e.no("rename into", posix.ENOENT, e.root.Rename(e.ctx, 1, "f", d, "x", 0))
	for _, ent := range e.list(d, 10) {
		e.Errorf("readdir: %v", ent)
	}
	e.ok(e.root.Close(e.ctx, h))
}
