package posixtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

func (e *env) names(c posix.Cred, ino posix.Ino) string {
	e.Helper()
	l, err := e.as(c).Listxattr(e.ctx, ino)
	e.ok(err)
	slices.Sort(l)
	return strings.Join(l, " ")
}

func testXattr(e *env) {
	f := e.mkfile(1, "f", 0o644)
	big := bytes.Repeat([]byte{0xff, 0}, posix.XattrMax/2)
	for _, v := range [][]byte{[]byte("value"), {}, {0}, big} {
		e.ok(e.root.Setxattr(e.ctx, f, "user.a", v, 0))
		got, err := e.root.Getxattr(e.ctx, f, "user.a")
		e.ok(err)
		if !bytes.Equal(got, v) {
			e.Errorf("%d bytes, want %d", len(got), len(v))
		}
	}
	e.ok(e.root.Setxattr(e.ctx, f, "user.b", nil, posix.XattrCreate))
	e.ok(e.root.Setxattr(e.ctx, f, "user.b", []byte("2"), posix.XattrReplace))
	e.is("names", e.names(root, f), "user.a user.b")
	e.ok(e.root.Removexattr(e.ctx, f, "user.a"))
	e.is("names", e.names(root, f), "user.b")
	name := "user." + strings.Repeat("n", posix.XattrName-5)
	e.ok(e.root.Setxattr(e.ctx, f, name, nil, 0))
	e.is("names", e.names(root, f), "user.b "+name)
	_, err := e.root.Link(e.ctx, f, 1, "g")
	e.ok(err)
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	e.is("names", e.names(root, f), "user.b "+name)
}

func testXattrErrors(e *env) {
	f := e.mkfile(1, "f", 0o644)
	e.ok(e.root.Setxattr(e.ctx, f, "user.a", nil, 0))
	get := func(name string) error {
		_, err := e.root.Getxattr(e.ctx, f, name)
		return err
	}
	set := func(name string, v []byte, flags posix.XattrFlags) error {
		return e.root.Setxattr(e.ctx, f, name, v, flags)
	}
	e.no("get of none", posix.ENODATA, get("user.b"))
	e.no("remove of none", posix.ENODATA, e.root.Removexattr(e.ctx, f, "user.b"))
	e.no("create of one that is there", posix.EEXIST, set("user.a", nil, posix.XattrCreate))
	e.no("replace of none", posix.ENODATA, set("user.b", nil, posix.XattrReplace))
	e.no("unknown flag", posix.EINVAL, set("user.b", nil, 4))
	e.no("too big", posix.E2BIG, set("user.b", make([]byte, posix.XattrMax+1), 0))
	for name, want := range map[string]posix.Errno{
		"user.": posix.EINVAL, "trusted.": posix.EINVAL, "user.a\x00": posix.EINVAL,
		"user": posix.EOPNOTSUPP, "": posix.EOPNOTSUPP, "other.a": posix.EOPNOTSUPP, "system.a": posix.EOPNOTSUPP,
		"system.posix_acl": posix.EOPNOTSUPP, "system.nfs4_acl": posix.EOPNOTSUPP,
		"user." + strings.Repeat("n", posix.XattrName-4): posix.ERANGE,
	} {
		e.no("get "+name, want, get(name))
		e.no("set "+name, want, set(name, nil, 0))
		e.no("remove "+name, want, e.root.Removexattr(e.ctx, f, name))
	}
	e.is("names", e.names(root, f), "user.a")
	var err error
	for i := 0; err == nil && i < posix.XattrList/posix.XattrName+2; i++ {
		err = set(fmt.Sprintf("user.%0*d", posix.XattrName-5, i), nil, 0)
	}
	e.no("more names than can be listed", posix.ENOSPC, err)
	l, err := e.root.Listxattr(e.ctx, f)
	e.ok(err)
	size := 0
	for _, name := range l {
		size += len(name) + 1
	}
	if size > posix.XattrList {
		e.Errorf("%d bytes of names", size)
	}
}

// testXattrPermission: each class, by each caller, on each kind of inode.
func testXattrPermission(e *env) {
	file := e.owned(e.mkfile(1, "file", 0o640), alice, staff)
	folder := e.owned(e.mkdir(1, "dir", 0o777), alice, staff)
	sticky := e.owned(e.mkdir(1, "sticky", 0o777|posix.Sticky), alice, staff)
	p, err := e.root.Mknod(e.ctx, 1, "p", posix.TypeFIFO|0o666, 0, 0)
	e.ok(err)
	link, err := e.root.Symlink(e.ctx, 1, "link", "x")
	e.ok(err)
	const ok, none = posix.Errno(0), posix.ENODATA
	for i, c := range []struct {
		what     string
		who      posix.Cred
		ino      posix.Ino
		class    string
		set, get posix.Errno // get is asked once the superuser has set it, where it can be
	}{
		{"owner", alice, file, "user.", ok, ok},
		{"reader", bob, file, "user.", posix.EACCES, ok},
		{"stranger", eve, file, "user.", posix.EACCES, posix.EACCES},
		{"writer of a directory", eve, folder, "user.", ok, ok},
		{"writer of a sticky directory", eve, sticky, "user.", posix.EPERM, ok},
		{"owner of a sticky directory", alice, sticky, "user.", ok, ok},
		{"fifo", root, p.Ino, "user.", posix.EPERM, none},
		{"link", root, link.Ino, "user.", posix.EPERM, none},
		{"trusted, owner", alice, file, "trusted.", posix.EPERM, none},
		{"trusted, superuser", root, file, "trusted.", ok, ok},
		{"trusted on a link", root, link.Ino, "trusted.", ok, ok},
		{"security, owner", alice, file, "security.", posix.EPERM, ok},
		{"security, superuser", root, file, "security.", ok, ok},
		{"security, stranger", eve, file, "security.", posix.EPERM, ok},
	} {
		name := c.class + fmt.Sprint(i)
		fs := e.as(c.who)
		e.either(c.what+": set", c.set, fs.Setxattr(e.ctx, c.ino, name, nil, 0))
		e.root.Setxattr(e.ctx, c.ino, name, nil, 0)
		_, err := fs.Getxattr(e.ctx, c.ino, name)
		e.either(c.what+": get", c.get, err)
		e.either(c.what+": remove", c.set, fs.Removexattr(e.ctx, c.ino, name))
	}
	e.ok(e.root.Setxattr(e.ctx, folder, "trusted.t", nil, 0))
	e.is("names for the superuser", e.names(root, folder), "trusted.t")
	e.is("names for the owner", e.names(alice, folder), "")
}

// testXattrCaps: a write takes the capabilities of a program away.
func testXattrCaps(e *env) {
	const caps = "security.capability"
	f := e.mkfile(1, "f", 0o777)
	h := e.open(f, wr)
	for what, change := range map[string]func(){
		"commit":   func() { e.write(h, f, 0, 10) },
		"truncate": func() { e.truncate(f, 5) },
		"chown":    func() { e.owned(f, alice, staff) },
	} {
		e.ok(e.root.Setxattr(e.ctx, f, caps, []byte{1}, 0))
		e.ok(e.root.Setxattr(e.ctx, f, "security.other", []byte{1}, 0))
		change()
		_, err := e.root.Getxattr(e.ctx, f, caps)
		e.no(what, posix.ENODATA, err)
		_, err = e.root.Getxattr(e.ctx, f, "security.other")
		e.either(what+": another", 0, err)
	}
	e.ok(e.root.Setxattr(e.ctx, f, caps, []byte{1}, 0))
	e.chmod(f, 0o755)
	_, err := e.root.Getxattr(e.ctx, f, caps)
	e.either("chmod", 0, err)
	e.ok(e.root.Removexattr(e.ctx, f, caps))
	e.is("names", e.names(root, f), "security.other")
	e.write(e.open(e.mkfile(1, "g", 0o644), wr), e.at(1, "g"), 0, 10) // nothing to take
}
