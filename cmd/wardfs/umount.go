package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

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
uses the mount it refuses and names it.`,
		Args: takes(1, 1, "MNT"),
		RunE: func(c *cobra.Command, args []string) error { return runUmount(c.Context(), e, args[0], f) },
	}
	c.Flags().BoolVarP(&f.lazy, "lazy", "l", false, "take it out of sight now, and end it when nobody uses it any more")
	c.Flags().BoolVarP(&f.force, "force", "f", false, "do not wait for a daemon that does not answer: what it has not flushed is lost")
	return c
}

func runUmount(ctx context.Context, e *env, mnt string, f umountFlags) error {
	mnt, err := realPath(mnt)
	if err != nil {
		return err
	}
	m, ok := mountAt(mnt)
	switch {
	case !ok:
		return fail(exitNotMounted, "`wardfs status` lists the mounts", "nothing is mounted on %s", mnt)
	case m.Type != fsType:
		return fail(exitNotMounted, "use umount(8)", "%s is a mount of %s, not of wardfs", mnt, m.Type)
	}
	path := "/unmount"
	if f.lazy {
		path += "?lazy=1"
	}
	if !f.force {
		err = control.Find(controlDir(e), "mount", mnt).Do(ctx, "POST", path, io.Discard)
		if !errors.Is(err, control.ErrNobody) {
			return remoteError(err)
		}
	}
	return umountDead(mnt, f)
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
