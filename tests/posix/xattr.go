package posix

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var xattrChecks = []check{
	{"set", xattrSet},
	{"flags", xattrFlags},
	{"sizes", xattrSizes},
	{"spaces", xattrSpaces},
	{"rights", xattrRights},
	{"kinds", xattrKinds},
	{"stay", xattrStay},
}

func getXattr(t testing.TB, path, name string) string {
	t.Helper()
	b := make([]byte, 70000)
	n, err := unix.Lgetxattr(path, name, b)
	if err != nil {
		t.Fatalf("getxattr %s: %v", name, err)
	}
	return string(b[:n])
}

// listXattr is the sorted names but those that the machine's own policy adds.
func listXattr(t testing.TB, path string) []string {
	t.Helper()
	b := make([]byte, 70000)
	n, err := unix.Llistxattr(path, b)
	ok(t, err)
	var names []string
	for _, s := range strings.Split(string(b[:n]), "\x00") {
		if s != "" && s != "security.selinux" {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return names
}

func xattrSet(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	equal(t, "names of a new file", len(listXattr(t, f)), 0)
	values := map[string]string{
		"user.a": "b", "user.empty": "", "user.zeros": "a\x00b\x00", "user.\xff\xfe": "bytes", "user." + strings.Repeat("n", 250): "long name",
		"user.big": strings.Repeat("v", 1500),
	}
	for n, v := range values {
		ok(t, unix.Setxattr(f, n, []byte(v), 0))
	}
	for n, v := range values {
		equal(t, n, getXattr(t, f, n), v)
	}
	equal(t, "names", len(listXattr(t, f)), len(values))
	ok(t, unix.Setxattr(f, "user.a", []byte("another"), 0))
	equal(t, "replaced", getXattr(t, f, "user.a"), "another")
	ok(t, unix.Removexattr(f, "user.a"))
	_, err := unix.Getxattr(f, "user.a", nil)
	refused(t, "get of the removed", err, unix.ENODATA)
	refused(t, "remove of the removed", unix.Removexattr(f, "user.a"), unix.ENODATA)
	equal(t, "names after a remove", len(listXattr(t, f)), len(values)-1)
}

func xattrFlags(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	refused(t, "replace of nothing", unix.Setxattr(f, "user.a", []byte("1"), unix.XATTR_REPLACE), unix.ENODATA)
	ok(t, unix.Setxattr(f, "user.a", []byte("1"), unix.XATTR_CREATE))
	refused(t, "create of what is there", unix.Setxattr(f, "user.a", []byte("2"), unix.XATTR_CREATE), unix.EEXIST)
	ok(t, unix.Setxattr(f, "user.a", []byte("3"), unix.XATTR_REPLACE))
	equal(t, "value", getXattr(t, f, "user.a"), "3")
	refused(t, "an unknown flag", unix.Setxattr(f, "user.a", nil, 8), unix.EINVAL)
}

func xattrSizes(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	ok(t, unix.Setxattr(f, "user.a", []byte("0123456789"), 0))
	n, err := unix.Getxattr(f, "user.a", nil)
	ok(t, err)
	equal(t, "size asked for", n, 10)
	_, err = unix.Getxattr(f, "user.a", make([]byte, 9))
	refused(t, "too small a buffer for the value", err, unix.ERANGE)
	n, err = unix.Getxattr(f, "user.a", make([]byte, 10))
	ok(t, err)
	equal(t, "size", n, 10)
	n, err = unix.Listxattr(f, nil)
	ok(t, err)
	if n < len("user.a")+1 {
		t.Errorf("size of the list: %d", n)
	}
	_, err = unix.Listxattr(f, make([]byte, 3))
	refused(t, "too small a buffer for the list", err, unix.ERANGE)
	refused(t, "a name of 256 bytes", unix.Setxattr(f, "user."+strings.Repeat("n", 251), nil, 0), unix.ERANGE)
	refused(t, "a value of more than 64 KiB", unix.Setxattr(f, "user.v", bytes.Repeat([]byte("v"), 65537), 0), unix.E2BIG)
}

func xattrSpaces(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	for _, n := range []string{"user.a", "trusted.a", "security.a"} {
		ok(t, unix.Setxattr(f, n, []byte(n), 0))
		equal(t, n, getXattr(t, f, n), n)
	}
	equal(t, "names that root sees", strings.Join(listXattr(t, f), " "), "security.a trusted.a user.a")
	for _, n := range []string{"nospace", "unknown.a", "a.b"} {
		refused(t, n, unix.Setxattr(f, n, nil, 0), unix.EOPNOTSUPP)
	}
	refused(t, "user. alone", unix.Setxattr(f, "user.", nil, 0), unix.EINVAL)
	refused(t, "an empty name", unix.Setxattr(f, "", nil, 0), unix.ERANGE)
	ok(t, os.Chmod(f, 0o666))
	as(t, alice, dir, func() {
		refused(t, "trusted. by a user", unix.Setxattr("f", "trusted.b", nil, 0), unix.EPERM)
		_, err := unix.Getxattr("f", "trusted.a", nil)
		refused(t, "trusted. read by a user", err, unix.ENODATA)
		refused(t, "security. by a user", unix.Setxattr("f", "security.b", nil, 0), unix.EPERM)
		equal(t, "security. read by a user", getXattr(t, "f", "security.a"), "security.a")
		equal(t, "names that a user sees", strings.Join(listXattr(t, "f"), " "), "security.a user.a")
	})
}

func xattrRights(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	ok(t, unix.Setxattr(f, "user.a", []byte("x"), 0))
	ok(t, os.Chmod(f, 0o644))
	as(t, alice, dir, func() {
		equal(t, "get with r", getXattr(t, "f", "user.a"), "x")
		refused(t, "set without w", unix.Setxattr("f", "user.b", nil, 0), unix.EACCES)
		refused(t, "remove without w", unix.Removexattr("f", "user.a"), unix.EACCES)
	})
	ok(t, os.Chmod(f, 0o622))
	as(t, alice, dir, func() {
		ok(t, unix.Setxattr("f", "user.b", nil, 0))
		_, err := unix.Getxattr("f", "user.a", nil)
		refused(t, "get without r", err, unix.EACCES)
		equal(t, "list without r", strings.Join(listXattr(t, "f"), " "), "user.a user.b")
	})
}

// xattrKinds: user. belongs to files and directories only, xattr(7).
func xattrKinds(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o755))
	ok(t, unix.Setxattr(d, "user.a", []byte("dir"), 0))
	equal(t, "of a directory", getXattr(t, d, "user.a"), "dir")
	ok(t, os.Symlink("d", filepath.Join(dir, "l")))
	ok(t, unix.Mkfifo(filepath.Join(dir, "p"), 0o666))
	for _, n := range []string{"l", "p"} {
		p := filepath.Join(dir, n)
		refused(t, "user. on "+n, unix.Lsetxattr(p, "user.a", nil, 0), unix.EPERM)
		ok(t, unix.Lsetxattr(p, "trusted.a", []byte("t"), 0))
		equal(t, "trusted. on "+n, getXattr(t, p, "trusted.a"), "t")
	}
	b := make([]byte, 10)
	n, err := unix.Getxattr(filepath.Join(dir, "l"), "user.a", b)
	ok(t, err)
	equal(t, "through a symlink", string(b[:n]), "dir")
	sticky := filepath.Join(dir, "s")
	ok(t, os.Mkdir(sticky, 0o777))
	ok(t, os.Chmod(sticky, 0o777|os.ModeSticky))
	as(t, alice, dir, func() {
		refused(t, "user. on another's sticky directory", unix.Setxattr("s", "user.a", nil, 0), unix.EPERM)
	})
}

// xattrStay: they belong to the inode, not to the name.
func xattrStay(t *testing.T, dir string) {
	f, g := filepath.Join(dir, "f"), filepath.Join(dir, "g")
	put(t, f, "")
	ok(t, unix.Setxattr(f, "user.a", []byte("x"), 0))
	ok(t, os.Link(f, g))
	equal(t, "by another name", getXattr(t, g, "user.a"), "x")
	ok(t, os.Rename(f, filepath.Join(dir, "h")))
	equal(t, "after a rename", getXattr(t, filepath.Join(dir, "h"), "user.a"), "x")
	h := open(t, g, os.O_RDWR, 0)
	ok(t, unix.Fsetxattr(int(h.Fd()), "user.b", []byte("y"), 0))
	ok(t, os.Remove(g))
	ok(t, os.Remove(filepath.Join(dir, "h")))
	b := make([]byte, 4)
	n, err := unix.Fgetxattr(int(h.Fd()), "user.b", b)
	ok(t, err)
	equal(t, "of a file without a name", string(b[:n]), "y")
	put(t, f, "")
	equal(t, "names of a new file under the old name", len(listXattr(t, f)), 0)
}
