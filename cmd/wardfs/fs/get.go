package fs

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

func newGet(e *Env) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use: "get PATH... FILE", Short: "copy files of a server to this host", Args: e.Args("PATH FILE..."),
		Long: `get copies PATHs of a server to FILE on this host, or into it if it is a directory. - is standard output.`,
		RunE: func(c *cobra.Command, args []string) error {
			to, from := args[len(args)-1], args[:len(args)-1]
			st, err := os.Stat(to)
			into := to != "-" && err == nil && st.IsDir()
			if len(from) > 1 && !into && to != "-" {
				return &Usage{quote(to) + " is no directory that several things could go to", "make it first, or get one thing"}
			}
			e.each(c.Context(), from, func(p Place) error {
				if to == "-" {
					return p.read(c.Context(), e.Stdout)
				}
				a, err := p.Find(c.Context(), !f.deep)
				if err != nil {
					return err
				}
				name := to
				if into {
					base := path.Base(path.Clean("/" + p.Path))
					if base == "/" {
						base = ""
					}
					name = filepath.Join(to, base)
				}
				return local(name, p, e.get(c.Context(), p, a, name, f))
			})
			return nil
		},
	}
	f.register(c)
	return c
}

var errName = errors.New("its name would lead elsewhere on this host")

func (e *Env) get(ctx context.Context, p Place, a posix.Attr, name string, f copyFlags) (err error) {
	switch {
	case a.Mode.IsDir() && !f.deep:
		return &pathError{p.Shown, errOmitted, "-r copies it with all that is in it"}
	case a.Mode.IsDir():
		err = e.getDir(ctx, p, a, name, f)
	case a.Mode.IsLink():
		target, err := p.Readlink(ctx, a.Ino)
		if err != nil {
			return err
		}
		return os.Symlink(target, name)
	default:
		err = p.getFile(ctx, a, name, f.deep)
	}
	if err == nil && f.preserve {
		err = p.preserveHere(ctx, a, name)
	}
	return err
}

func (e *Env) getDir(ctx context.Context, p Place, a posix.Attr, name string, f copyFlags) error {
	if err := os.Mkdir(name, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if st, err := os.Lstat(name); err != nil || !st.IsDir() {
		return errors.Join(err, &pathError{name, errors.New("it is there, and no directory"), ""})
	}
	return p.list(ctx, a.Ino, func(d posix.Dirent) error {
		if d.Name == "." || d.Name == ".." {
			return nil
		}
		in, below := p.in(d.Name), filepath.Join(name, d.Name)
		err := errName
		if !strings.ContainsAny(d.Name, "/\x00") { // a server that lies
			err = e.get(ctx, in, d.Attr, below, f)
		}
		if err != nil {
			e.Report(local(below, in, err))
		}
		return ctx.Err()
	})
}

// getFile writes a file of this host; nobody else may read it before its mode
// is what the server has. In a tree no symbolic link is followed: it may be one
// that the server has just made us make.
func (p Place) getFile(ctx context.Context, a posix.Attr, name string, tree bool) (err error) {
	if err := regular(a); err != nil {
		return err
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if tree {
		how |= unix.O_NOFOLLOW
	}
	out, err := os.OpenFile(name, how, fileMode(a.Mode)&0o777)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if st, err := out.Stat(); err != nil || !st.Mode().IsRegular() {
		return p.Tree.read(ctx, a, out)
	}
	return p.readSparse(ctx, a, out)
}

func fileMode(m posix.Mode) os.FileMode {
	mode := os.FileMode(m & 0o777)
	for bit, is := range map[posix.Mode]os.FileMode{posix.SetUID: os.ModeSetuid, posix.SetGID: os.ModeSetgid, posix.Sticky: os.ModeSticky} {
		if m&bit != 0 {
			mode |= is
		}
	}
	return mode
}
