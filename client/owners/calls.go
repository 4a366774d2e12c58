package owners

import (
	"context"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// The calls whose answers are attributes, and those that pass through. Each
// asks for the inner namespace at the time of the call: a handle outlives the
// names of its opener.

// attr does f and shows the attributes that it answers.
func (n namespace) attr(ctx context.Context, op string, f func(posix.Namespace) (posix.Attr, error)) (posix.Attr, error) {
	in, err := n.inner(ctx, op)
	if err != nil {
		return posix.Attr{}, err
	}
	a, err := f(in)
	if err != nil {
		return a, err
	}
	return n.shown(ctx, a), nil
}

func (n namespace) opened(ctx context.Context, op string, f func(posix.Namespace) (posix.Opened, error)) (posix.Opened, error) {
	in, err := n.inner(ctx, op)
	if err != nil {
		return posix.Opened{}, err
	}
	o, err := f(in)
	if err == nil {
		o.Attr = n.shown(ctx, o.Attr)
	}
	return o, err
}

func (n namespace) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	return n.attr(ctx, "lookup", func(in posix.Namespace) (posix.Attr, error) { return in.Lookup(ctx, dir, name) })
}

func (n namespace) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	return n.attr(ctx, "getattr", func(in posix.Namespace) (posix.Attr, error) { return in.Getattr(ctx, ino) })
}

// GetattrNow passes on what the namespace below keeps.
func (n namespace) GetattrNow(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	return n.attr(ctx, "getattr", func(ns posix.Namespace) (posix.Attr, error) { return posix.GetattrNow(ctx, ns, ino) })
}

func (n namespace) Access(ctx context.Context, ino posix.Ino, want posix.Perm) error {
	in, err := n.inner(ctx, "access")
	if err != nil {
		return err
	}
	return in.Access(ctx, ino, want)
}

func (n namespace) Readlink(ctx context.Context, ino posix.Ino) (string, error) {
	in, err := n.inner(ctx, "readlink")
	if err != nil {
		return "", err
	}
	return in.Readlink(ctx, ino)
}

func (n namespace) Mkdir(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode) (posix.Attr, error) {
	return n.attr(ctx, "mkdir", func(in posix.Namespace) (posix.Attr, error) { return in.Mkdir(ctx, dir, name, mode, umask) })
}

func (n namespace) Mknod(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, rdev uint32) (posix.Attr, error) {
	return n.attr(ctx, "mknod", func(in posix.Namespace) (posix.Attr, error) { return in.Mknod(ctx, dir, name, mode, umask, rdev) })
}

func (n namespace) Symlink(ctx context.Context, dir posix.Ino, name, target string) (posix.Attr, error) {
	return n.attr(ctx, "symlink", func(in posix.Namespace) (posix.Attr, error) { return in.Symlink(ctx, dir, name, target) })
}

func (n namespace) Link(ctx context.Context, ino, dir posix.Ino, name string) (posix.Attr, error) {
	return n.attr(ctx, "link", func(in posix.Namespace) (posix.Attr, error) { return in.Link(ctx, ino, dir, name) })
}

func (n namespace) Unlink(ctx context.Context, dir posix.Ino, name string) error {
	in, err := n.inner(ctx, "unlink")
	if err != nil {
		return err
	}
	return in.Unlink(ctx, dir, name)
}

func (n namespace) Rmdir(ctx context.Context, dir posix.Ino, name string) error {
	in, err := n.inner(ctx, "rmdir")
	if err != nil {
		return err
	}
	return in.Rmdir(ctx, dir, name)
}

func (n namespace) Rename(ctx context.Context, from posix.Ino, name string, to posix.Ino, newName string, flags posix.RenameFlags) error {
	in, err := n.inner(ctx, "rename")
	if err != nil {
		return err
	}
	return in.Rename(ctx, from, name, to, newName, flags)
}

func (n namespace) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	return n.opened(ctx, "create", func(in posix.Namespace) (posix.Opened, error) {
		return in.Create(ctx, dir, name, mode, umask, h, flags)
	})
}

func (n namespace) Tmpfile(ctx context.Context, dir posix.Ino, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	return n.opened(ctx, "tmpfile", func(in posix.Namespace) (posix.Opened, error) { return in.Tmpfile(ctx, dir, mode, umask, h, flags) })
}

func (n namespace) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	return n.opened(ctx, "open", func(in posix.Namespace) (posix.Opened, error) { return in.Open(ctx, ino, h, flags) })
}

func (n namespace) Close(ctx context.Context, h posix.Handle) error {
	in, err := n.inner(ctx, "close")
	if err != nil {
		return err
	}
	return in.Close(ctx, h)
}

// Promised passes on what the namespace below is promised; one who can't be
// translated is promised nothing.
func (n namespace) Promised(ctx context.Context) (caller any, age time.Duration) {
	in, err := n.inner(ctx, "open")
	if err != nil {
		return nil, 0
	}
	return posix.Promised(ctx, in)
}

func (n namespace) Reopened(ctx context.Context, h posix.Handle) {
	if in, err := n.inner(ctx, "open"); err == nil { // as Promised has just found it
		posix.Reopened(ctx, in, h)
	}
}

// CloseSoon closes for the caller, or if he can't be translated any more for
// nobody: to close needs no right.
func (n namespace) CloseSoon(h posix.Handle) {
	ctx := context.Background()
	ns, err := n.inner(ctx, "close")
	if err != nil {
		ns = n.as(posix.Cred{})
	}
	_ = posix.CloseSoon(ctx, ns, h)
}

func (n namespace) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	return n.attr(ctx, "commit", func(in posix.Namespace) (posix.Attr, error) { return in.Commit(ctx, h, c) })
}

func (n namespace) Allocate(ctx context.Context, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	return n.attr(ctx, "allocate", func(in posix.Namespace) (posix.Attr, error) { return in.Allocate(ctx, h, mode, off, length) })
}

func (n namespace) Listxattr(ctx context.Context, ino posix.Ino) ([]string, error) {
	in, err := n.inner(ctx, "listxattr")
	if err != nil {
		return nil, err
	}
	return in.Listxattr(ctx, ino)
}

func (n namespace) Removexattr(ctx context.Context, ino posix.Ino, name string) error {
	in, err := n.inner(ctx, "removexattr")
	if err != nil {
		return err
	}
	return in.Removexattr(ctx, ino, name)
}

func (n namespace) Statfs(ctx context.Context, ino posix.Ino) (posix.Statfs, error) {
	in, err := n.inner(ctx, "statfs")
	if err != nil {
		return posix.Statfs{}, err
	}
	return in.Statfs(ctx, ino)
}
