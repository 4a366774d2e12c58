package fs

import (
	"context"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newMkdir(e *Env) *cobra.Command {
	var parents bool
	var mode string
	c := &cobra.Command{
		Use: "mkdir PATH...", Short: "make directories, as mkdir(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			var change *modeChange
			if mode != "" {
				m, err := parseMode(mode, umask())
				if err != nil {
					return &Usage{"mkdir: " + quote(mode) + " is " + err.Error(), "as mkdir -m 0750 PATH"}
				}
				change = &m
			}
			e.each(c.Context(), args, func(p Place) error { return p.mkdir(c.Context(), parents, change) })
			return nil
		},
	}
	c.Flags().BoolVarP(&parents, "parents", "p", false, "make the directories above too; one that is there is no error")
	c.Flags().StringVarP(&mode, "mode", "m", "", "the `MODE`, as for chmod")
	return c
}

func (p Place) mkdir(ctx context.Context, parents bool, change *modeChange) error {
	if parents {
		if a, err := p.Find(ctx, true); err == nil && a.Mode.IsDir() {
			return nil
		} else if err == nil {
			return posix.E("mkdir", posix.EEXIST, nil)
		}
		up := path.Dir(strings.TrimRight(p.Path, "/"))
		if err := (Place{p.Tree, up, p.Shown}).mkdir(ctx, up != "/", nil); err != nil && posix.ErrnoOf(err) != posix.EEXIST {
			return err
		}
	}
	dir, name, err := p.Parent(ctx)
	if err != nil {
		return err
	}
	mode, mask := posix.Mode(0o777), umask()
	if change != nil { // exactly that, but for a default ACL's say
		mode, mask = change.apply(posix.TypeDir|mode&^mask), 0
	}
	a, err := p.Mkdir(ctx, dir.Ino, name, mode&0o777, mask)
	if err == nil && change != nil && a.Mode.Perm() != mode {
		_, err = p.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetMode, Mode: mode})
	}
	return err
}
