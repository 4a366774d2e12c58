package harness

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is one run of the binary, in a process group of its own.
type process struct {
	cmd   *exec.Cmd
	lines chan string   // of standard output; closed at its end
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done
}

// launch runs the built binary with args, standard error going to log.
func launch(log *os.File, args ...string) (*process, error) {
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(bin, args...), lines: make(chan string, 16), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = in, log
	p.cmd.Env = environ()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	guarded("pid", p.cmd.Process.Pid)
	go func() {
		defer out.Close()
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case p.lines <- s.Text():
			default: // nobody reads on after ready
			}
		}
	}()
	go func() {
		p.err = p.cmd.Wait()
		unguarded("pid", p.cmd.Process.Pid)
		close(p.done)
	}()
	return p, nil
}

// environ is ours without what steers the tests: WARDFS_ variables are keys of
// the configuration.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "WARDFS_") })
}

// ready waits for a line with that beginning.
func (p *process) ready(prefix string) error {
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if ok && strings.HasPrefix(line, prefix) {
				return nil
			}
			if !ok {
				p.lines = nil // its end follows
			}
		case <-p.done:
			return fmt.Errorf("it ended before it was ready: %w", orZero(p.err))
		case <-late:
			return errors.New("it was not ready in time")
		}
	}
}

// terminate sends SIGTERM and answers what was not clean: an exit code other
// than 0, a mount left behind, no end at all. Afterwards nothing is left.
func (p *process) terminate(mnt string) error {
	var err error
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		err = p.err
	case <-time.After(patience):
		err = errors.New("it did not end in time")
		p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
		}
	}
	p.kill()
	if Mounted(mnt) {
		err = errors.Join(err, fmt.Errorf("%s was left mounted", mnt))
		unmount(mnt)
	}
	return err
}

// kill ends the whole process group at once.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// killMounted is kill for one that has a mount, which is taken away.
func (p *process) killMounted(t testing.TB, mnt string) {
	t.Helper()
	p.kill()
	unmount(mnt)
	if Mounted(mnt) {
		t.Fatalf("%s is still mounted after kill -9 and a lazy unmount", mnt)
	}
}

func orZero(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Mounted reports whether something is mounted at exactly that path, dead
// mounts included.
func Mounted(path string) bool {
	for _, m := range mounts() {
		if m == path {
			return true
		}
	}
	return false
}

// mounts lists all mount points.
func mounts() []string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		panic("harness: no /proc: " + err.Error())
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 {
			all = append(all, strings.NewReplacer(`\040`, " ", `\134`, `\`).Replace(f[1]))
		}
	}
	return all
}

// unmount takes a mount away, also one that is dead or busy.
func unmount(path string) {
	for range 3 { // mounts can lie on each other
		if !Mounted(path) {
			return
		}
		syscall.Unmount(path, syscall.MNT_DETACH)
	}
}
