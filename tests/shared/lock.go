package shared

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// The families of locks.
var families = []string{"flock", "posix", "ofd"}

// lock takes an exclusive lock of the family, waiting for it if wait is set.
func lock(f *os.File, family string, wait bool) error {
	for {
		err := tryLock(f, family, wait)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func tryLock(f *os.File, family string, wait bool) error {
	if family == "flock" {
		how := unix.LOCK_EX
		if !wait {
			how |= unix.LOCK_NB
		}
		return unix.Flock(int(f.Fd()), how)
	}
	cmd := map[string]int{"posix": unix.F_SETLK, "ofd": unix.F_OFD_SETLK}[family]
	if wait {
		cmd++ // F_SETLKW, F_OFD_SETLKW
	}
	return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10})
}

func unlock(f *os.File, family string) error {
	if family == "flock" {
		return unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	cmd := map[string]int{"posix": unix.F_SETLK, "ofd": unix.F_OFD_SETLK}[family]
	return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: unix.F_UNLCK, Start: 10, Len: 10})
}

// counters: processes on both mounts count in one file under a lock, so what
// was written under it must be what the next one reads.
func counters(t *testing.T, dirs [2]string) {
	const procs = 6
	turns := harness.Size(25, 500)
	for _, family := range families {
		name := filepath.Join(dirs[0], family)
		ok(t, os.WriteFile(name, []byte("0"), 0o644))
		var args [][]string
		for k := range procs {
			args = append(args, []string{filepath.Join(dirs[k%2], family), family, strconv.Itoa(turns)})
		}
		all(t, "shared-counter", args)
		b, err := os.ReadFile(name)
		if want := strconv.Itoa(procs * turns); err != nil || string(b) != want {
			t.Errorf("%s: counted to %q, want %s (%v)", family, b, want, err)
		}
	}
}

func counterChild(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	turns, _ := strconv.Atoi(args[2])
	for range turns {
		if err := lock(f, args[1], true); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		var b [20]byte
		n, err := f.ReadAt(b[:], 0)
		if err != nil && err != io.EOF {
			return err
		}
		count, err := strconv.Atoi(string(b[:n]))
		if err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte(strconv.Itoa(count+1)), 0); err != nil {
			return err
		}
		if err := unlock(f, args[1]); err != nil {
			return fmt.Errorf("unlock: %w", err)
		}
	}
	return f.Close()
}

// locks: what a process on one mount holds, one on the other does not get; who
// waits for it has it when it is unlocked, closed, or its holder killed.
func locks(t *testing.T, dirs [2]string) {
	for _, family := range families {
		name := "held-" + family
		ok(t, os.WriteFile(filepath.Join(dirs[0], name), []byte("x"), 0o644))
		ok(t, harness.Until(func() error { _, err := os.Stat(filepath.Join(dirs[1], name)); return err }))
		for k, how := range []string{"unlock", "close", "kill"} {
			here, there := filepath.Join(dirs[k%2], name), filepath.Join(dirs[(k+1)%2], name)
			holder := startHolder(t, family, here)
			holder.expect(t, "held")
			f, err := os.OpenFile(there, os.O_RDWR, 0)
			ok(t, err)
			if err := lock(f, family, false); !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
				t.Errorf("%s: held on the other mount: got %v, want EAGAIN", family, err)
			}
			waiter := startHolder(t, family, there)
			waiter.expect(t, "waits")
			if how == "kill" {
				ok(t, holder.cmd.Process.Kill())
			} else {
				holder.say(t, how)
			}
			waiter.expect(t, "held")
			if err := lock(f, family, false); err == nil {
				t.Errorf("%s: after %s two have it", family, how)
			}
			ok(t, f.Close())
			waiter.end(t)
			holder.end(t)
		}
	}
}

// holder is a process that takes a lock and does with it what it is told.
type holder struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func startHolder(t *testing.T, family, name string) *holder {
	t.Helper()
	h := &holder{cmd: harness.Child("shared-lock", family, name)}
	h.cmd.Stderr = os.Stderr
	var err error
	h.in, err = h.cmd.StdinPipe()
	ok(t, err)
	h.out, err = h.cmd.StdoutPipe()
	ok(t, err)
	ok(t, h.cmd.Start())
	t.Cleanup(func() { h.cmd.Process.Kill() })
	return h
}

// expect reads words until that one comes.
func (h *holder) expect(t *testing.T, word string) {
	t.Helper()
	for {
		var got string
		if _, err := fmt.Fscan(h.out, &got); err != nil {
			t.Fatalf("it ended before it said %q: %v", word, err)
		}
		if got == word {
			return
		}
	}
}

func (h *holder) say(t *testing.T, word string) {
	t.Helper()
	_, err := fmt.Fprintln(h.in, word)
	ok(t, err)
}

func (h *holder) end(t *testing.T) {
	t.Helper()
	h.in.Close()
	if err := h.cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Error(err)
	}
}

func lockChild(args []string) error {
	f, err := os.OpenFile(args[1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	fmt.Println("waits")
	if err := lock(f, args[0], true); err != nil {
		return err
	}
	fmt.Println("held")
	var word string
	for {
		if _, err := fmt.Scan(&word); err != nil {
			return nil // the end of what we are told
		}
		if word == "unlock" {
			err = unlock(f, args[0])
		} else {
			err = f.Close()
		}
		if err != nil {
			return err
		}
	}
}
