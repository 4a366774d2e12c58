package fs

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newChmod(e *Env) *cobra.Command {
	var deep bool
	var minus letterFlags
	c := &cobra.Command{
		Use: "chmod MODE PATH...", Short: "change permission bits, as chmod(1)",
		Long: `chmod changes permission bits. MODE is octal, or symbolic: u=rwx,g+w,o-rwx,a+X,g=u,+t. As with chmod(1), a
directory keeps its set-ID bits unless they are named, or the octal mode has five digits.`,
		Args: func(c *cobra.Command, args []string) error {
			if minus != "" {
				args = slices.Concat([]string{"-" + string(minus)}, args)
			}
			return e.Args("MODE PATH...")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			text := "-" + string(minus)
			if minus == "" {
				text, args = args[0], args[1:]
			}
			change, err := parseMode(text, umask())
			if err != nil {
				return &Usage{"chmod: " + quote(text) + " is " + err.Error(), "as chmod u+x,go-w PATH"}
			}
			e.each(c.Context(), args, func(p Place) error { return e.chmod(c.Context(), p, change, deep) })
			return nil
		},
	}
	c.Flags().BoolVarP(&deep, "recursive", "R", false, "all below a directory too; symbolic links are left alone")
	minus.register(c)
	return c
}

func (e *Env) chmod(ctx context.Context, p Place, change modeChange, deep bool) error {
	a, err := p.Find(ctx, true)
	if err != nil {
		return err
	}
	return e.down(ctx, p, a, deep, false, func(p Place, a posix.Attr) error {
		if a.Mode.IsLink() {
			return nil
		}
		_, err := p.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetMode, Mode: change.apply(a.Mode)})
		return err
	})
}

// letterFlags are the flags of chmod -w and the like: a mode that begins with a
// minus looks like flags.
type letterFlags string

func (l *letterFlags) register(c *cobra.Command) {
	for _, letter := range []string{"r", "w", "x", "X", "s", "t"} {
		f := c.Flags().VarPF(letterFlag{l, letter}, "minus-"+letter, letter, "")
		f.NoOptDefVal, f.Hidden = letter, true
	}
}

type letterFlag struct {
	all    *letterFlags
	letter string
}

func (f letterFlag) String() string   { return "" }
func (f letterFlag) Type() string     { return "" }
func (f letterFlag) Set(string) error { *f.all += letterFlags(f.letter); return nil }
