package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Result is how one run of the binary ended.
type Result struct {
	Code           int
	Stdout, Stderr string
	Took           time.Duration
}

// Run runs the binary with args to its end, with no standard input, for at
// most limit: longer fails the test.
func Run(t testing.TB, limit time.Duration, args ...string) Result {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a child that keeps the pipes open
	start := time.Now()
	err = cmd.Run()
	r := Result{cmd.ProcessState.ExitCode(), out.String(), errs.String(), time.Since(start)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Errorf("wardfs %s hangs: nothing after %v\n%s", strings.Join(args, " "), limit, r.Stderr)
	case err != nil && !errors.As(err, &exit):
		t.Fatal(err)
	}
	return r
}

// Address is where the server of a `wardfs dev` listens.
func (w *Ward) Address(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "endpoint.json"))
	var p struct{ Listen string }
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Listen == "" {
		t.Fatalf("endpoint.json: %v %s", err, b)
	}
	return p.Listen
}

// Credentials are the mount options that name what a `wardfs dev` made: its
// authority, and a client's certificate and key.
func (w *Ward) Credentials() string {
	tls := filepath.Join(w.dir, "tls")
	return fmt.Sprintf("ca=%[1]s/ca.pem,cert=%[1]s/client.pem,key=%[1]s/client.key", tls)
}
