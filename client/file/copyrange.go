package file

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// copied is what a copy has done.
type copied struct {
	n    uint64
	attr posix.Attr // of the target
}

// CopyRange is copy_file_range(2); see [posix.Namespace]. What is buffered of
// the source is committed first, and what is buffered of the target's range is
// covered like what is stored there.
func (f *Files) CopyRange(ctx context.Context, from *Handle, off uint64, to *Handle, toOff, length uint64) (uint64, error) {
	c, err := f.copyRange(ctx, to.ns, from, off, to, toOff, length)
	return c.n, err
}

func (v over) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, length uint64) (uint64, posix.Attr, error) {
	if src, dst := v.f.handleOf(from), v.f.handleOf(to); src != nil && dst != nil {
		c, err := v.f.copyRange(ctx, v.Namespace, src, off, dst, toOff, length)
		return c.n, c.attr, err
	}
	defer v.f.enter()()
	n, a, err := v.Namespace.CopyRange(ctx, from, off, to, toOff, length)
	if err != nil {
		return n, a, err
	}
	return n, v.f.show(a), nil
}

func (f *Files) copyRange(ctx context.Context, ns posix.Namespace, from *Handle, off uint64, to *Handle, toOff, length uint64) (copied, error) {
	if from.flags&posix.OpenRead == 0 || !to.writes() {
		return copied{}, posix.E("copyrange", posix.EBADF, nil)
	}
	if from.life != to.life { // the server knows each in its session alone; the kernel copies then
		return copied{}, posix.E("copyrange", posix.EXDEV, nil)
	}
	for _, h := range []*Handle{from, to} {
		if err := h.intact("copyrange"); err != nil {
			return copied{}, err
		}
	}
	src, dst := f.hold(from.i.ino), f.hold(to.i.ino)
	c, err := detach(ctx, f, "copyrange", func(ctx context.Context) (copied, error) {
		defer f.release(src)
		defer f.release(dst)
		unlock, err := lockBoth(ctx, src, dst)
		if err != nil {
			return copied{}, err
		}
		defer unlock()
		if err := src.flushNow(ctx); err != nil {
			return copied{}, err
		}
		dst.pin(ctx)
		n, a, err := ns.CopyRange(ctx, from.id, off, to.id, toOff, length)
		if err != nil {
			dst.doubt()
			return copied{}, err
		}
		return dst.received(a, toOff, n), nil
	}, nil)
	return c, to.as("copyrange", err)
}

// lockBoth takes the order of two inodes, the smaller number first, so that two
// copies between the same files can't wait for each other.
func lockBoth(ctx context.Context, a, b *inode) (unlock func(), err error) {
	if a.ino > b.ino {
		a, b = b, a
	}
	if err := a.order.lock(ctx); err != nil || a == b {
		return a.order.unlock, err
	}
	if err := b.order.lock(ctx); err != nil {
		a.order.unlock()
		return nil, err
	}
	return func() {
		b.order.unlock()
		a.order.unlock()
	}, nil
}

// flushNow commits what is dirty. i.order is held.
func (i *inode) flushNow(ctx context.Context) error {
	i.mu.RLock()
	clean := i.end == 0
	i.mu.RUnlock()
	if clean {
		return nil
	}
	return i.turn(ctx, &round{all: true, told: true})
}

// received takes note that the server has laid n bytes over the file at off.
func (i *inode) received(a posix.Attr, off, n uint64) copied {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n == 0 {
		return copied{0, i.show(i.adopt(a))}
	}
	i.adoptOwn(a, func(l *layout) { l.unlearn(off, off+n) })
	i.changed(a, off, off+n)
	return copied{n, i.show(i.attr)}
}
