package fs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// down calls f for the place and, if deep, for all that is below it: a
// directory before what is in it, or with last set after. Symbolic links are not
// followed. What fails is told, and the rest is done.
func (e *Env) down(ctx context.Context, p Place, a posix.Attr, deep, last bool, f func(Place, posix.Attr) error) error {
	if !last {
		if err := f(p, a); err != nil || !deep {
			return err
		}
	}
	if deep && a.Mode.IsDir() {
		if err := e.below(ctx, p, a, last, f); err != nil {
			return err
		}
	}
	if last {
		return f(p, a)
	}
	return nil
}

// below is down for all that is in a directory.
func (e *Env) below(ctx context.Context, p Place, dir posix.Attr, last bool, f func(Place, posix.Attr) error) error {
	var all []posix.Dirent // read whole: f may remove what it is called for
	err := p.list(ctx, dir.Ino, func(d posix.Dirent) error {
		if d.Name != "." && d.Name != ".." {
			all = append(all, d)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, d := range all {
		in := p.in(d.Name)
		if err := e.down(ctx, in, d.Attr, true, last, f); err != nil {
			if ctx.Err() != nil {
				return err
			}
			e.Report(wrap(in.Shown, err))
		}
	}
	return nil
}

// umask is that of this process, which can be read only by setting it.
func umask() posix.Mode {
	m := unix.Umask(0o077)
	unix.Umask(m)
	return posix.Mode(m)
}
