package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/server/audit"
)

// tailFlags are the flags of `wardfs admin audit tail`.
type tailFlags struct {
	file, config string
	lines        int
	follow, json bool
	filter       audit.Query
	since        string
}

func newAuditTail(e *env) *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use: "tail", Short: "print the last lines of the audit log, and those to come", Args: takes(0, 0, ""),
		Long: `tail prints the last lines of a server's audit log on this machine that are of what is asked for, those that
were turned over included. Without --file and --config it is the log of the server of this user that runs
here. Lines that say what was lost are always shown.`,
		Example: `  wardfs admin audit tail -f --result denied
  wardfs admin audit tail --since 24h --path /projects/x --op unlink,rmdir,rename
  wardfs admin audit tail --file /var/log/wardfs/audit.log --user alice --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.since != "" && !c.Flags().Changed("lines") {
				f.lines = 0
			}
			return runAuditTail(c.Context(), e, f)
		},
	}
	s := c.Flags()
	s.StringVar(&f.file, "file", "", "the log: `FILE`")
	s.StringVar(&f.config, "config", "", "the log that this configuration names: `FILE`")
	s.IntVarP(&f.lines, "lines", "n", 10, "how many of the last lines; 0 is all, and the default with --since")
	s.BoolVarP(&f.follow, "follow", "f", false, "go on with those to come, until it is interrupted")
	s.StringVar(&f.filter.User, "user", "", "as whom or by way of whom: `NAME`")
	s.StringSliceVar(&f.filter.Ops, "op", nil, "operations, or groups of them: `OP,...`")
	s.StringVar(&f.filter.Path, "path", "", "at that `PATH` of the server or below")
	s.StringSliceVar(&f.filter.Results, "result", nil, "`succeeded,failed,denied`")
	s.StringVar(&f.since, "since", "", "from then on: `TIME` as 2026-11-22T08:30:00Z, or how long ago, as 24h")
	s.BoolVar(&f.json, "json", false, "as JSON, an object on each line, whatever the log's own form is")
	return c
}

func runAuditTail(ctx context.Context, e *env, f tailFlags) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if f.filter.Since, err = parseSince(f.since, time.Now()); err != nil {
		return err
	}
	if err := f.filter.Check(); err != nil {
		return usage("`wardfs admin audit tail --help` shows what there is", "%w", err)
	}
	if f.file == "" {
		if f.file, err = findAudit(ctx, e, f.config); err != nil {
			return err
		}
	}
	t := &tailer{e: e, f: f}
	if err := t.past(); err != nil {
		return auditError(f.file, err)
	}
	if f.follow {
		err = t.goOn(ctx)
	}
	if t.odd > 0 {
		fmt.Fprintf(e.stderr, "wardfs: %d lines of %s are none of an audit log and were left out\n", t.odd, oneLine(f.file))
	}
	return err
}

func auditError(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitConfig, "give another with --file or --config", "there is no audit log %s", file)
	case errors.Is(err, fs.ErrPermission):
		return fail(exitRefused, "read it as the user who runs the server; audit.mode=0640 lets a group", "the audit log %s may not be read by this user", file)
	}
	return err
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := config.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("write it as 2026-11-22T08:30:00Z, 2026-11-22 or 24h", "--since %q is no time", text)
}

// findAudit is the audit log of a configuration, or of the server that runs here.
func findAudit(ctx context.Context, e *env, file string) (string, error) {
	if file != "" {
		c := config.Default()
		if err := c.File(file); err != nil {
			return "", err
		}
		if path := auditFile(c); path != "" {
			return path, nil
		}
		return "", fail(exitConfig, "set audit.enabled", "%s says that no audit log is written", file)
	}
	all, err := peers(e, nil)
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range all {
		text, err := ask(ctx, p)
		var s serverStatus
		if p.Kind() == "server" && err == nil && text != nil && json.Unmarshal(text, &s) == nil && s.Audit != "" {
			found = append(found, s.Audit)
		}
	}
	switch len(found) {
	case 0:
		return "", fail(exitNotMounted, "give the log with --file, or the server's configuration with --config", "no server of this user that writes an audit log runs here")
	case 1:
		return found[0], nil
	}
	return "", usage("give one with --file: "+strings.Join(found, ", "), "several servers of this user run here")
}

// tailer is one run of tail.
type tailer struct {
	e    *env
	f    tailFlags
	odd  int
	file *os.File
	in   *bufio.Reader
	half string // of a line that is being written
}

// past prints the last lines that are there.
func (t *tailer) past() error {
	old, err := audit.Older(t.f.file)
	if err != nil {
		return err
	}
	var last []string
	keep := func(text string) error {
		last = append(last, text)
		if t.f.lines > 0 && len(last) > t.f.lines {
			last = last[1:]
		} else if t.f.lines == 0 {
			last = last[:0]
			_, err := fmt.Fprintln(t.e.stdout, text)
			return err
		}
		return nil
	}
	for _, path := range append(old, t.f.file) {
		if path != t.f.file && audit.EndedBefore(t.f.file, path, t.f.filter.Since) {
			continue
		}
		if err := t.open(path); err != nil {
			if path != t.f.file && errors.Is(err, fs.ErrNotExist) {
				continue // it was the oldest, and has gone
			}
			return err
		}
		if err := t.read(keep); err != nil {
			return err
		}
	}
	for _, text := range last {
		if _, err := fmt.Fprintln(t.e.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

func (t *tailer) open(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if t.file != nil {
		t.file.Close()
	}
	t.file, t.in, t.half = f, bufio.NewReaderSize(f, 256<<10), ""
	return nil
}

// read calls f for each line up to the end that is asked for.
func (t *tailer) read(f func(string) error) error {
	for {
		text, err := t.in.ReadString('\n')
		t.half += text
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		line := strings.TrimSuffix(t.half, "\n")
		t.half = ""
		x, err := audit.Parse(line)
		switch {
		case err != nil:
			t.odd++
			continue
		case !t.f.filter.Match(x):
			continue
		}
		if t.f.json {
			text, err := json.Marshal(x)
			if err != nil {
				return err
			}
			line = string(text)
		}
		if err := f(line); err != nil {
			return err
		}
	}
}

// goOn prints lines as they come, in the file and in those that follow it.
func (t *tailer) goOn(ctx context.Context) error {
	show := func(text string) error { _, err := fmt.Fprintln(t.e.stdout, text); return err }
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		here, err := t.file.Stat()
		if err != nil {
			return err
		}
		there, gone := os.Stat(filepath.Clean(t.f.file))
		if err := t.read(show); err != nil { // the rest of it, whatever comes after
			return err
		}
		if gone == nil && !os.SameFile(here, there) {
			if err := t.open(t.f.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}
