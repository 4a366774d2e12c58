package file

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// Allocate is fallocate(2); see [posix.Namespace]. A hole is made in what is
// buffered too.
func (h *Handle) Allocate(ctx context.Context, mode posix.AllocMode, off, length uint64) error {
	_, err := h.allocate(ctx, h.ns, mode, off, length)
	return err
}

func (v over) Allocate(ctx context.Context, id posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	if h := v.f.handleOf(id); h != nil {
		return h.allocate(ctx, v.Namespace, mode, off, length)
	}
	defer v.f.enter()()
	a, err := v.Namespace.Allocate(ctx, id, mode, off, length)
	if err != nil {
		return a, err
	}
	return v.f.show(a), nil
}

func (h *Handle) allocate(ctx context.Context, ns posix.Namespace, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	if !h.writes() {
		return posix.Attr{}, posix.E("allocate", posix.EBADF, nil)
	}
	if err := h.intact("allocate"); err != nil {
		return posix.Attr{}, err
	}
	i := h.i.f.hold(h.i.ino)
	a, err := detach(ctx, i.f, "allocate", func(ctx context.Context) (posix.Attr, error) {
		defer i.f.release(i)
		return i.allocate(ctx, ns, h.id, mode, off, length)
	}, nil)
	return a, h.as("allocate", err)
}

// allocate goes to the server between commits. Buffered bytes go after the
// server has made the hole, so that a refusal drops none; no flush is needed,
// and a full disk is no hindrance. Where nothing but such bytes makes the file
// as long as it is, the server is told the length before they go.
func (i *inode) allocate(ctx context.Context, ns posix.Namespace, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	if err := i.order.lock(ctx); err != nil {
		return posix.Attr{}, err
	}
	defer i.order.unlock()
	i.pin(ctx)
	lo, hi := off, off // what becomes a hole
	if mode&(posix.AllocPunchHole|posix.AllocZeroRange) != 0 {
		hi += length
	}
	a, err := ns.Allocate(ctx, h, mode, off, length)
	for err == nil {
		shown, end := i.allocated(a, lo, hi)
		if end == 0 {
			return shown, nil
		}
		a, err = ns.Allocate(ctx, h, 0, end-1, 1)
	}
	i.doubt()
	return a, err
}

// allocated takes note that [lo, hi) is a hole on the server. It makes the same
// one here, unless it answers an end: that of the file, which the server must
// know first.
func (i *inode) allocated(a posix.Attr, lo, hi uint64) (shown posix.Attr, end uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.adoptOwn(a, func(l *layout) { l.clear(lo, hi) })
	if i.end > i.attr.Size && lo < i.end && i.end <= hi {
		return a, i.end
	}
	i.changed(a, lo, hi)
	return i.show(i.attr), 0
}

// changed drops what is dirty of [lo, hi), which the server has changed, and
// notes the time. i.mu is held.
func (i *inode) changed(a posix.Attr, lo, hi uint64) {
	i.cut(lo, hi)
	i.wrote = a.Mtime
}
