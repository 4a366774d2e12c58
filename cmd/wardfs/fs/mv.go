package fs

import (
	"context"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newMv(e *Env) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "mv PATH... TO", Short: "rename files, or move them into a directory, as mv(1)",
		Long: `mv renames PATH to TO, or moves all PATHs into TO if that is a directory. It moves within one server, and no
bytes: from one server to another, get and put.`,
		Args: e.Args("PATH TO..."),
		RunE: func(c *cobra.Command, args []string) error {
			to, from := args[len(args)-1], args[:len(args)-1]
			return e.toEach(c.Context(), from, to, func(p, to Place) error { return p.mv(c.Context(), to, keep) })
		},
	}
	c.Flags().BoolVarP(&keep, "no-clobber", "n", false, "fail where that name is there already")
	return c
}

// toEach does f for each of from and where it goes: to itself, or in it if that
// is a directory.
func (e *Env) toEach(ctx context.Context, from []string, to string, f func(p, to Place) error) error {
	dst, err := e.Open(ctx, to)
	if err != nil {
		return err
	}
	a, err := dst.Find(ctx, true)
	into := err == nil && a.Mode.IsDir()
	if len(from) > 1 && !into {
		return &Usage{quote(to) + " is no directory that several things could go to", "make it first, or name one thing"}
	}
	e.each(ctx, from, func(p Place) error {
		if into {
			return f(p, dst.in(path.Base(strings.TrimRight(p.Path, "/"))))
		}
		return f(p, dst)
	})
	return nil
}

func (p Place) mv(ctx context.Context, to Place, keep bool) error {
	if p.Tree != to.Tree {
		return posix.E("rename", posix.EXDEV, nil)
	}
	from, name, err := p.Parent(ctx)
	if err != nil {
		return err
	}
	dir, newName, err := to.Parent(ctx)
	if err != nil {
		return wrap(to.Shown, err)
	}
	var flags posix.RenameFlags
	if keep {
		flags = posix.RenameNoReplace
	}
	return p.Rename(ctx, from.Ino, name, dir.Ino, newName, flags)
}
