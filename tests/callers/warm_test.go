package callers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// op is one thing that a program does with a file of alice's.
type op struct {
	name string
	do   func(dir string) error
	// what bob gets who may search the directory, and nothing else
	searched error
}

// ops are all that there is to do with the files f, l, d, p and s of a
// directory.
func ops() []op {
	in := func(f func(path string) error, name string) func(string) error {
		return func(dir string) error { return f(filepath.Join(dir, name)) }
	}
	open := func(flags int) func(string) error {
		return func(path string) error {
			fd, err := unix.Open(path, flags|unix.O_NONBLOCK, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	two := func(f func(a, b string) error, a, b string) func(string) error {
		return func(dir string) error { return f(filepath.Join(dir, a), filepath.Join(dir, b)) }
	}
	ok, no, own := error(nil), error(syscall.EACCES), error(syscall.EPERM)
	return []op{
		{"stat", in(func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }, "f"), ok},
		{"lstat", in(func(p string) error { return unix.Lstat(p, new(unix.Stat_t)) }, "l"), ok},
		{"statx", in(func(p string) error {
			return unix.Statx(unix.AT_FDCWD, p, unix.AT_STATX_DONT_SYNC, unix.STATX_ALL, new(unix.Statx_t))
		}, "f"), ok},
		{"lookup of nothing", in(func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }, "none"), syscall.ENOENT},
		{"access", in(func(p string) error { return unix.Access(p, unix.R_OK) }, "f"), no},
		{"statfs", in(func(p string) error { return unix.Statfs(p, new(unix.Statfs_t)) }, "f"), ok},
		{"readlink", in(func(p string) error { _, err := os.Readlink(p); return err }, "l"), ok},
		{"open to read", in(open(unix.O_RDONLY), "f"), no},
		{"open to write", in(open(unix.O_WRONLY), "f"), no},
		{"open to append", in(open(unix.O_WRONLY|unix.O_APPEND), "f"), no},
		{"open to cut", in(open(unix.O_WRONLY|unix.O_TRUNC), "f"), no},
		{"open what a link says", in(open(unix.O_RDONLY), "l"), no},
		{"run", in(func(p string) error { return unix.Access(p, unix.X_OK) }, "f"), no},
		{"create", in(open(unix.O_CREAT|unix.O_WRONLY), "new"), no},
		{"O_TMPFILE", in(open(unix.O_TMPFILE|unix.O_RDWR), ""), no},
		{"list", in(func(p string) error { _, err := os.ReadDir(p); return err }, ""), no},
		{"list below", in(func(p string) error { _, err := os.ReadDir(p); return err }, "d"), no},
		{"enter below", in(func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }, "d/x"), no},
		{"mkdir", in(func(p string) error { return unix.Mkdir(p, 0o700) }, "new"), no},
		{"mknod", in(func(p string) error { return unix.Mkfifo(p, 0o600) }, "new"), no},
		{"symlink", in(func(p string) error { return unix.Symlink("x", p) }, "new"), no},
		{"link", two(unix.Link, "f", "new"), no},
		{"unlink", in(unix.Unlink, "f"), no},
		{"rmdir", in(unix.Rmdir, "d"), no},
		{"rename", two(unix.Rename, "f", "new"), no},
		{"exchange", two(func(a, b string) error {
			return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
		}, "f", "d"), no},
		{"truncate", in(func(p string) error { return unix.Truncate(p, 0) }, "f"), no},
		{"chmod", in(func(p string) error { return unix.Chmod(p, 0o777) }, "f"), own},
		{"chown", in(func(p string) error { return unix.Chown(p, bob.UID, bob.GID) }, "f"), own},
		{"touch", in(func(p string) error { return os.Chtimes(p, time.Now(), time.Unix(1e9, 0)) }, "f"), own},
		{"getxattr", in(func(p string) error { _, err := unix.Getxattr(p, "user.a", make([]byte, 64)); return err }, "f"), no},
		{"setxattr", in(func(p string) error { return unix.Setxattr(p, "user.a", []byte("b"), 0) }, "f"), no},
		{"removexattr", in(func(p string) error { return unix.Removexattr(p, "user.a") }, "f"), no},
		{"setfacl", in(func(p string) error {
			return unix.Setxattr(p, "system.posix_acl_access", []byte("\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x20\x00\x07\x00\xff\xff\xff\xff"), 0)
		}, "f"), own},
		{"open a fifo", in(open(unix.O_RDONLY), "p"), no},
		{"connect to a socket", in(func(p string) error {
			c, err := net.Dial("unix", p)
			if err == nil {
				c.Close()
			}
			return err
		}, "s"), no},
	}
}

// make fills a directory of alice's and looks at all of it, so that every cache
// is warm.
func (s *site) fill(dir string, mode os.FileMode) {
	s.t.Helper()
	must(s.t, as(alice, func() error {
		must(s.t, os.Mkdir(dir, mode))
		must(s.t, os.WriteFile(dir+"/f", []byte(strings.Repeat("secret ", 1000)), 0o600))
		must(s.t, os.Symlink("f", dir+"/l"))
		must(s.t, os.Mkdir(dir+"/d", 0o700))
		must(s.t, os.WriteFile(dir+"/d/x", []byte("x"), 0o600))
		must(s.t, unix.Setxattr(dir+"/f", "user.a", []byte("secret"), 0))
		must(s.t, unix.Mkfifo(dir+"/p", 0o600))
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(s.t, err)
		s.t.Cleanup(func() { unix.Close(fd) })
		must(s.t, unix.Chdir(dir)) // a socket's path is short
		must(s.t, unix.Bind(fd, &unix.SockaddrUnix{Name: "s"}))
		must(s.t, unix.Listen(fd, 1))
		must(s.t, os.Chmod("s", 0o600))
		return unix.Chdir("/")
	}))
	s.warm(dir)
}

func (s *site) warm(dir string) {
	s.t.Helper()
	must(s.t, as(alice, func() error {
		for _, name := range []string{"", "f", "l", "d", "d/x", "p", "s"} {
			must(s.t, unix.Lstat(dir+"/"+name, new(unix.Stat_t)))
		}
		for _, name := range []string{"", "d"} {
			_, err := os.ReadDir(dir + "/" + name)
			must(s.t, err)
		}
		_, err := os.ReadFile(dir + "/l")
		must(s.t, err)
		_, err = unix.Getxattr(dir+"/f", "user.a", make([]byte, 64))
		return err
	}))
}

// What alice's work has brought into the caches shows nothing to bob, who may
// not, nor to carol, who has no credential; by whatever call.
func TestWarmCaches(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice")
	s.token(bob, "bob", time.Hour)
	closed, searched := s.path("closed"), s.path("searched")
	s.fill(closed, 0o700)
	s.fill(searched, 0o711)
	for _, o := range ops() {
		s.warm(closed)
		s.warm(searched)
		s.errno(bob, o.name+" in a closed directory", syscall.EACCES, func() error { return o.do(closed) })
		s.errno(bob, o.name+" in a directory that may be searched", o.searched, func() error { return o.do(searched) })
		for _, dir := range []string{closed, searched} {
			s.errno(carol, o.name+" without a credential", syscall.EACCES, func() error { return o.do(dir) })
		}
	}
	// A descriptor is whose who has it; a lock through it is of its session.
	var f *os.File
	must(t, as(alice, func() (err error) { f, err = os.OpenFile(searched+"/f", os.O_RDWR, 0); return err }))
	defer f.Close()
	must(t, as(bob, func() error {
		for _, err := range []error{
			unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB),
			unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 10}),
			f.Truncate(4),
			f.Sync(),
		} {
			if err != nil {
				return err
			}
		}
		_, err := f.WriteAt([]byte("bytes"), 10)
		return err
	}))
	must(t, as(carol, f.Sync))
	must(t, as(alice, func() error {
		if b, err := os.ReadFile(searched + "/f"); err != nil || string(b) != "secr\x00\x00\x00\x00\x00\x00bytes" {
			t.Errorf("through a descriptor: %q, %v", b, err)
		}
		return nil
	}))
}

// Two write one file at once: what each wrote is there, and each commit is by
// who wrote it.
func TestTwoWriters(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice")
	s.kinit(bob, "bob")
	var a, b *os.File
	must(t, as(alice, func() (err error) { a, err = os.Create(s.path("both")); return err }))
	defer a.Close()
	must(t, a.Chmod(0o666))
	must(t, as(bob, func() (err error) { b, err = os.OpenFile(s.path("both"), os.O_RDWR, 0); return err }))
	defer b.Close()
	for i := range 20 {
		at := int64(2 * i)
		must(t, as(alice, func() error { _, err := a.WriteAt([]byte("a"), at); return err }))
		must(t, as(bob, func() error { _, err := b.WriteAt([]byte("b"), at+1); return err }))
	}
	// What alice has written and not synced does not keep bob from his.
	must(t, as(alice, func() error { _, err := a.WriteAt([]byte("A"), 0); return err }))
	s.kdestroy(alice)
	must(t, as(bob, func() error { _, err := b.WriteAt([]byte("B"), 1); return err }))
	must(t, as(bob, b.Sync))
	want := "AB" + strings.Repeat("ab", 19)
	must(t, as(bob, func() error {
		if got, err := os.ReadFile(s.path("both")); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		return nil
	}))
	_, err := unix.CopyFileRange(int(a.Fd()), new(int64), int(b.Fd()), &[]int64{100}[0], 10, 0)
	must(t, err) // two sessions: the kernel copies
}

// Whoever calls himself root in a namespace of his own is who made it.
func TestUserNamespace(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice")
	run := func(uid int, script string) (string, error) {
		cmd := exec.Command("setpriv", "--reuid", itoa(uid), "--regid", itoa(uid), "--clear-groups",
			"unshare", "-U", "-r", "sh", "-c", script)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(alice.UID, "id -u"); err != nil || strings.TrimSpace(out) != "0" {
		harness.Skip(t, fmt.Sprintf("nobody may make user namespaces: %v %s", err, out))
	}
	if out, err := run(alice.UID, "echo x > "+s.path("mine")+" && chmod 600 "+s.path("mine")); err != nil {
		t.Fatalf("alice as root of her namespace: %v %s", err, out)
	}
	must(t, as(alice, func() error {
		info, err := os.Stat(s.path("mine"))
		if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != alice.UID {
			t.Errorf("the file is user %d's", info.Sys().(*syscall.Stat_t).Uid)
		}
		return err
	}))
	if out, err := run(bob.UID, "cat "+s.path("mine")); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("bob, without a credential, as root of his namespace: %v %s", err, out)
	}
}
