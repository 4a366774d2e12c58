package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wardfs/wardfs/cmd/wardfs/control"
)

// verdict is what the daemon tells the command that started it, once: that it
// is ready (code 0), or why it never will be.
type verdict struct {
	Code  int    `json:"code"`
	Lines string `json:"lines"` // for stderr, as they are
}

// daemonise starts this program once more as the daemon of m, in a session of
// its own, and waits for its verdict.
func daemonise(ctx context.Context, e *env, f mountFlags, spec string, m mounting) error {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	last, err := lastWords(e, m)
	if err != nil {
		theirs.Close()
		return err
	}
	defer last.Close()
	args := []string{"mount", "--status-fd=3"}
	for _, o := range f.options {
		args = append(args, "-o", o)
	}
	child := exec.Command("/proc/self/exe", append(args, "--", spec, m.mnt)...)
	child.Args[0] = "wardfs"
	child.Env, child.Stderr, child.ExtraFiles = e.environ, last, []*os.File{theirs}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = child.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("the mount daemon can't be started: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })()

	var v verdict
	if err := json.NewDecoder(ours).Decode(&v); err != nil {
		how := child.Wait()
		return fail(exitFailure, "see "+last.Name(), "the mount daemon ended before it was ready: %v", how)
	}
	if v.Code != exitOK {
		_ = child.Wait()
		_, _ = io.WriteString(e.stderr, v.Lines)
		return silent(v.Code)
	}
	return child.Process.Release()
}

// silent is a failure that was told already.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// lastWords is the file for what a daemon can't log: a panic, above all. It is
// the log too where a machine has none.
func lastWords(e *env, m mounting) (*os.File, error) {
	if m.options.Log != "" {
		f, err := os.OpenFile(m.options.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return nil, fail(exitUsage, "give another file with -o log=", "log file %s: %w", m.options.Log, cause(err))
		}
		return f, nil
	}
	if err := control.MakeDir(controlDir(e)); err != nil {
		return nil, err
	}
	return os.OpenFile(lastWordsFile(e, m), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func lastWordsFile(e *env, m mounting) string {
	name := "mount" + strings.ReplaceAll(m.mnt, "/", "-")
	return filepath.Join(controlDir(e), name[:min(len(name), 200)]+".log")
}

// forgetSilence removes the file of last words if there were none.
func forgetSilence(e *env, m mounting) {
	name := lastWordsFile(e, m)
	if st, err := os.Stat(name); err == nil && st.Size() == 0 {
		os.Remove(name)
	}
}

// runDaemon is the daemon's side: it mounts, says so, and serves on.
func runDaemon(ctx context.Context, e *env, f mountFlags, spec, mnt string) error {
	parent := os.NewFile(uintptr(f.statusFD), "status")
	if parent == nil {
		return usage("", "--status-fd is for wardfs itself")
	}
	syscall.CloseOnExec(f.statusFD) // fusermount3 must not keep the parent waiting
	told := false
	say := func(v verdict) {
		_ = json.NewEncoder(parent).Encode(v) // a parent that is gone needs no word
		parent.Close()
		told = true
	}
	err := func() error {
		m, err := newMounting(f.options, spec, mnt, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		m.log = daemonLogger(e, m)
		defer forgetSilence(e, m)
		if err := os.Chdir("/"); err != nil {
			return err
		}
		err = mountHere(ctx, e, m, func() { say(verdict{}) })
		if err != nil && told {
			m.log.Error("the mount ended badly", "err", err)
		}
		return err
	}()
	if err == nil || told {
		return err
	}
	var lines strings.Builder
	code := tell(&env{stderr: &lines}, err)
	say(verdict{max(code, exitFailure), lines.String()})
	return silent(code)
}

// daemonLogger logs to the file of the options, to the system's log, or where
// there is none to the file of last words, which is stderr.
func daemonLogger(e *env, m mounting) *slog.Logger {
	o := m.options
	if o.Log == "" {
		if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "wardfs"); err == nil {
			return newLogger(w, o.LogLevel, format(o.LogJSON)).With("mountpoint", m.mnt)
		}
	}
	return newLogger(e.stderr, o.LogLevel, format(o.LogJSON))
}

// silenced reports whether err was told already, and its code.
func silenced(err error) (int, bool) {
	var s silent
	ok := errors.As(err, &s)
	return int(s), ok
}
