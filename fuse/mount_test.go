package fuse

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountShows looks at what /proc/mounts and statfs(2) tell of a mount.
func TestMountShows(t *testing.T) {
	w := mount(t, Options{NoDev: true})
	b, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	line := ""
	for l := range strings.Lines(string(b)) {
		if strings.Contains(l, " "+w.Dir()+" ") {
			line = l
		}
	}
	for _, part := range []string{"test:/ ", " fuse.wardfs ", "default_permissions", "nodev"} {
		if !strings.Contains(line, part) {
			t.Errorf("/proc/mounts has %q, want %q in it", line, part)
		}
	}
	var st unix.Statfs_t
	must(t, unix.Statfs(w.Dir(), &st))
	if st.Namelen != 255 || st.Bsize != statfsUnit || st.Blocks == 0 || st.Ffree == 0 {
		t.Errorf("statfs: %+v", st)
	}
	if _, err := Mount(w.Dir(), Config{}); err == nil || !strings.Contains(err.Error(), "wardfs mount already") {
		t.Errorf("a second mount on top: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	w := mount(t, Options{ReadOnly: true})
	want(t, "write to a read-only mount", os.WriteFile(w.path("a"), nil, 0o600), syscall.EROFS)
}

func TestUnmountBusy(t *testing.T) {
	w := mount(t, Options{})
	write(t, w.path("a"), "still here")
	f, err := os.Open(w.path("a"))
	must(t, err)
	defer f.Close()
	want(t, "unmount of a busy mount", w.Unmount(), syscall.EBUSY)
	must(t, w.Detach())
	if typ, err := mountedOn(w.Dir()); typ != "" || err != nil {
		t.Errorf("%q is still mounted (%v)", typ, err)
	}
	b := make([]byte, 20)
	if n, err := f.Read(b); err != nil || string(b[:n]) != "still here" {
		t.Errorf("after the lazy unmount: %q, %v", b[:n], err)
	}
	select {
	case <-w.done:
		t.Error("ended while a file was open")
	default:
	}
	must(t, f.Close())
	w.Wait()
	must(t, w.Unmount()) // once more is no error
}

// childInterrupted makes a directory that takes for ever, handling SIGUSR1,
// and says in which thread.
func childInterrupted(args []string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	runtime.LockOSThread()
	fmt.Println(unix.Gettid())
	if err := syscall.Mkdir(args[0], 0o777); err != syscall.EINTR {
		return fmt.Errorf("mkdir: %v, want EINTR", err)
	}
	return nil
}

// startInterrupted runs childInterrupted until it waits, and answers how to
// send it SIGUSR1.
func startInterrupted(t *testing.T, w *world) (cmd *exec.Cmd, signal func()) {
	t.Helper()
	cmd = child("interrupted", w.path("held"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var tid int
	_, err = fmt.Fscan(out, &tid)
	must(t, err)
	<-w.entered
	return cmd, func() { must(t, unix.Tgkill(cmd.Process.Pid, tid, syscall.SIGUSR1)) }
}

// TestInterruptHandled sends a signal that the caller handles, without grace:
// EINTR, and nothing has happened.
func TestInterruptHandled(t *testing.T) {
	w := mount(t, Options{InterruptGrace: -1})
	cmd, signal := startInterrupted(t, w)
	signal()
	must(t, cmd.Wait())
	if _, err := os.Stat(w.path("held")); !os.IsNotExist(err) {
		t.Errorf("the interrupted mkdir left something: %v", err)
	}
}

// TestInterruptKilled sends a signal that ends the caller.
func TestInterruptKilled(t *testing.T) {
	w := mount(t, Options{})
	cmd := exec.Command("mkdir", w.path("held"))
	must(t, cmd.Start())
	<-w.entered
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	cmd.Wait()
	if got, want := cmd.ProcessState.String(), "signal: terminated"; got != want {
		t.Errorf("ended with %q, want %q", got, want)
	}
}

// TestHandledThenKilled lets a signal that is handled pass, and the request go
// on; then one that kills ends it, though the kernel tells of the first alone.
func TestHandledThenKilled(t *testing.T) {
	w := mount(t, Options{})
	cmd, signal := startInterrupted(t, w)
	signal()
	// A request that the kernel queues behind the interrupt, and that needs no
	// lock of the directory.
	must(t, unix.Statfs(w.Dir(), new(unix.Statfs_t)))
	if n := w.requests("mkdir"); n != 0 {
		t.Error("a handled signal ended the request")
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	if n := w.requests("mkdir"); n != 1 {
		t.Errorf("%d requests were answered, want 1", n)
	}
}
