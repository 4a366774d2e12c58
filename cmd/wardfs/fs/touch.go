package fs

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newTouch(e *Env) *cobra.Command {
	var noCreate bool
	var date string
	c := &cobra.Command{
		Use: "touch PATH...", Short: "set the times of files, and make those that are not there, as touch(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			set := posix.SetAttr{Set: posix.SetAtimeNow | posix.SetMtimeNow}
			if date != "" {
				t, err := time.Parse(time.RFC3339Nano, date)
				if err != nil {
					return &Usage{"touch: " + quote(date) + " is no time", "write it as 2026-11-22T08:30:00Z"}
				}
				set = posix.SetAttr{Set: posix.SetAtime | posix.SetMtime, Atime: posix.TimeOf(t), Mtime: posix.TimeOf(t)}
			}
			e.each(c.Context(), args, func(p Place) error { return p.touch(c.Context(), set, noCreate) })
			return nil
		},
	}
	c.Flags().BoolVarP(&noCreate, "no-create", "c", false, "make none")
	c.Flags().StringVarP(&date, "date", "d", "", "that `TIME` instead of now: 2026-11-22T08:30:00Z")
	return c
}

func (p Place) touch(ctx context.Context, set posix.SetAttr, noCreate bool) error {
	a, err := p.Find(ctx, true)
	if posix.ErrnoOf(err) == posix.ENOENT {
		if noCreate {
			return nil
		}
		dir, name, bad := p.Parent(ctx)
		if bad != nil {
			return bad
		}
		a, err = p.Mknod(ctx, dir.Ino, name, posix.TypeReg|0o666, umask(), 0)
		if err == nil && set.Set&posix.SetMtimeNow != 0 {
			return nil
		}
	}
	if err != nil {
		return err
	}
	_, err = p.Setattr(ctx, a.Ino, set)
	return err
}
