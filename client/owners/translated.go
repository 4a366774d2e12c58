package owners

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/posix"
)

// The calls that bear owners, many attributes or locks.

func (n namespace) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	set, err := n.given(ctx, set)
	if err != nil {
		return posix.Attr{}, err
	}
	return n.attr(ctx, "setattr", func(in posix.Namespace) (posix.Attr, error) { return in.Setattr(ctx, ino, set) })
}

func (n namespace) Readdir(ctx context.Context, dir posix.Ino, h posix.Handle, from posix.Cookie, limit int, plus bool) ([]posix.Dirent, error) {
	in, err := n.inner(ctx, "readdir")
	if err != nil {
		return nil, err
	}
	all, err := in.Readdir(ctx, dir, h, from, limit, plus)
	if err == nil && plus {
		n.showAll(ctx, all)
	}
	return all, err
}

func (n namespace) Layout(ctx context.Context, h posix.Handle, off, length uint64) ([]posix.Extent, uint64, error) {
	in, err := n.inner(ctx, "layout")
	if err != nil {
		return nil, 0, err
	}
	return in.Layout(ctx, h, off, length)
}

func (n namespace) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, length uint64) (copied uint64, a posix.Attr, err error) {
	a, err = n.attr(ctx, "copyrange", func(in posix.Namespace) (a posix.Attr, err error) {
		copied, a, err = in.CopyRange(ctx, from, off, to, toOff, length)
		return a, err
	})
	return copied, a, err
}

func (n namespace) Getxattr(ctx context.Context, ino posix.Ino, name string) ([]byte, error) {
	in, err := n.inner(ctx, "getxattr")
	if err != nil {
		return nil, err
	}
	value, err := in.Getxattr(ctx, ino, name)
	if err == nil && isACL(name) {
		return outACL(ctx, n.names, value)
	}
	return value, err
}

func (n namespace) Setxattr(ctx context.Context, ino posix.Ino, name string, value []byte, flags posix.XattrFlags) error {
	in, err := n.inner(ctx, "setxattr")
	if err != nil {
		return err
	}
	if isACL(name) {
		if value, err = inACL(ctx, n.names, value); err != nil {
			return err
		}
	}
	return in.Setxattr(ctx, ino, name, value, flags)
}

func (n namespace) locks(ctx context.Context, op string) (posix.Locks, error) {
	in, err := n.inner(ctx, op)
	if err != nil {
		return nil, err
	}
	l, ok := in.(posix.Locks)
	if !ok {
		return nil, posix.E(op, posix.ENOLCK, errors.New("the namespace has no locks"))
	}
	return l, nil
}

func (n namespace) Getlk(ctx context.Context, ino posix.Ino, l posix.Lock) (posix.Lock, bool, error) {
	in, err := n.locks(ctx, "getlk")
	if err != nil {
		return posix.Lock{}, false, err
	}
	return in.Getlk(ctx, ino, l)
}

func (n namespace) Setlk(ctx context.Context, ino posix.Ino, l posix.Lock, wait bool) error {
	in, err := n.locks(ctx, "setlk")
	if err != nil {
		return err
	}
	return in.Setlk(ctx, ino, l, wait)
}

func (n namespace) Unlock(ctx context.Context, ino posix.Ino, owner uint64, k posix.LockKind) error {
	in, err := n.locks(ctx, "unlock")
	if err != nil {
		return err
	}
	return in.Unlock(ctx, ino, owner, k)
}
