package posix

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var specialChecks = []check{
	{"nodes", specialNodes},
	{"fifo", specialFifo},
	{"socket", specialSocket},
	{"exec", specialExec},
	{"tmpfile", specialTmpfile},
}

func specialNodes(t *testing.T, dir string) {
	for name, c := range map[string]struct {
		mode uint32
		dev  uint64
	}{
		"fifo": {unix.S_IFIFO | 0o640, 0}, "sock": {unix.S_IFSOCK | 0o600, 0}, "reg": {unix.S_IFREG | 0o644, 0},
		"chr": {unix.S_IFCHR | 0o644, unix.Mkdev(1, 3)}, "blk": {unix.S_IFBLK | 0o600, unix.Mkdev(259, 300000)},
	} {
		p := filepath.Join(dir, name)
		ok(t, unix.Mknod(p, c.mode, int(c.dev)))
		st := lstat(t, p)
		equal(t, name+": mode", st.Mode, c.mode)
		equal(t, name+": rdev", st.Rdev, c.dev)
		equal(t, name+": nlink", st.Nlink, 1)
		refused(t, name+": twice", unix.Mknod(p, c.mode, int(c.dev)), unix.EEXIST)
		ok(t, unix.Chmod(p, 0o611))
		equal(t, name+": mode after chmod", perm(t, p), 0o611)
	}
	as(t, alice, dir, func() {
		refused(t, "a device by a user", unix.Mknod("dev", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.EPERM)
		ok(t, unix.Mknod("own-fifo", unix.S_IFIFO|0o644, 0))
		ok(t, unix.Mknod("own-reg", unix.S_IFREG|0o644, 0))
	})
	refused(t, "a directory by mknod", unix.Mknod(filepath.Join(dir, "d"), unix.S_IFDIR|0o755, 0), unix.EPERM, unix.EINVAL)
}

func specialFifo(t *testing.T, dir string) {
	p := filepath.Join(dir, "p")
	ok(t, unix.Mkfifo(p, 0o644))
	refused(t, "a writer without a reader", tryOpen(p, unix.O_WRONLY|unix.O_NONBLOCK, 0), unix.ENXIO)
	got := make(chan string)
	go func() {
		b, err := os.ReadFile(p)
		if err != nil {
			b = []byte(err.Error())
		}
		got <- string(b)
	}()
	w, err := os.OpenFile(p, os.O_WRONLY, 0)
	ok(t, err)
	_, err = w.Write([]byte("through the pipe"))
	ok(t, err)
	ok(t, w.Close())
	equal(t, "read", <-got, "through the pipe")
	equal(t, "size", stat(t, p).Size, 0)
}

func specialSocket(t *testing.T, dir string) {
	// A socket's path is short; go there.
	d := open(t, dir, os.O_RDONLY, 0)
	p := "/proc/self/fd/" + itoa(int(d.Fd())) + "/s"
	l, err := net.Listen("unix", p)
	ok(t, err)
	defer l.Close()
	equal(t, "type", stat(t, filepath.Join(dir, "s")).Mode&unix.S_IFMT, unix.S_IFSOCK)
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := net.Dial("unix", p)
	ok(t, err)
	defer c.Close()
	b, err := io.ReadAll(c)
	ok(t, err)
	equal(t, "said", string(b), "hello")
	refused(t, "open of a socket", tryOpen(filepath.Join(dir, "s"), unix.O_RDONLY, 0), unix.ENXIO)
}

func specialExec(t *testing.T, dir string) {
	script, bin := filepath.Join(dir, "script"), filepath.Join(dir, "sh")
	ok(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$0 says $1\"\n"), 0o755))
	out, err := exec.Command(script, "hello").Output()
	ok(t, err)
	equal(t, "a script's words", string(out), script+" says hello\n")

	b, err := os.ReadFile("/bin/sh")
	ok(t, err)
	ok(t, os.WriteFile(bin, b, 0o755))
	cmd := exec.Command(bin, "-c", "read x; echo got $x")
	in, err := cmd.StdinPipe()
	ok(t, err)
	var said strings.Builder
	cmd.Stdout = &said
	ok(t, cmd.Start())
	refused(t, "writing to what runs", tryOpen(bin, unix.O_WRONLY, 0), unix.ETXTBSY)
	ok(t, os.Remove(bin)) // it goes on without a name
	_, err = io.WriteString(in, "it\n")
	ok(t, err)
	ok(t, cmd.Wait())
	equal(t, "a program's words", said.String(), "got it\n")

	ok(t, os.Chmod(script, 0o644))
	refused(t, "without x", exec.Command(script).Run(), unix.EACCES)
}

// specialTmpfile: a file that never had a name, and gets one.
func specialTmpfile(t *testing.T, dir string) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o640)
	if err == unix.EOPNOTSUPP {
		// open(2): a filesystem may say so, and programs take another way.
		equal(t, "names", len(list(t, dir)), 0)
		return
	}
	ok(t, err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("anonymous"))
	ok(t, err)
	equal(t, "names", len(list(t, dir)), 0)
	var st unix.Stat_t
	ok(t, unix.Fstat(fd, &st))
	equal(t, "nlink", st.Nlink, 0)
	name := filepath.Join(dir, "named")
	ok(t, unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW))
	equal(t, "content", content(t, name), "anonymous")
	equal(t, "nlink with a name", stat(t, name).Nlink, 1)
}
