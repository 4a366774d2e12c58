package lock

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// childEnv makes the test binary a process that locks: its value is the files,
// separated by colons.
const childEnv = "WARDFS_LOCK_TEST_FILES"

func TestMain(m *testing.M) {
	if names := os.Getenv(childEnv); names != "" {
		if err := lockFor(os.Stdin, os.Stdout, strings.Split(names, ":")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// An order is a line to a child: a command of fcntl, or 0 to open and close
// the file, which drops all of the process's locks on it.
type order struct {
	File  int
	Cmd   int
	Flock unix.Flock_t
}

// A report is its line back.
type report struct {
	Errno int
	Flock unix.Flock_t
}

// lockFor is the child: it does what it is told, until it is told no more.
func lockFor(in io.Reader, out io.Writer, names []string) error {
	var files []*os.File
	for _, n := range names {
		f, err := os.OpenFile(n, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := dec.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var err error
		if o.Cmd == 0 {
			var f *os.File
			if f, err = os.Open(names[o.File]); err == nil {
				err = f.Close()
			}
		} else {
			for err = unix.EINTR; err == unix.EINTR; {
				err = unix.FcntlFlock(files[o.File].Fd(), o.Cmd, &o.Flock)
			}
		}
		errno, _ := err.(unix.Errno)
		if err != nil && errno == 0 {
			return err
		}
		if err := enc.Encode(report{int(errno), o.Flock}); err != nil {
			return err
		}
	}
}

// A child is a process with locks of its own.
type child struct {
	t       *testing.T
	pid     int
	in      *json.Encoder
	reports chan report
}

// children starts n of them over the same files.
func children(t *testing.T, n, files int) []*child {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i := range files {
		names = append(names, filepath.Join(dir, fmt.Sprint(i)))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out []*child
	for range n {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(names, ":"))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c := &child{t, cmd.Process.Pid, json.NewEncoder(in), make(chan report)}
		go c.listen(stdout)
		t.Cleanup(func() {
			in.Close()
			cmd.Process.Kill() // it may wait for a lock
			for range c.reports {
			}
			cmd.Wait()
		})
		out = append(out, c)
	}
	return out
}

func (c *child) listen(out io.Reader) {
	defer close(c.reports)
	for dec := json.NewDecoder(out); ; {
		var r report
		if dec.Decode(&r) != nil {
			return
		}
		c.reports <- r
	}
}

func (c *child) tell(file, cmd int, k unix.Flock_t) {
	c.t.Helper()
	if err := c.in.Encode(order{file, cmd, k}); err != nil {
		c.t.Fatal(err)
	}
}

// hear waits for the report.
func (c *child) hear() report {
	c.t.Helper()
	select {
	case r, ok := <-c.reports:
		if !ok {
			c.t.Fatal("a child is gone")
		}
		return r
	case <-time.After(20 * time.Second):
		c.t.Fatalf("child %d waits and should not", c.pid)
	}
	return report{}
}

func (r report) errno(t *testing.T) posix.Errno {
	t.Helper()
	if r.Errno == 0 {
		return 0
	}
	return errnoOf(t, unix.Errno(r.Errno))
}

// blocked returns once the kernel lists the child as waiting.
func (c *child) blocked() {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Microsecond) {
		f, err := os.Open("/proc/locks")
		if err != nil {
			c.t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			// 1: -> POSIX  ADVISORY  WRITE 4711 fe:00:131 0 0
			if w := strings.Fields(s.Text()); len(w) > 5 && w[1] == "->" && w[5] == fmt.Sprint(c.pid) {
				f.Close()
				return
			}
		}
		f.Close()
		select {
		case r := <-c.reports:
			c.t.Fatalf("child %d should wait, but has %+v", c.pid, r)
		default:
		}
		if time.Now().After(end) {
			c.t.Fatalf("the kernel does not list child %d as waiting", c.pid)
		}
	}
}

// TestKernelProcesses compares with locks of processes, close(2) included.
func TestKernelProcesses(t *testing.T) {
	steps := 8_000
	if testing.Short() {
		steps = 1_000
	}
	cs := children(t, 4, 1)
	tab, rnd := New(Config{}), rand.New(rand.NewPCG(5, 5))
	pid := func(o Owner) int32 { return int32(cs[o.ID].pid) }
	count := map[posix.Errno]int{}
	for step := range steps {
		l := kernelLock(rnd, len(cs))
		c := cs[l.Owner.ID]
		switch n := rnd.IntN(30); {
		case n == 0:
			c.tell(0, 0, unix.Flock_t{})
			if got := c.hear().errno(t); got != 0 {
				t.Fatal(got)
			}
			tab.Release(ino, l.Owner, Posix)
		case n < 10 && l.Type != Unlock:
			c.tell(0, unix.F_GETLK, flockT(l))
			got, ok, err := tab.Test(ino, l)
			if err != nil {
				t.Fatal(err)
			}
			same(t, step, l, got, ok, c.hear().Flock, pid)
		default:
			c.tell(0, unix.F_SETLK, flockT(l))
			want := c.hear().errno(t)
			if got := try(t, tab, ino, l); got != want {
				t.Fatalf("step %d: set %+v: %v; the kernel says %v", step, l, got, want)
			}
			count[want]++
		}
	}
	if count[0] < steps/10 || count[posix.EAGAIN] < steps/10 {
		t.Errorf("too one-sided: %v", count)
	}
}

// TestKernelWaits compares waiting, being served and deadlocks: children ask
// for whole slots to write, over two files. A slot has one holder, and a
// request for one that somebody waits for already is left out, because the
// kernel's processes then race for it.
func TestKernelWaits(t *testing.T) {
	const files, slots = 2, 3
	steps := 10_000
	if testing.Short() {
		steps = 2_000
	}
	cs := children(t, 5, files)
	tab, rnd := New(Config{}), rand.New(rand.NewPCG(6, 6))
	waits := make([]*waiter, len(cs))
	var seen struct{ granted, waited, served, deadlocks int }
	for step := range steps {
		id := rnd.IntN(len(cs))
		f, slot := rnd.IntN(files), rnd.Uint64N(slots)*10
		l := by(uint64(id), Write, slot, slot+9)
		if rnd.IntN(3) == 0 {
			l.Type = Unlock
		}
		if waits[id] != nil || l.Type == Write && asked(waits, f, l) {
			continue
		}
		// A lock that splits or merges wakes who waits for it, and only once it
		// has run and waits again does the kernel see a deadlock through it.
		for i, w := range waits {
			if w != nil {
				cs[i].blocked()
			}
		}
		cs[id].tell(f, unix.F_SETLKW, flockT(l))
		w, err := tab.begin(ino+posix.Ino(f), l, true)
		if w != nil {
			cs[id].blocked()
			waits[id] = w
			seen.waited++
			continue
		}
		want := cs[id].hear().errno(t)
		if posix.ErrnoOf(err) != want {
			t.Fatalf("step %d: set %+v: %v; the kernel says %v", step, l, err, want)
		}
		if want == posix.EDEADLK {
			seen.deadlocks++
		} else {
			seen.granted++
		}
		for i, w := range waits {
			if w == nil || !w.ended() {
				continue
			}
			if got := cs[i].hear().errno(t); got != 0 || w.err != nil {
				t.Fatalf("step %d: %+v: %v; the kernel says %v", step, w.lock, w.err, got)
			}
			waits[i] = nil
			seen.served++
		}
	}
	if min(seen.granted, seen.waited, seen.served, seen.deadlocks) < steps/100 {
		t.Errorf("too one-sided: %+v", seen)
	}
}

// asked reports whether somebody waits for a part of l.
func asked(waits []*waiter, f int, l Lock) bool {
	for _, w := range waits {
		if w != nil && w.sp.key.ino == ino+posix.Ino(f) && w.lock.Start == l.Start {
			return true
		}
	}
	return false
}
