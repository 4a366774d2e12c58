// Package harness runs a real wardfs for tests: the built binary, a private
// data folder, free ports, a mount. It waits for what the binary says and never
// for time to pass, and it lets no test end with something mounted or running.
//
// WARDFS_LOG=1 shows the log of tests that pass, too.
//
// A package of tests begins with
//
//	func TestMain(m *testing.M) { harness.Main(m, nil) }
//
//	func TestSomething(t *testing.T) {
//		w := harness.Start(t)
//		use(w.Mount())
//		w.Restart(t)
//		use(w.Mount())
//	}
//
// Where nothing can be mounted a test is skipped, but not in CI: there it fails.
package harness

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A minute is long for a start and short for a test that hangs.
const patience = time.Minute

// Ward is one `wardfs dev`: a server and its mount.
type Ward struct {
	base string // holds all that follows; removed at the end
	dir  string
	mnt  string
	args []string
	proc *process // nil while it is down
	logs []string // files, one a start
}

// Start starts `wardfs dev` with args behind its own, and ends it when t does.
func Start(t testing.TB, args ...string) *Ward {
	t.Helper()
	needMount(t)
	base := tempDir(t, "")
	w := &Ward{base: base, dir: filepath.Join(base, "data"), mnt: filepath.Join(base, "mnt"), args: args}
	if err := os.Mkdir(w.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.end(t) })
	w.Up(t)
	return w
}

// Dir is the data folder.
func (w *Ward) Dir() string { return w.dir }

// Mount is where it is mounted.
func (w *Ward) Mount() string { return w.mnt }

// Pid is the process that serves and mounts; 0 while it is down.
func (w *Ward) Pid() int {
	if w.proc == nil {
		return 0
	}
	return w.proc.cmd.Process.Pid
}

// Up starts what was stopped or killed, over the same data.
func (w *Ward) Up(t testing.TB) {
	t.Helper()
	p, err := w.launch("dev", append([]string{"--dir", w.dir, "--mount", w.mnt}, w.args...))
	if err == nil {
		err = p.ready("ready:")
	}
	w.proc = p
	if err != nil {
		t.Fatalf("wardfs dev: %v\n%s", err, w.Logs())
	}
	if !Mounted(w.mnt) {
		t.Fatalf("wardfs dev says it is ready, but %s is not mounted\n%s", w.mnt, w.Logs())
	}
}

// Down ends it by SIGTERM and fails the test unless that is clean.
func (w *Ward) Down(t testing.TB) {
	t.Helper()
	if err := w.stop(); err != nil {
		t.Fatalf("SIGTERM: %v\n%s", err, w.Logs())
	}
}

// Restart is Down and Up.
func (w *Ward) Restart(t testing.TB) {
	t.Helper()
	w.Down(t)
	w.Up(t)
}

// Kill9 kills server and mount at once, as a crash does, and takes away the
// dead mount. Programs in the midst of a call get an error.
func (w *Ward) Kill9(t testing.TB) {
	t.Helper()
	w.proc.killMounted(t, w.mnt)
	w.proc = nil
}

// Logs is what it wrote to standard error, all starts together, shortened to
// its end.
func (w *Ward) Logs() string {
	const most = 8 << 10
	var all []byte
	for _, name := range w.logs {
		b, _ := os.ReadFile(name)
		all = append(all, b...)
	}
	if len(all) > most {
		all = append([]byte("..."), all[len(all)-most:]...)
	}
	return string(all)
}

// SecondMount mounts the same server once more, with mount options or without,
// and answers where.
func (w *Ward) SecondMount(t testing.TB, options ...string) string {
	t.Helper()
	mnt, err := os.MkdirTemp(w.base, "mnt")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", "dev:" + w.dir, mnt}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	p, err := w.launch("mount", args)
	if err == nil {
		t.Cleanup(func() {
			if err := p.terminate(mnt); err != nil {
				t.Errorf("second mount: SIGTERM: %v", err)
			}
		})
		err = p.ready("ready:")
	}
	if err != nil {
		t.Fatalf("wardfs mount: %v\n%s", err, w.Logs())
	}
	return mnt
}

// stop ends the process by SIGTERM and says what was not clean about it.
func (w *Ward) stop() error {
	if w.proc == nil {
		return nil
	}
	p := w.proc
	w.proc = nil
	return p.terminate(w.mnt)
}

// end is the last check: a clean stop, and a log without a panic or a race.
func (w *Ward) end(t testing.TB) {
	if err := w.stop(); err != nil {
		t.Errorf("at the end: SIGTERM: %v", err)
	}
	for _, name := range w.logs {
		b, _ := os.ReadFile(name)
		for _, mark := range []string{"panic:", "DATA RACE", "fatal error:"} {
			if strings.Contains(string(b), mark) {
				t.Errorf("the log has %q", mark)
				w.logs = []string{name}
			}
		}
	}
	if t.Failed() || os.Getenv("WARDFS_LOG") != "" {
		t.Logf("log of wardfs:\n%s", w.Logs())
	}
}

// launch starts the binary with a log file of its own.
func (w *Ward) launch(verb string, args []string) (*process, error) {
	log, err := os.CreateTemp(w.base, verb+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	w.logs = append(w.logs, log.Name())
	return launch(log, append([]string{verb}, args...)...)
}

// needMount skips a test where nothing can be mounted; in CI it fails.
func needMount(t testing.TB) {
	t.Helper()
	why := ""
	if os.Getuid() != 0 {
		why = "not root: users, devices and mounts of all kinds are part of the test"
	} else if err := syscall.Access("/dev/fuse", 6); err != nil {
		why = "/dev/fuse: " + err.Error()
	}
	if why != "" {
		Skip(t, why)
	}
}

// Skip skips the test for that reason, but fails it in CI, where what is
// skipped would never be seen.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("may not be skipped in CI: %s", why)
	}
	t.Skip(why)
}
