package posix

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var linkChecks = []check{
	{"counts", linkCounts},
	{"refusals", linkRefusals},
	{"unlinked", linkUnlinked},
	{"renewed", linkRenewed},
	{"symlink", linkSymlink},
	{"loops", linkLoops},
}

func linkCounts(t *testing.T, dir string) {
	a := filepath.Join(dir, "a")
	put(t, a, "shared")
	for i := range 10 {
		ok(t, os.Link(a, filepath.Join(dir, fmt.Sprint(i))))
	}
	equal(t, "nlink", stat(t, a).Nlink, 11)
	f := open(t, filepath.Join(dir, "3"), os.O_WRONLY, 0)
	_, err := f.WriteAt([]byte("S"), 0)
	ok(t, err)
	ok(t, f.Close())
	ok(t, os.Chmod(filepath.Join(dir, "4"), 0o600))
	for _, n := range list(t, dir) {
		p := filepath.Join(dir, n)
		equal(t, n+": ino", stat(t, p).Ino, stat(t, a).Ino)
		equal(t, n+": content", content(t, p), "Shared")
		equal(t, n+": mode", perm(t, p), 0o600)
	}
	ok(t, os.Remove(a))
	equal(t, "nlink after an unlink", stat(t, filepath.Join(dir, "0")).Nlink, 10)
	equal(t, "content after an unlink", content(t, filepath.Join(dir, "0")), "Shared")
}

func linkRefusals(t *testing.T, dir string) {
	a, d := filepath.Join(dir, "a"), filepath.Join(dir, "d")
	put(t, a, "")
	ok(t, os.Mkdir(d, 0o755))
	refused(t, "link of a directory", unix.Link(d, filepath.Join(dir, "x")), unix.EPERM)
	refused(t, "link onto a file", unix.Link(a, a), unix.EEXIST)
	refused(t, "link onto a directory", unix.Link(a, d), unix.EEXIST)
	refused(t, "link of nothing", unix.Link(filepath.Join(dir, "no"), filepath.Join(dir, "x")), unix.ENOENT)
	refused(t, "link into nowhere", unix.Link(a, filepath.Join(dir, "no", "x")), unix.ENOENT)
	refused(t, "unlink of nothing", unix.Unlink(filepath.Join(dir, "no")), unix.ENOENT)
	refused(t, "unlink of a directory", unix.Unlink(d), unix.EISDIR, unix.EPERM)
	refused(t, "unlink below a file", unix.Unlink(a+"/x"), unix.ENOTDIR)
	refused(t, "unlink with a slash behind", unix.Unlink(a+"/"), unix.ENOTDIR)
	ok(t, os.Symlink("a", filepath.Join(dir, "l")))
	ok(t, unix.Linkat(unix.AT_FDCWD, filepath.Join(dir, "l"), unix.AT_FDCWD, filepath.Join(dir, "l2"), 0))
	equal(t, "a link of a symlink is a symlink", lstat(t, filepath.Join(dir, "l2")).Mode&unix.S_IFMT, unix.S_IFLNK)
	ok(t, unix.Linkat(unix.AT_FDCWD, filepath.Join(dir, "l"), unix.AT_FDCWD, filepath.Join(dir, "a2"), unix.AT_SYMLINK_FOLLOW))
	equal(t, "a link through a symlink", stat(t, filepath.Join(dir, "a2")).Ino, stat(t, a).Ino)
}

// linkUnlinked: a file without a name is a file until its last close.
func linkUnlinked(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := bytes.Repeat([]byte("persistent "), 30000)
	ok(t, os.WriteFile(name, data, 0o644))
	f, second := open(t, name, os.O_RDWR, 0), open(t, name, os.O_RDONLY, 0)
	ok(t, os.Remove(name))
	equal(t, "nlink", fstat(t, f).Nlink, 0)
	equal(t, "size", fstat(t, f).Size, int64(len(data)))
	got := make([]byte, len(data))
	_, err := f.ReadAt(got, 0)
	ok(t, err)
	equal(t, "content is whole", bytes.Equal(got, data), true)
	_, err = f.WriteAt([]byte("changed"), 100000)
	ok(t, err)
	ok(t, f.Truncate(100007))
	ok(t, f.Sync())
	ok(t, f.Chmod(0o600))
	equal(t, "mode", fstat(t, second).Mode&0o7777, 0o600)
	b := make([]byte, 10)
	n, _ := second.ReadAt(b, 100000)
	equal(t, "through the other descriptor", string(b[:n]), "changed")
	ok(t, f.Close())
	n, _ = second.ReadAt(b, 100000)
	equal(t, "after the first close", string(b[:n]), "changed")
	equal(t, "names left", len(list(t, dir)), 0)

	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o755))
	fd := open(t, d, os.O_RDONLY, 0)
	ok(t, os.Remove(d))
	refused(t, "create in a removed directory", func() error {
		_, err := unix.Openat(int(fd.Fd()), "x", unix.O_CREAT|unix.O_WRONLY, 0o644)
		return err
	}(), unix.ENOENT)
	refused(t, "mkdir in a removed directory", unix.Mkdirat(int(fd.Fd()), "x", 0o755), unix.ENOENT)
	equal(t, "nlink of a removed directory", fstat(t, fd).Nlink, 0)
}

// linkRenewed: a name that is made again is a new file.
func linkRenewed(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "old content")
	old := open(t, name, os.O_RDONLY, 0)
	ok(t, os.Remove(name))
	f := open(t, name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	equal(t, "size of the new", fstat(t, f).Size, 0)
	if fstat(t, f).Ino == fstat(t, old).Ino {
		t.Error("two files that live at once have one inode number")
	}
	_, err := f.WriteAt([]byte("new"), 0)
	ok(t, err)
	b := make([]byte, 11)
	_, err = old.ReadAt(b, 0)
	ok(t, err)
	equal(t, "content of the old", string(b), "old content")
	for range 50 { // one name, many lives; none shows another's
		ok(t, os.Remove(name))
		refused(t, "stat after unlink", unix.Stat(name, new(unix.Stat_t)), unix.ENOENT)
		ok(t, os.Mkdir(name, 0o755))
		refused(t, "unlink of what is a directory now", unix.Unlink(name), unix.EISDIR, unix.EPERM)
		ok(t, os.Remove(name))
		put(t, name, "x")
		equal(t, "size", stat(t, name).Size, 1)
	}
}

func linkSymlink(t *testing.T, dir string) {
	for _, target := range []string{"x", "../up", "/abs/olute", "with space\nand newline", "\xff\xfe", strings.Repeat("l/", 2000) + strings.Repeat("e", 95)} {
		l := filepath.Join(dir, "l")
		ok(t, os.Symlink(target, l))
		got, err := os.Readlink(l)
		ok(t, err)
		equal(t, "target", got, target)
		st := lstat(t, l)
		equal(t, "size", st.Size, int64(len(target)))
		equal(t, "mode", st.Mode, unix.S_IFLNK|0o777)
		ok(t, os.Remove(l))
	}
	l := filepath.Join(dir, "l")
	refused(t, "an empty target", unix.Symlink("", l), unix.ENOENT)
	refused(t, "too long a target", unix.Symlink(strings.Repeat("x", 4096), l), unix.ENAMETOOLONG)
	ok(t, os.Symlink("nowhere", l))
	refused(t, "stat of a dangling symlink", unix.Stat(l, new(unix.Stat_t)), unix.ENOENT)
	refused(t, "symlink onto something", unix.Symlink("x", l), unix.EEXIST)
	refused(t, "mkdir onto a dangling symlink", unix.Mkdir(l, 0o755), unix.EEXIST)
	put(t, filepath.Join(dir, "f"), "")
	_, err := unix.Readlink(filepath.Join(dir, "f"), make([]byte, 10))
	refused(t, "readlink of a file", err, unix.EINVAL)
	_, err = unix.Readlink(dir, make([]byte, 10))
	refused(t, "readlink of a directory", err, unix.EINVAL)
	n, err := unix.Readlink(l, make([]byte, 3))
	ok(t, err)
	equal(t, "a short buffer is filled", n, 3)
	ok(t, os.Lchown(l, alice.UID, alice.GID))
	equal(t, "owner of the symlink", lstat(t, l).Uid, uint32(alice.UID))
}

func linkLoops(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	ok(t, os.Symlink("b", a))
	ok(t, os.Symlink("a", b))
	ok(t, os.Symlink("self", filepath.Join(dir, "self")))
	for _, p := range []string{a, filepath.Join(dir, "self"), filepath.Join(a, "x")} {
		refused(t, "stat", unix.Stat(p, new(unix.Stat_t)), unix.ELOOP)
		refused(t, "open", tryOpen(p, unix.O_RDONLY, 0), unix.ELOOP)
		refused(t, "create", tryOpen(p, unix.O_CREAT|unix.O_WRONLY, 0o644), unix.ELOOP)
	}
	// path_resolution(7): forty symlinks are followed, not more.
	put(t, filepath.Join(dir, "0"), "end")
	for i := 1; i <= 41; i++ {
		ok(t, os.Symlink(fmt.Sprint(i-1), filepath.Join(dir, fmt.Sprint(i))))
	}
	equal(t, "through 40 symlinks", content(t, filepath.Join(dir, "40")), "end")
	refused(t, "through 41", unix.Stat(filepath.Join(dir, "41"), new(unix.Stat_t)), unix.ELOOP)
}
