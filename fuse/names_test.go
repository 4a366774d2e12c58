package fuse

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

func posixIno(n uint64) posix.Ino { return posix.Ino(n) }

// TestLinks watches link counts and ctime through every name, at once: nothing
// may be shown from before within the timeouts.
func TestLinks(t *testing.T) {
	w := mount(t, Options{AttrTimeout: time.Hour, EntryTimeout: time.Hour})
	a, b, c := w.path("a"), w.path("b"), w.path("c")
	write(t, a, "x")
	var last syscall.Timespec
	changed := func(what string, path string, nlink uint64) {
		t.Helper()
		st := stat(t, path)
		if uint64(st.Nlink) != nlink || st.Ctim == last {
			t.Errorf("%s: %d links, want %d; ctime changed is %v", what, st.Nlink, nlink, st.Ctim != last)
		}
		last = st.Ctim
	}
	changed("made", a, 1)
	must(t, os.Link(a, b))
	changed("linked", a, 2)
	must(t, os.Link(b, c))
	changed("linked again", a, 3)
	must(t, os.Remove(b))
	changed("unlinked elsewhere", a, 2)
	must(t, os.Rename(c, b))
	changed("renamed elsewhere", a, 2)
	write(t, c, "y")
	must(t, os.Rename(c, b))
	changed("renamed over elsewhere", a, 1)
	must(t, os.Chmod(a, 0o600))
	changed("chmod", a, 1)

	must(t, os.Mkdir(w.path("d"), 0o755))
	root := stat(t, w.Dir()).Nlink
	must(t, os.Mkdir(w.path("d", "e"), 0o755))
	if n := stat(t, w.path("d")).Nlink; n != 3 {
		t.Errorf("a directory with one below has %d links", n)
	}
	must(t, os.Rename(w.path("d", "e"), w.path("e")))
	if n, r := stat(t, w.path("d")).Nlink, stat(t, w.Dir()).Nlink; n != 2 || r != root+1 {
		t.Errorf("after moving it up: %d and %d links, want 2 and %d", n, r, root+1)
	}

	must(t, os.Symlink("a", w.path("l")))
	if to, err := os.Readlink(w.path("l")); to != "a" || err != nil {
		t.Errorf("the link says %q, %v", to, err)
	}
	if st := stat(t, w.path("l")); st.Mode != syscall.S_IFLNK|0o777 || st.Size != 1 {
		t.Errorf("the link is %o with %d bytes", st.Mode, st.Size)
	}
	if got := read(t, w.path("l")); got != "x" {
		t.Errorf("through the link: %q", got)
	}
	long := strings.Repeat("y", 4095)
	must(t, os.Symlink(long, w.path("long")))
	if to, err := os.Readlink(w.path("long")); to != long || err != nil {
		t.Errorf("a link of 4095 bytes comes back with %d, %v", len(to), err)
	}
}

func TestSpecialFiles(t *testing.T) {
	needRoot(t)
	w := mount(t, Options{})
	dev := unix.Mkdev(0x123, 0x45678)
	for _, c := range []struct {
		name string
		mode uint32
		dev  uint64
	}{{"fifo", unix.S_IFIFO, 0}, {"sock", unix.S_IFSOCK, 0}, {"chr", unix.S_IFCHR, dev}, {"blk", unix.S_IFBLK, dev}, {"reg", unix.S_IFREG, 0}} {
		must(t, unix.Mknod(w.path(c.name), c.mode|0o600, int(c.dev)))
		if st := stat(t, w.path(c.name)); st.Mode != c.mode|0o600 || st.Rdev != c.dev {
			t.Errorf("%s is %o %#x, want %o %#x", c.name, st.Mode, st.Rdev, c.mode|0o600, c.dev)
		}
		var stx unix.Statx_t
		must(t, unix.Statx(-1, w.path(c.name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &stx))
		if got := unix.Mkdev(stx.Rdev_major, stx.Rdev_minor); got != c.dev {
			t.Errorf("statx: %s is %#x, want %#x", c.name, got, c.dev)
		}
	}
	w.sh(t, nil, "echo through >fifo & read x <fifo; test $x = through; wait")
}

// TestUmask has the umask applied once, by the server.
func TestUmask(t *testing.T) {
	w := mount(t, Options{})
	w.sh(t, nil, `umask 027; echo x >f; mkdir d; mkfifo p; ln -s f l; umask 0; echo x >g; mkdir -m 1777 t`)
	for name, want := range map[string]uint32{"f": 0o100640, "d": 0o040750, "p": 0o010640, "l": 0o120777, "g": 0o100666, "t": 0o041777} {
		if got := stat(t, w.path(name)).Mode; got != want {
			t.Errorf("%s is %o, want %o", name, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	w := mount(t, Options{})
	write(t, w.path("f"), "x")
	at, mt := unix.Timespec{Sec: -5, Nsec: 1}, unix.Timespec{Sec: 1 << 33, Nsec: 999999999}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, w.path("f"), []unix.Timespec{at, mt}, 0))
	st := stat(t, w.path("f"))
	if st.Atim != syscall.Timespec(at) || st.Mtim != syscall.Timespec(mt) {
		t.Errorf("times are %v %v, want %v %v", st.Atim, st.Mtim, at, mt)
	}
	omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, w.path("f"), []unix.Timespec{omit, {Nsec: unix.UTIME_NOW}}, 0))
	st = stat(t, w.path("f"))
	if st.Atim != syscall.Timespec(at) || time.Since(time.Unix(st.Mtim.Unix())) > time.Minute {
		t.Errorf("after UTIME_OMIT and UTIME_NOW: %v %v", st.Atim, st.Mtim)
	}
	var stx unix.Statx_t
	must(t, unix.Statx(-1, w.path("f"), 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stx))
	if stx.Mask&unix.STATX_BTIME == 0 || time.Since(time.Unix(stx.Btime.Sec, 0)) > time.Minute || stx.Size != 1 {
		t.Errorf("statx: mask %#x, born %v, %d bytes", stx.Mask, stx.Btime, stx.Size)
	}
	// A write moves mtime and ctime before the close.
	f, err := os.OpenFile(w.path("f"), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	before := stat(t, w.path("f"))
	_, err = f.WriteString("y")
	must(t, err)
	if after := stat(t, w.path("f")); after.Mtim == before.Mtim {
		t.Error("a write did not move mtime")
	}
}

func TestXattr(t *testing.T) {
	w := mount(t, Options{})
	f := w.path("f")
	write(t, f, "")
	must(t, unix.Setxattr(f, "user.a", []byte("value"), unix.XATTR_CREATE))
	must(t, unix.Setxattr(f, "user.empty", nil, 0))
	buf := make([]byte, 100)
	get := func(name string, size int) (string, error) {
		n, err := unix.Getxattr(f, name, buf[:size])
		return string(buf[:max(min(n, size), 0)]), err
	}
	if v, err := get("user.a", 5); v != "value" || err != nil {
		t.Errorf("user.a is %q, %v", v, err)
	}
	if n, err := unix.Getxattr(f, "user.a", nil); n != 5 || err != nil {
		t.Errorf("the size of user.a is %d, %v", n, err)
	}
	if n, err := unix.Getxattr(f, "user.empty", nil); n != 0 || err != nil {
		t.Errorf("the size of user.empty is %d, %v", n, err)
	}
	_, small := get("user.a", 4)
	_, none := get("user.b", 9)
	big := bytes.Repeat([]byte("v"), 64<<10)
	for _, c := range []struct {
		what      string
		got, want error
	}{
		{"a buffer too small", small, unix.ERANGE},
		{"none there", none, unix.ENODATA},
		{"create again", unix.Setxattr(f, "user.a", nil, unix.XATTR_CREATE), unix.EEXIST},
		{"replace what is not there", unix.Setxattr(f, "user.b", nil, unix.XATTR_REPLACE), unix.ENODATA},
		{"a name of 256 bytes", unix.Setxattr(f, "user."+strings.Repeat("n", 251), nil, 0), unix.ERANGE},
		{"a value too big", unix.Setxattr(f, "user.b", append(big, 'v'), 0), unix.E2BIG},
		{"removing none", unix.Removexattr(f, "user.b"), unix.ENODATA},
	} {
		want(t, c.what, c.got, c.want)
	}
	must(t, unix.Setxattr(f, "user.big", big, 0))
	got := make([]byte, len(big))
	if n, err := unix.Getxattr(f, "user.big", got); err != nil || !bytes.Equal(got[:n], big) {
		t.Errorf("64 KiB come back as %d bytes, %v", n, err)
	}
	must(t, unix.Removexattr(f, "user.empty"))
	n, err := unix.Listxattr(f, buf)
	if list := string(buf[:max(n, 0)]); err != nil || list != "user.a\x00user.big\x00" {
		t.Errorf("the list is %q, %v", list, err)
	}
	_, err = unix.Listxattr(f, buf[:3])
	want(t, "a list too small", err, unix.ERANGE)
}

// TestReaddirDeleting removes entries while it reads them: each is seen once,
// and none is left.
func TestReaddirDeleting(t *testing.T) {
	w := mount(t, Options{})
	const n = 10000
	ctx, owner := context.Background(), w.tree.As(posix.Cred{Super: true})
	dir, err := owner.Mkdir(ctx, posix.RootIno, "d", 0o777, 0)
	must(t, err)
	for i := range n {
		_, err := owner.Mknod(ctx, dir.Ino, fmt.Sprint("name-", i), posix.TypeReg|0o666, 0, 0)
		must(t, err)
	}
	d, err := os.Open(w.path("d"))
	must(t, err)
	defer d.Close()
	seen := map[string]bool{}
	for {
		names, err := d.Readdirnames(100)
		if len(names) == 0 {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			break
		}
		for _, name := range names {
			if seen[name] {
				t.Fatalf("%s is seen twice", name)
			}
			seen[name] = true
			must(t, os.Remove(w.path("d", name)))
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d entries were seen", len(seen), n)
	}
	must(t, os.Remove(w.path("d")))
}

// dirents reads a directory by getdents64: names and the cookies after them.
func dirents(t *testing.T, fd, size int) (names []string, next []int64) {
	t.Helper()
	buf := make([]byte, size)
	for {
		n, err := unix.Getdents(fd, buf)
		must(t, err)
		if n == 0 {
			return names, next
		}
		for b := buf[:n]; len(b) > 0; {
			reclen := binary.NativeEndian.Uint16(b[16:])
			next = append(next, int64(binary.NativeEndian.Uint64(b[8:])))
			name, _, _ := bytes.Cut(b[19:reclen], []byte{0})
			names = append(names, string(name))
			b = b[reclen:]
		}
	}
}

// TestSeekdir goes back to each cookie, and to the beginning, which must show
// what was made meanwhile.
func TestSeekdir(t *testing.T) {
	w := mount(t, Options{})
	for i := range 50 {
		write(t, w.path(fmt.Sprint("f", i)), "")
	}
	fd, err := unix.Open(w.Dir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	names, next := dirents(t, fd, 1<<16)
	if len(names) != 52 || names[0] != "." || names[1] != ".." {
		t.Fatalf("%d entries: %q", len(names), names)
	}
	for _, i := range []int{0, 1, 7, 25, 50, 3, 51} {
		_, err := unix.Seek(fd, next[i], 0)
		must(t, err)
		rest, _ := dirents(t, fd, 1024)
		if strings.Join(rest, " ") != strings.Join(names[i+1:], " ") {
			t.Errorf("after entry %d: %q, want %q", i, rest, names[i+1:])
		}
	}
	write(t, w.path("later"), "")
	_, err = unix.Seek(fd, 0, 0)
	must(t, err)
	if again, _ := dirents(t, fd, 4096); len(again) != 53 {
		t.Errorf("after rewinding: %d entries, want 53", len(again))
	}
}

// TestHostile sends what no kernel does.
func TestHostile(t *testing.T) {
	tree := openTree(t)
	s := newServer(Config{As: func(c posix.Cred) posix.Namespace { return tree.As(c).In(1) }, Files: testFiles(t)})
	at := func(node uint64) raw.InHeader { return raw.InHeader{NodeId: node} }
	root, gone := at(1), at(1<<63)
	var entry raw.EntryOut
	var attr raw.AttrOut
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		what string
		want raw.Status
		got  raw.Status
	}{
		{"lookup of a path", raw.EINVAL, s.Lookup(nil, &root, "a/b", &entry)},
		{"lookup of a zero byte", raw.EINVAL, s.Lookup(nil, &root, "a\x00b", &entry)},
		{"lookup of nothing", raw.EINVAL, s.Lookup(nil, &root, "", &entry)},
		{"a long name", status(posix.ENAMETOOLONG), s.Lookup(nil, &root, long, &entry)},
		{"mkdir of a path", raw.EINVAL, s.Mkdir(nil, &raw.MkdirIn{InHeader: root}, "../x", &entry)},
		{"mkdir of dots", status(posix.EEXIST), s.Mkdir(nil, &raw.MkdirIn{InHeader: root}, "..", &entry)},
		{"rename to a path", raw.EINVAL, s.Rename(nil, &raw.RenameIn{InHeader: root, Newdir: 1}, "a", "b/c")},
		{"rename with odd flags", raw.EINVAL, s.Rename(nil, &raw.RenameIn{InHeader: root, Newdir: 1, Flags: 8}, "a", "b")},
		{"a node that is not there", status(posix.ESTALE), s.GetAttr(nil, &raw.GetAttrIn{InHeader: gone}, &attr)},
		{"node 0", status(posix.ESTALE), s.GetAttr(nil, &raw.GetAttrIn{}, &attr)},
		{"open of no node", status(posix.ESTALE), s.Open(nil, &raw.OpenIn{InHeader: gone}, new(raw.OpenOut))},
		{"write to no handle", raw.EBADF, func() raw.Status { _, st := s.Write(nil, &raw.WriteIn{InHeader: root, Fh: 7}, nil); return st }()},
		{"read of no handle", raw.EBADF, func() raw.Status { _, st := s.Read(nil, &raw.ReadIn{InHeader: root, Fh: 7}, nil); return st }()},
		{"flush of no handle", raw.EBADF, s.Flush(nil, &raw.FlushIn{InHeader: root, Fh: 7})},
		{"fsyncdir of no handle", raw.EBADF, s.FsyncDir(nil, &raw.FsyncIn{InHeader: root, Fh: 7})},
		{"ftruncate of no handle", raw.EBADF, s.SetAttr(nil, &raw.SetAttrIn{SetAttrInCommon: raw.SetAttrInCommon{InHeader: root, Valid: raw.FATTR_FH}}, &attr)},
		{"an xattr of another size", raw.EINVAL, s.SetXAttr(nil, &raw.SetXAttrIn{InHeader: root, Size: 9}, "user.x", nil)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	s.Release(nil, &raw.ReleaseIn{InHeader: root, Fh: 7})
	s.ReleaseDir(&raw.ReleaseIn{InHeader: root, Fh: 7})
	s.Forget(1<<63, 1)

	var made raw.CreateOut
	if st := s.Create(nil, &raw.CreateIn{InHeader: root, Flags: unix.O_RDWR, Mode: 0o644}, "f", &made); st != raw.OK {
		t.Fatal(st)
	}
	file := at(made.NodeId)
	for _, c := range []struct {
		off  uint64
		want error
	}{{1<<63 - 1, syscall.EFBIG}, {1 << 63, syscall.EFBIG}, {1<<64 - 1, syscall.EFBIG}} {
		_, st := s.Write(nil, &raw.WriteIn{InHeader: file, Fh: made.Fh, Offset: c.off}, []byte("xy"))
		if !errors.Is(syscall.Errno(st), c.want) {
			t.Errorf("write at %d: %v, want %v", c.off, st, c.want)
		}
	}
	if _, st := s.Read(nil, &raw.ReadIn{InHeader: file, Fh: made.Fh, Offset: 1 << 63, Size: 1 << 20}, make([]byte, 10)); st != raw.EINVAL {
		t.Errorf("read far away: %v, want EINVAL", st)
	}
	s.Release(nil, &raw.ReleaseIn{InHeader: file, Fh: made.Fh})
}

// TestCapability sees that the answer known of a fresh file, that it has no
// capabilities, does not outlive their being set, and that a write drops them.
func TestCapability(t *testing.T) {
	needRoot(t)
	w := mount(t, Options{})
	f, err := os.Create(w.path("f"))
	must(t, err)
	defer f.Close()
	const name = "security.capability"
	_, err = unix.Getxattr(w.path("f"), name, nil)
	want(t, "of a fresh file", err, unix.ENODATA)
	caps := make([]byte, 20) // struct vfs_cap_data: version 2, CAP_CHOWN permitted
	caps[3], caps[4] = 2, 1
	must(t, unix.Setxattr(w.path("f"), name, caps, 0))
	got := make([]byte, 64)
	if n, err := unix.Getxattr(w.path("f"), name, got); err != nil || !bytes.Equal(got[:n], caps) {
		t.Errorf("set and read: %x, %v", got[:max(n, 0)], err)
	}
	_, err = f.WriteString("x")
	must(t, err)
	must(t, f.Close())
	_, err = unix.Getxattr(w.path("f"), name, nil)
	want(t, "after a write", err, unix.ENODATA)
}
