package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wardfs/wardfs/fuse"
	"github.com/wardfs/wardfs/identity/certs"
)

// The stories of the command line are testdata/*.txt. Beside testscript's own
// commands they have:
//
//	start NAME VERB ARG...  start wardfs in the background and wait for its line ready: …
//	stop NAME [CODE]        SIGTERM, and the exit code it must end with (default 0)
//	kill9 NAME              SIGKILL
//	hangup NAME             SIGHUP
//	log NAME PATTERN        wait until its standard error has a line with that text
//	certs DIR [HOST...]     an authority, a server's and a client's certificate (of alice)
//	speak TEXT              a port that says TEXT to whoever comes; sets $PORT
//
// and the condition [fuse]: this process can mount.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wardfs": main, "mount.wardfs": main, "umount.wardfs": main,
	})
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
			e.Values["runs"] = map[string]*story{}
			e.Defer(func() { unmountBelow(e.WorkDir) })
			return nil
		},
		Condition: func(name string) (bool, error) { return name == "fuse" && canMount(), nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": cmdStart, "stop": cmdStop, "kill9": cmdKill9, "hangup": cmdHangup, "log": cmdLog,
			"certs": cmdCerts, "speak": cmdSpeak,
		},
	})
}

func canMount() bool {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return os.Getuid() == 0
}

func unmountBelow(dir string) {
	all, _ := fuse.Mounts()
	for _, m := range all {
		if strings.HasPrefix(m.On, dir+"/") {
			_ = unmountPlain(m.On, true)
		}
	}
}

// story is a wardfs in the background.
type story struct {
	cmd  *exec.Cmd
	log  string        // the file of its standard error
	done chan struct{} // closed when it has ended
}

func run1(ts *testscript.TestScript, name string) *story {
	r, ok := ts.Value("runs").(map[string]*story)[name]
	if !ok {
		ts.Fatalf("nothing was started as %s", name)
	}
	return r
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	name, args := args[0], args[1:]
	log, err := os.CreateTemp(ts.Getenv("TMPDIR"), name)
	ts.Check(err)
	defer log.Close()
	r := &story{cmd: exec.Command("wardfs", args...), log: log.Name(), done: make(chan struct{})}
	r.cmd.Path, err = exec.LookPath("wardfs")
	ts.Check(err)
	r.cmd.Dir, r.cmd.Stderr = ts.MkAbs("."), log
	for _, v := range []string{"HOME", "PATH", "TMPDIR", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET"} {
		r.cmd.Env = append(r.cmd.Env, v+"="+ts.Getenv(v))
	}
	out, err := r.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(r.cmd.Start())
	ts.Defer(func() { _ = r.cmd.Process.Kill(); <-r.done })
	ts.Value("runs").(map[string]*story)[name] = r
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { _, _ = io.Copy(io.Discard, out); _ = r.cmd.Wait(); close(r.done) }()
	if err != nil || !strings.HasPrefix(line, "ready: ") {
		<-r.done
		text, _ := os.ReadFile(r.log)
		ts.Fatalf("%s said %q, not that it is ready\n%s", name, line, text)
	}
	addr := strings.TrimSpace(strings.TrimPrefix(line, "ready: "))
	ts.Setenv("READY", addr)
}

func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	r := run1(ts, args[0])
	want := "0"
	if len(args) > 1 {
		want = args[1]
	}
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	<-r.done
	if got := r.cmd.ProcessState.ExitCode(); want != exitText(got) {
		text, _ := os.ReadFile(r.log)
		ts.Fatalf("%s ended with %s, not %s\n%s", args[0], r.cmd.ProcessState, want, text)
	}
}

func exitText(code int) string { return strings.TrimPrefix(exitWord(code), "exit=") }

func cmdKill9(ts *testscript.TestScript, neg bool, args []string) {
	r := run1(ts, args[0])
	ts.Check(r.cmd.Process.Kill())
	<-r.done
}

func cmdHangup(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(run1(ts, args[0]).cmd.Process.Signal(syscall.SIGHUP))
}

func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	r, late := run1(ts, args[0]), time.After(20*time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		text, err := os.ReadFile(r.log)
		ts.Check(err)
		if strings.Contains(string(text), args[1]) {
			return
		}
		select {
		case <-late:
			ts.Fatalf("%s never logged %q:\n%s", args[0], args[1], text)
		case <-tick.C:
		}
	}
}

func cmdCerts(ts *testscript.TestScript, neg bool, args []string) {
	a, err := certs.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	hosts := args[1:]
	if len(hosts) == 0 {
		hosts = certs.Hosts()
	}
	_, err = a.Server("server", hosts)
	ts.Check(err)
	_, err = a.Client("client", "alice")
	ts.Check(err)
}

func cmdSpeak(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.WriteString(c, args[0]+"\r\n")
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv("PORT", port)
}

func TestHelperArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want helperArgs
	}{
		"plain":    {[]string{"s:/", "/m"}, helperArgs{words: []string{"s:/", "/m"}}},
		"mount(8)": {[]string{"s:/", "/m", "-o", "rw,ro"}, helperArgs{words: []string{"s:/", "/m"}, options: []string{"rw,ro"}}},
		"together": {[]string{"-sfnvo", "rw", "s:/", "/m", "-t", "fuse.wardfs"}, helperArgs{words: []string{"s:/", "/m"}, options: []string{"rw"}, sloppy: true, fake: true, forced: true}},
		"sticks":   {[]string{"s:/", "/m", "-oro"}, helperArgs{words: []string{"s:/", "/m"}, options: []string{"ro"}}},
		"lazy":     {[]string{"/m", "-l"}, helperArgs{words: []string{"/m"}, lazy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseHelper(tc.args)
			if err != nil || strings.Join(got.words, " ") != strings.Join(tc.want.words, " ") || strings.Join(got.options, " ") != strings.Join(tc.want.options, " ") ||
				got.sloppy != tc.want.sloppy || got.fake != tc.want.fake || got.lazy != tc.want.lazy {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	for _, args := range [][]string{{"-o"}, {"-x"}, {"-N", "3"}} {
		if _, err := parseHelper(args); exitCode(err) != exitUsage {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

func TestMountFuseIsRecognised(t *testing.T) {
	root := newRoot(&env{})
	for line, want := range map[string]bool{
		"s:/ /m -o rw": true, "dev:/x /m -o rw": true, "host /m -o rw": true,
		"mount /m -o rw": false, "unmount /m": false, "s:/ m -o rw": false, "-o rw /m": false, "status": false, "": false,
	} {
		if got := calledByMountFuse(root, strings.Fields(line)); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
}

func TestEveryFailureHasACode(t *testing.T) {
	seen := map[int]bool{}
	for i, x := range exitCodes {
		if x.code != i || x.text == "" || seen[x.code] {
			t.Errorf("code %d stands at %d", x.code, i)
		}
		seen[x.code] = true
	}
	if got := exitCode(context.Canceled); got != exitFailure {
		t.Errorf("an error of no kind: %d", got)
	}
}

func TestCLIReferenceIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != cliReference(newRoot(&env{})) {
		t.Error("docs/cli.md is old: run go generate ./cmd/wardfs")
	}
}
