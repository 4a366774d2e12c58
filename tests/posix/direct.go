package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

var (
	alice = harness.Alice
	bob   = harness.Bob
)

// aligned is a buffer that O_DIRECT takes.
func aligned(n int) []byte {
	const align = 4096
	b := make([]byte, n+align)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % align
	return b[skip:][:n:n]
}

// openDirect mixes O_DIRECT with the page cache; each must see the other.
func openDirect(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o644)
	ok(t, err)
	defer unix.Close(fd)
	b := aligned(64 << 10)
	for i := range b {
		b[i] = byte(i>>12) + 1
	}
	n, err := unix.Pwrite(fd, b, 0)
	ok(t, err)
	equal(t, "written", n, len(b))
	equal(t, "read through the cache", content(t, name), string(b))

	f := open(t, name, os.O_RDWR, 0)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xee}, 4096), 8192)
	ok(t, err)
	copy(b[8192:], bytes.Repeat([]byte{0xee}, 4096))
	got := aligned(len(b))
	n, err = unix.Pread(fd, got, 0)
	ok(t, err)
	if n != len(b) || !bytes.Equal(got, b) {
		t.Errorf("O_DIRECT does not see what was written through the cache (%d bytes read)", n)
	}
	_, err = unix.Pwrite(fd, b[:4096], 4096)
	ok(t, err)
	copy(b[4096:8192], b[:4096])
	equal(t, "the cache after a second O_DIRECT write", content(t, name), string(b))
	n, err = unix.Pread(fd, got, int64(len(b)))
	ok(t, err)
	equal(t, "bytes at the end", n, 0)
}

// openSignals: signal(7) has no file of a disk among what a signal interrupts
// when its handler restarts calls. A program with a timer must not see EINTR.
func openSignals(t *testing.T, dir string) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	tid := make(chan int)
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		result <- underFire(dir)
	}()
	target := <-tid
	go func() { // SIGURG: Go's runtime handles it with SA_RESTART and does nothing
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Tgkill(unix.Getpid(), target, unix.SIGURG)
				runtime.Gosched()
			}
		}
	}()
	err := <-result
	close(stop)
	<-stopped
	ok(t, err)
}

// underFire makes bare calls of all kinds, none of them tried again.
func underFire(dir string) error {
	data := bytes.Repeat([]byte("data"), 64<<10)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for i := range 60 {
		fd, err := unix.Open(a, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("round %d: open: %w", i, err)
		}
		n, err := unix.Write(fd, data)
		if err == nil && n != len(data) {
			err = fmt.Errorf("%d of %d bytes", n, len(data))
		}
		got := make([]byte, len(data))
		_, rerr := unix.Pread(fd, got, 0)
		var st unix.Stat_t
		err = errors.Join(
			wrap("write", err), wrap("pread", rerr), wrap("fstat", unix.Fstat(fd, &st)),
			wrap("ftruncate", unix.Ftruncate(fd, 1000)), wrap("fsync", unix.Fsync(fd)), wrap("close", unix.Close(fd)),
			wrap("rename", unix.Rename(a, b)), wrap("stat", unix.Stat(b, &st)), wrap("chmod", unix.Chmod(b, 0o600)),
			wrap("link", unix.Link(b, a)), wrap("unlink", unix.Unlink(b)), wrap("mkdir", unix.Mkdir(b, 0o755)), wrap("rmdir", unix.Rmdir(b)),
		)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return nil
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
