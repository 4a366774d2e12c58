package fs

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// maxLinks is how many symbolic links one path may go through, as Linux has it.
const maxLinks = 40

// errOutside is why an absolute symbolic link is not followed.
var errOutside = errors.New("the symbolic link leads out of what is mounted, or it isn't known where that is")

// Find is the inode at the place. A symbolic link at its end is followed if
// follow is set or a slash comes after it, as in path_resolution(7).
func (p Place) Find(ctx context.Context, follow bool) (posix.Attr, error) {
	w := walk{Tree: p.Tree, todo: elements(p.Top + "/" + p.Path), top: len(elements(p.Top))}
	a, err := w.run(ctx, follow || slashed(p.Path))
	if err == nil && slashed(p.Path) && !a.Mode.IsDir() {
		err = posix.E("lookup", posix.ENOTDIR, nil)
	}
	return a, err
}

// Parent is the directory that the place's last name is in, and that name. The
// last name need not exist; one of "." and ".." is EINVAL.
func (p Place) Parent(ctx context.Context) (posix.Attr, string, error) {
	dir, name := path.Split(strings.TrimRight(p.Path, "/"))
	if name == "" || name == "." || name == ".." {
		return posix.Attr{}, "", posix.E("lookup", posix.EINVAL, errors.New("it has no name of its own"))
	}
	a, err := Place{p.Tree, dir + "/", p.Shown}.Find(ctx, true)
	return a, name, err
}

// slashed reports whether the path asks for a directory by its end.
func slashed(p string) bool {
	last := p[strings.LastIndexByte(p, '/')+1:]
	return p != "" && (last == "" || last == "." || last == "..")
}

func elements(p string) (names []string) {
	for n := range strings.SplitSeq(p, "/") {
		if n != "" && n != "." {
			names = append(names, n)
		}
	}
	return names
}

// walk is a walk from the server's root. The first top directories are not to
// be left: they are above what PATHs begin at.
type walk struct {
	*Tree
	todo  []string
	top   int
	been  []posix.Attr // the root, and the directories down to where we are
	links int
}

func (w *walk) run(ctx context.Context, follow bool) (posix.Attr, error) {
	root, err := w.Getattr(ctx, posix.RootIno)
	if err != nil {
		return root, err
	}
	w.been = []posix.Attr{root}
	for len(w.todo) > 0 {
		name := w.todo[0]
		w.todo = w.todo[1:]
		here := w.been[len(w.been)-1]
		if !here.Mode.IsDir() {
			return here, posix.E("lookup", posix.ENOTDIR, nil)
		}
		if name == ".." {
			w.been = w.been[:max(len(w.been)-1, min(len(w.been), w.top+1))]
			continue
		}
		a, err := w.Lookup(ctx, here.Ino, name)
		if err != nil {
			return a, err
		}
		if a.Mode.IsLink() && (len(w.todo) > 0 || follow) {
			if err := w.through(ctx, a.Ino); err != nil {
				return a, err
			}
			continue
		}
		w.been = append(w.been, a)
	}
	return w.been[len(w.been)-1], nil
}

// through puts the target of a symbolic link before what is still to walk.
func (w *walk) through(ctx context.Context, ino posix.Ino) error {
	if w.links++; w.links > maxLinks {
		return posix.E("lookup", posix.ELOOP, nil)
	}
	target, err := w.Readlink(ctx, ino)
	if err != nil {
		return err
	}
	if strings.HasPrefix(target, "/") {
		below, ok := strings.CutPrefix(target, strings.TrimRight(w.Mounted, "/"))
		if w.Mounted == "" || !ok || below != "" && below[0] != '/' {
			return posix.E("lookup", posix.EXDEV, errOutside)
		}
		w.been, target = w.been[:min(len(w.been), w.top+1)], below
	}
	w.todo = append(elements(target), w.todo...)
	return nil
}
