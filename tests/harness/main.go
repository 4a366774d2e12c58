package harness

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const (
	childEnv  = "WARDFS_TEST_CHILD"
	guardName = "harness-guard"
)

// Main is the TestMain of a package of tests. children are the programs that
// Child can run: the test binary is started again to be one of them. It fails
// the whole when something that the tests started or mounted is left.
func Main(m *testing.M, children map[string]func(args []string) error) {
	withoutPreemption()
	if name := os.Getenv(childEnv); name == guardName {
		guard()
	} else if name != "" {
		child := children[name]
		if child == nil {
			fmt.Fprintf(os.Stderr, "no child is called %q\n", name)
			os.Exit(2)
		}
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

// withoutPreemption starts the program anew without the signals by which Go's
// scheduler preempts: a bare system call that a test makes shall not be
// interrupted but where the test says so.
func withoutPreemption() {
	const off = "asyncpreemptoff=1"
	debug := os.Getenv("GODEBUG")
	if strings.Contains(debug, off) {
		return
	}
	self, err := os.Executable()
	if err != nil {
		panic("harness: " + err.Error())
	}
	os.Setenv("GODEBUG", strings.TrimPrefix(debug+","+off, ","))
	panic(fmt.Sprint("harness: exec: ", syscall.Exec(self, os.Args, os.Environ())))
}

func run(m *testing.M) int {
	close, err := session.open()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	defer close()
	code := m.Run()
	for _, left := range session.leftovers() {
		fmt.Fprintln(os.Stderr, "harness: left behind:", left)
		code = 1
	}
	return code
}

// Child is a command that runs the named child of Main in a process of its own.
func Child(name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic("harness: " + err.Error())
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// session is what the test binary has: one directory for all that it makes,
// one build, one guard. A test binary has one TestMain, hence one session.
var session = &sessionState{}

type sessionState struct {
	root   string // of every directory the tests are given
	binary func() (string, error)

	mu    sync.Mutex
	pipe  *os.File // to the guard
	alive map[string]bool
}

// open makes the session's directory and starts its guard.
func (s *sessionState) open() (close func(), err error) {
	parent := os.Getenv("WARDFS_TEST_DIR")
	if s.root, err = os.MkdirTemp(parent, "wardfs-test-"); err != nil {
		return nil, err
	}
	os.Chmod(s.root, 0o755) // other users act in it
	s.alive = map[string]bool{}
	s.binary = sync.OnceValues(s.build)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g := Child(guardName, s.root)
	g.Stdin = out
	g.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := g.Start(); err != nil {
		return nil, err
	}
	out.Close()
	s.pipe = in
	return func() {
		in.Close()
		g.Wait()
	}, nil
}

// leftovers names what should have ended by now.
func (s *sessionState) leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for what := range s.alive {
		left = append(left, what)
	}
	for _, m := range mounts() {
		if strings.HasPrefix(m, s.root+"/") {
			left = append(left, "mount "+m)
		}
	}
	return left
}

func guarded(kind string, id any)   { session.tell(true, fmt.Sprint(kind, " ", id)) }
func unguarded(kind string, id any) { session.tell(false, fmt.Sprint(kind, " ", id)) }

func (s *sessionState) tell(alive bool, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe == nil {
		panic("harness: TestMain does not call harness.Main")
	}
	if alive {
		s.alive[what] = true
		fmt.Fprintln(s.pipe, "+", what)
	} else {
		delete(s.alive, what)
		fmt.Fprintln(s.pipe, "-", what)
	}
}

// guard is the process that outlives a test binary which was killed, timed out
// or panicked: when its standard input ends it kills and unmounts what is left
// and removes the session's directory.
func guard() {
	alive := map[string]bool{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if what, ok := strings.CutPrefix(in.Text(), "+ "); ok {
			alive[what] = true
		} else {
			delete(alive, strings.TrimPrefix(in.Text(), "- "))
		}
	}
	for what := range alive {
		if pid, err := strconv.Atoi(strings.TrimPrefix(what, "pid ")); err == nil && pid > 1 {
			syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
	root := os.Args[1]
	for _, m := range mounts() {
		if strings.HasPrefix(m, root+"/") {
			unmount(m)
		}
	}
	if filepath.Base(root) != "" && strings.Contains(root, "wardfs-test-") {
		os.RemoveAll(root)
	}
	os.Exit(0)
}
