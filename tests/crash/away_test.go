package crash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// TestSoft: with -o soft a call that waited for timeo answers ETIMEDOUT, and
// all is well when the server is back.
func TestSoft(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t, "soft,timeo=1s")
	kept := filepath.Join(m.Path(), "kept")
	write(t, kept, []byte("kept"))
	f, err := os.Create(filepath.Join(m.Path(), "dirty"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("dirty"); err != nil {
		t.Fatal(err)
	}
	s.Kill9()
	for what, err := range map[string]error{
		"mkdir": os.Mkdir(filepath.Join(m.Path(), "d"), 0o755), "chmod": os.Chmod(kept, 0o600), "fsync": f.Sync(),
	} {
		if !errors.Is(err, unix.ETIMEDOUT) {
			t.Errorf("%s without a server: %v, want ETIMEDOUT", what, err)
		}
	}
	s.Up(t)
	if err := harness.Until(f.Sync); err != nil {
		t.Errorf("fsync with the server back: %v", err)
	}
	for name, want := range map[string]string{"kept": "kept", "dirty": "dirty"} {
		if b, err := os.ReadFile(filepath.Join(m.Path(), name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// TestKilledWaiting: a program that waits for a server that is away, or for a
// lock, can be killed; the mount goes on, and the lock is free.
func TestKilledWaiting(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	name := filepath.Join(m.Path(), "f")
	write(t, name, []byte("x"))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	waiting(t, harness.Child("crash-wait", "flock", name))
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	g, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := harness.Until(func() error { return unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		t.Errorf("the lock of a program that was killed while it waited: %v", err)
	}
	s.Kill9()
	for _, what := range []string{"mkdir", "create", "statfs", "fsync"} {
		waiting(t, harness.Child("crash-wait", what, filepath.Join(m.Path(), what)))
	}
	s.Up(t)
	write(t, filepath.Join(m.Path(), "after"), []byte("after"))
}

// waiting starts a program that says when it begins to wait, lets it wait, and
// kills it.
func waiting(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	asleep := func() error { // in the call, and not before it
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", cmd.Process.Pid))
		if strings.Contains(string(b), "futex") || string(b) == "0" || len(b) == 0 {
			return harness.ErrNotYet
		}
		return nil
	}
	_ = harness.Until(asleep)
	ended := make(chan error, 1)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Errorf("%v did not wait", cmd.Args)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%v can't be killed", cmd.Args)
	}
}

// TestUnmountAway: a mount whose server is away ends when it is told to.
func TestUnmountAway(t *testing.T) {
	s := harness.StartServer(t)
	m, lazy := s.Mount(t), s.Mount(t)
	s.Kill9()
	if err := m.Down(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	r := harness.Run(t, time.Minute, "umount", "-l", lazy.Path())
	if r.Code != 0 || harness.Mounted(lazy.Path()) {
		t.Errorf("umount -l: code %d, %s", r.Code, r.Stderr)
	}
	if err := lazy.Down(); err != nil {
		t.Errorf("after umount -l: %v", err)
	}
	s.Up(t)
}
