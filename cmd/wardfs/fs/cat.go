package fs

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newCat(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "cat PATH...", Short: "print files, as cat(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			e.each(c.Context(), args, func(p Place) error { return p.read(c.Context(), e.Stdout) })
			return nil
		},
	}
}

// read copies the file's bytes to out.
func (p Place) read(ctx context.Context, out io.Writer) error {
	a, err := p.Find(ctx, true)
	if err != nil {
		return err
	}
	return p.Tree.read(ctx, a, out)
}

// read copies a file's bytes to out. What is no regular file has none.
func (t *Tree) read(ctx context.Context, a posix.Attr, out io.Writer) (err error) {
	if err := regular(a); err != nil {
		return err
	}
	h, _, err := t.Files.Open(ctx, t.Bare, a.Ino, posix.OpenRead)
	if err != nil {
		return err
	}
	defer func() {
		if e := h.Close(ctx); err == nil {
			err = e
		}
	}()
	buf := make([]byte, block)
	for off := uint64(0); ; {
		n, err := h.Read(ctx, buf, off)
		if err != nil {
			return err
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		if n < len(buf) {
			return nil
		}
		off += uint64(n)
	}
}

// regular answers why a has no bytes to be read or written by a verb: a pipe
// or a device on a server is nobody's.
func regular(a posix.Attr) error {
	switch {
	case a.Mode.IsDir():
		return posix.E("open", posix.EISDIR, nil)
	case !a.Mode.IsReg():
		return posix.E("open", posix.ENXIO, nil)
	}
	return nil
}
