package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/cmd/wardfs/control"
)

type umountFlags struct{ lazy, force bool }

func newUmount(e *env) *cobra.Command {
	var f umountFlags
	c := &cobra.Command{
		Use: "umount MNT", Short: "flush and unmount",
		Long: `umount flushes what was written, unmounts, and returns when the daemon has ended. While a process
uses the mount it refuses and names it. While the server is away it says so and waits; a soft mount
waits for as long as its timeo. Interrupted, it leaves the mount as it was. --force does not wait,
and says what is lost.`,
		Args: takes(1, 1, "MNT"),
		RunE: func(c *cobra.Command, args []string) error { return runUmount(c.Context(), e, args[0], f) },
	}
	c.Flags().BoolVarP(&f.lazy, "lazy", "l", false, "take it out of sight now, and end it when nobody uses it any more")
	c.Flags().BoolVarP(&f.force, "force", "f", false, "wait neither for the server nor for who uses it: what can't be flushed at once is lost, and told")
	return c
}

func runUmount(ctx context.Context, e *env, mnt string, f umountFlags) error {
	mnt, err := realPath(mnt)
	if err != nil {
		return err
	}
	_ = os.Chdir("/") // this command shall not be what keeps the mount busy
	daemon := control.Find(controlDir(e), "mount", mnt)
	m, ok := mountAt(mnt)
	switch {
	case !ok && f.force && daemon.Do(ctx, "GET", "/status", io.Discard) == nil: // unmounted, and waits for its server
	case !ok:
		return fail(exitNotMounted, "`wardfs status` lists the mounts", "nothing is mounted on %s", mnt)
	case m.Type != fsType:
		return fail(exitNotMounted, "use umount(8)", "%s is a mount of %s, not of wardfs", mnt, m.Type)
	}
	switch {
	case f.force:
		short, cancel := context.WithTimeout(ctx, forceTime+forcePatience)
		defer cancel()
		err = daemon.Do(short, "POST", "/unmount?force=1", io.Discard)
		if short.Err() != nil {
			fmt.Fprintln(e.stderr, "wardfs: the daemon does not answer: what it has not flushed is lost")
			err = control.ErrNobody
		}
	case f.lazy:
		err = daemon.Do(ctx, "POST", "/unmount?lazy=1", io.Discard)
	default:
		err = waitUnmount(ctx, e, daemon, mnt)
	}
	if !errors.Is(err, control.ErrNobody) {
		return remoteError(err)
	}
	return umountDead(mnt, f)
}

const (
	// sayAfter is how long an unmount takes before it says what it waits for.
	sayAfter = 2 * time.Second
	// forcePatience is how long beyond its own time a daemon may take.
	forcePatience = 10 * time.Second
)

// waitUnmount has the daemon flush and unmount, and says what it waits for if
// that takes long.
func waitUnmount(ctx context.Context, e *env, daemon control.Peer, mnt string) error {
	done := make(chan error, 1)
	go func() { done <- daemon.Do(ctx, "POST", "/unmount", io.Discard) }()
	tick := time.NewTicker(sayAfter)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if why := waitsFor(ctx, daemon); why != said && why != "" {
			fmt.Fprintf(e.stderr, "wardfs: %s: %s\n", mnt, why)
			said = why
		}
	}
}

// waitsFor says what a mount is about to flush.
func waitsFor(ctx context.Context, daemon control.Peer) string {
	ctx, cancel := context.WithTimeout(ctx, sayAfter)
	defer cancel()
	var b bytes.Buffer
	var s mountStatus
	if daemon.Do(ctx, "GET", "/status", &b) != nil || json.Unmarshal(b.Bytes(), &s) != nil || s.Client.Unsaved == 0 {
		return ""
	}
	if s.Client.Reached {
		return "flushing what was written"
	}
	return fmt.Sprintf("waiting for the server to come back: %d written bytes are not stored (Ctrl-C keeps the mount, `wardfs umount --force` gives them up)", s.Client.Unsaved)
}

// umountDead unmounts where no daemon of ours answers: it was killed, or is
// another user's.
func umountDead(mnt string, f umountFlags) error {
	err := unmountPlain(mnt, f.lazy || f.force || isDead(mnt))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return fail(exitInUse, "end what uses it, or take it out of sight with -l", "%s is busy: %s", mnt, users(mnt))
	case errors.Is(err, os.ErrPermission):
		return fail(exitMountPoint, "run it as the user who mounted it, or as root", "%s may not be unmounted by this user", mnt)
	}
	return fail(exitMountPoint, "run it as the user who mounted it, or as root", "%s: %w", mnt, err)
}

// remoteError is what a daemon answered: "CODE text\nhint".
func remoteError(err error) error {
	if err == nil {
		return nil
	}
	text, next, _ := strings.Cut(err.Error(), "\n")
	code := exitFailure
	if c, rest, ok := strings.Cut(text, " "); ok && strings.HasPrefix(c, "exit=") {
		for _, x := range exitCodes {
			if c == exitWord(x.code) {
				code, text = x.code, rest
			}
		}
	}
	return &failure{code, text, next, err}
}
