package fs

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newRm(e *Env) *cobra.Command {
	var deep, force bool
	c := &cobra.Command{
		Use: "rm PATH...", Short: "remove files, as rm(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			e.each(c.Context(), args, func(p Place) error {
				err := e.rm(c.Context(), p, deep)
				if force && posix.ErrnoOf(err) == posix.ENOENT {
					return nil
				}
				return err
			})
			return nil
		},
	}
	c.Flags().BoolVarP(&deep, "recursive", "r", false, "directories too, with all that is in them")
	c.Flags().BoolVarP(&force, "force", "f", false, "what is not there is no error")
	return c
}

func (e *Env) rm(ctx context.Context, p Place, deep bool) error {
	dir, name, err := p.Parent(ctx)
	if err != nil {
		return err
	}
	a, err := p.Lookup(ctx, dir.Ino, name)
	switch {
	case err != nil:
		return err
	case !a.Mode.IsDir() && slashed(p.Path):
		return posix.E("unlink", posix.ENOTDIR, nil)
	case !a.Mode.IsDir():
		return p.Unlink(ctx, dir.Ino, name)
	case !deep:
		return posix.E("unlink", posix.EISDIR, nil)
	}
	return e.rmdir(ctx, p, dir.Ino, name, a)
}

// rmdir removes a directory and what is below it. It goes by inode numbers: a
// directory that is moved meanwhile is emptied where it is, and nothing else.
func (e *Env) rmdir(ctx context.Context, p Place, dir posix.Ino, name string, a posix.Attr) error {
	var all []posix.Dirent
	err := p.list(ctx, a.Ino, func(d posix.Dirent) error {
		if d.Name != "." && d.Name != ".." {
			all = append(all, d)
		}
		return ctx.Err()
	})
	failed := false
	for _, d := range all {
		if err != nil {
			break
		}
		in := p.in(d.Name)
		one := p.Unlink
		if d.Attr.Mode.IsDir() {
			one = func(ctx context.Context, dir posix.Ino, name string) error {
				return e.rmdir(ctx, in, dir, name, d.Attr)
			}
		}
		if bad := one(ctx, a.Ino, d.Name); bad != nil && posix.ErrnoOf(bad) != posix.ENOENT {
			e.Report(wrap(in.Shown, bad))
			failed = true
		}
		err = ctx.Err()
	}
	if err != nil || failed {
		return err // that it is not empty would be no news
	}
	return p.Rmdir(ctx, dir, name)
}
