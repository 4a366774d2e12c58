package fs

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

// copyFlags are those of cp(1) that get and put have.
type copyFlags struct{ deep, preserve bool }

func (f *copyFlags) register(c *cobra.Command) {
	c.Flags().BoolVarP(&f.deep, "recursive", "r", false, "directories too, with all that is in them; symbolic links as such")
	c.Flags().BoolVarP(&f.preserve, "preserve", "p", false, "keep permission bits, ACLs and times, and owners where that is allowed")
}

func newPut(e *Env) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use: "put FILE... PATH", Short: "copy files of this host to a server", Args: e.Args("FILE PATH..."),
		Long: `put copies FILEs of this host to PATH, or into it if it is a directory. - is standard input. What was put is
durable when put has ended.`,
		RunE: func(c *cobra.Command, args []string) error {
			to, from := args[len(args)-1], args[:len(args)-1]
			dst, err := e.Open(c.Context(), to)
			if err != nil {
				return err
			}
			a, err := dst.Find(c.Context(), true)
			into := err == nil && a.Mode.IsDir()
			if len(from) > 1 && !into {
				return &Usage{quote(to) + " is no directory that several things could go to", "make it first, or put one thing"}
			}
			for _, name := range from {
				p := dst
				if into {
					p = dst.in(filepath.Base(name))
				}
				if err := e.put(c.Context(), name, p, f); err != nil {
					e.Report(local(name, p, err))
				}
			}
			return nil
		},
	}
	f.register(c)
	return c
}

// local tells which of two places err is about: this host's, or the server's.
func local(name string, p Place, err error) error {
	var told interface{ Hint() string }
	if err == nil || errors.As(err, &told) {
		return err
	}
	if bad := (*iofs.PathError)(nil); errors.As(err, &bad) {
		return &pathError{bad.Path, bad.Err, ""}
	}
	if bad := (*posix.Error)(nil); !errors.As(err, &bad) {
		return &pathError{name, err, ""}
	}
	return wrap(p.Shown, err)
}

var errOmitted = errors.New("it is a directory, and left out")

func (e *Env) put(ctx context.Context, name string, to Place, f copyFlags) error {
	if name == "-" {
		return to.write(ctx, e.Stdin, 0o666)
	}
	st, err := os.Lstat(name)
	if err == nil && st.Mode()&os.ModeSymlink != 0 && !f.deep {
		st, err = os.Stat(name)
	}
	if err != nil {
		return err
	}
	switch {
	case st.IsDir() && !f.deep:
		return &pathError{name, errOmitted, "-r copies it with all that is in it"}
	case st.IsDir():
		err = e.putDir(ctx, name, to, f)
	case st.Mode()&os.ModeSymlink != 0:
		return to.putLink(ctx, name)
	case !st.Mode().IsRegular():
		return &pathError{name, errors.New("it is no plain file, and left out"), ""}
	default:
		err = to.putFile(ctx, name, st)
	}
	if err == nil && f.preserve {
		err = to.preserve(ctx, name, st)
	}
	return err
}

func (e *Env) putDir(ctx context.Context, name string, to Place, f copyFlags) error {
	if err := to.mkdir(ctx, false, nil); err != nil && posix.ErrnoOf(err) != posix.EEXIST {
		return err
	}
	all, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	for _, x := range all {
		from, in := filepath.Join(name, x.Name()), to.in(x.Name())
		if err := e.put(ctx, from, in, f); err != nil {
			e.Report(local(from, in, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (p Place) putLink(ctx context.Context, name string) error {
	target, err := os.Readlink(name)
	if err != nil {
		return err
	}
	dir, base, err := p.Parent(ctx)
	if err != nil {
		return err
	}
	_, err = p.Symlink(ctx, dir.Ino, base, target)
	return err
}

func (p Place) putFile(ctx context.Context, name string, st os.FileInfo) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	return p.write(ctx, in, posix.Mode(st.Mode().Perm()))
}

// whole is the size of what is copied if that is a plain file, with holes to keep.
func whole(in io.Reader) (*os.File, uint64, bool) {
	f, ok := in.(*os.File)
	if !ok {
		return nil, 0, false
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, 0, false
	}
	// Standard input may stand in the middle of a file.
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != 0 {
		return nil, 0, false
	}
	return f, uint64(st.Size()), true
}

// write makes the place's file what in has, durably.
func (p Place) write(ctx context.Context, in io.Reader, mode posix.Mode) (err error) {
	open := p.create
	if a, bad := p.Find(ctx, true); bad == nil { // through a symbolic link, as a shell's > does
		if err := regular(a); err != nil {
			return err
		}
		open = func(ctx context.Context, _ posix.Mode) (opened, error) {
			h, _, err := p.Files.Open(ctx, p.Bare, a.Ino, posix.OpenWrite|posix.OpenTrunc)
			return h, err
		}
	}
	h, err := open(ctx, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close(ctx)) }()
	if f, size, ok := whole(in); ok {
		return p.writeSparse(ctx, h, f, size)
	}
	buf := make([]byte, block)
	for off := uint64(0); ; {
		n, bad := io.ReadFull(in, buf)
		if _, err := h.Write(ctx, buf[:n], off); err != nil {
			return err
		}
		off += uint64(n)
		switch {
		case errors.Is(bad, io.EOF), errors.Is(bad, io.ErrUnexpectedEOF):
			return h.Sync(ctx)
		case bad != nil:
			return bad
		}
	}
}

// opened is a *file.Handle that is written.
type opened interface {
	Ino() posix.Ino
	Write(ctx context.Context, src []byte, off uint64) (int, error)
	Sync(ctx context.Context) error
	Close(ctx context.Context) error
}

func (p Place) create(ctx context.Context, mode posix.Mode) (opened, error) {
	dir, name, err := p.Parent(ctx)
	if err != nil {
		return nil, err
	}
	h, _, err := p.Files.Create(ctx, p.Bare, dir.Ino, name, mode, umask(), posix.OpenWrite|posix.OpenExcl)
	return h, err
}
