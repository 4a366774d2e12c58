package fs

import (
	"context"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newLn(e *Env) *cobra.Command {
	var symbolic, force bool
	c := &cobra.Command{
		Use: "ln TARGET PATH", Short: "make a link, as ln(1)", Args: e.Args("TARGET PATH"),
		Long: `ln gives the file TARGET one more name, PATH. With -s PATH is made a symbolic link, and TARGET is any text.`,
		RunE: func(c *cobra.Command, args []string) error {
			e.each(c.Context(), args[1:], func(p Place) error { return e.ln(c.Context(), args[0], p, symbolic, force) })
			return nil
		},
	}
	c.Flags().BoolVarP(&symbolic, "symbolic", "s", false, "a symbolic link")
	c.Flags().BoolVarP(&force, "force", "f", false, "in place of a file that is there")
	return c
}

func (e *Env) ln(ctx context.Context, target string, p Place, symbolic, force bool) error {
	if a, err := p.Find(ctx, true); err == nil && a.Mode.IsDir() {
		p = p.in(path.Base(strings.TrimRight(target, "/")))
	}
	dir, name, err := p.Parent(ctx)
	if err != nil {
		return err
	}
	if force {
		if err := p.Unlink(ctx, dir.Ino, name); err != nil && posix.ErrnoOf(err) != posix.ENOENT {
			return err
		}
	}
	if symbolic {
		_, err := p.Symlink(ctx, dir.Ino, name, target)
		return err
	}
	old, err := e.Open(ctx, target)
	if err != nil {
		return err
	}
	if old.Tree != p.Tree {
		return posix.E("link", posix.EXDEV, nil)
	}
	a, err := old.Find(ctx, false)
	if err != nil {
		return wrap(target, err)
	}
	_, err = p.Link(ctx, a.Ino, dir.Ino, name)
	return err
}
