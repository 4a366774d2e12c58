package file

import (
	"context"
	"math"

	"github.com/wardfs/wardfs/posix"
)

// Open opens a file. ns is the server's namespace as the caller has it, not one
// of Over; the handle keeps it. The attributes have what is buffered here.
func (f *Files) Open(ctx context.Context, ns posix.Namespace, ino posix.Ino, flags posix.OpenFlags) (*Handle, posix.Attr, error) {
	if h, a := f.again(ctx, ns, ino, flags); h != nil {
		return h, a, nil
	}
	if flags&posix.OpenTrunc == 0 {
		return f.open(ctx, ns, ino, flags)
	}
	// A commit under way must not reach the server after the truncation, nor
	// the truncation after a commit that follows.
	type answer struct {
		h *Handle
		a posix.Attr
	}
	o, err := detach(ctx, f, "open", func(ctx context.Context) (answer, error) {
		i := f.hold(ino)
		defer f.release(i)
		if err := i.order.lock(ctx); err != nil {
			return answer{}, as("open", err)
		}
		defer i.order.unlock()
		h, a, err := f.open(ctx, ns, ino, flags)
		if err != nil {
			i.doubt()
		}
		return answer{h, a}, err
	}, func(o answer) { _ = o.h.Close(f.ctx) })
	return o.h, o.a, err
}

// open is Open; to truncate, i.order is held.
func (f *Files) open(ctx context.Context, ns posix.Namespace, ino posix.Ino, flags posix.OpenFlags) (*Handle, posix.Attr, error) {
	i := f.hold(ino)
	h := f.handle(ns, flags)
	ask := flags
	if i.wants(flags) {
		ask |= posix.OpenData
	}
	h.asking(ctx, i)
	o, err := ns.Open(ctx, ino, h.id, ask)
	if err != nil {
		h.abandon(ctx, err)
		f.release(i)
		return nil, posix.Attr{}, err
	}
	return h, h.opened(i, o, flags), nil
}

// Create makes a file and opens it, or opens the one that is there.
func (f *Files) Create(ctx context.Context, ns posix.Namespace, dir posix.Ino, name string, mode, umask posix.Mode, flags posix.OpenFlags) (*Handle, posix.Attr, error) {
	ask := flags
	if flags&posix.OpenExcl == 0 {
		// Which file that is, and what of it is dirty here, is not known yet.
		ask &^= posix.OpenTrunc
	}
	h, a, err := f.make(ctx, ns, flags, func(h posix.Handle) (posix.Opened, error) {
		return ns.Create(ctx, dir, name, mode, umask, h, ask)
	})
	if err != nil || ask == flags || a.Size == 0 {
		return h, a, err
	}
	a, err = f.Over(ns).Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetSize, Handle: h.id})
	if err != nil {
		_ = h.Close(ctx)
		return nil, posix.Attr{}, err
	}
	return h, a, nil
}

// Tmpfile makes a file without a name, as O_TMPFILE in dir, and opens it.
func (f *Files) Tmpfile(ctx context.Context, ns posix.Namespace, dir posix.Ino, mode, umask posix.Mode, flags posix.OpenFlags) (*Handle, posix.Attr, error) {
	return f.make(ctx, ns, flags, func(h posix.Handle) (posix.Opened, error) {
		return ns.Tmpfile(ctx, dir, mode, umask, h, flags)
	})
}

// make opens what ask makes, which truncates nothing that is known here.
func (f *Files) make(ctx context.Context, ns posix.Namespace, flags posix.OpenFlags, ask func(posix.Handle) (posix.Opened, error)) (*Handle, posix.Attr, error) {
	defer f.enter()()
	h := f.handle(ns, flags)
	o, err := ask(h.id)
	if err != nil {
		h.abandon(ctx, err)
		return nil, posix.Attr{}, err
	}
	return h, h.opened(f.hold(o.Attr.Ino), o, flags&^posix.OpenTrunc), nil
}

// handle makes a handle that is not open yet.
func (f *Files) handle(ns posix.Namespace, flags posix.OpenFlags) *Handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handles++
	return &Handle{ns: ns, id: f.handles, flags: flags, life: &f.life, era: f.life.Lost(), mark: f.doubts.Load()}
}

// handleOf answers the open handle of that name, nil if it is none of f's.
func (f *Files) handleOf(id posix.Handle) *Handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byID[id]
}

// abandon makes sure that an open whose outcome is not known is closed.
func (h *Handle) abandon(ctx context.Context, err error) {
	switch posix.ErrnoOf(err) {
	case posix.EINTR, posix.ETIMEDOUT, posix.EIO, posix.EHOSTDOWN:
		_ = h.ns.Close(context.WithoutCancel(ctx), h.id)
	}
}

// opened takes the server's answer up. Only an open that truncated, with
// i.order held, has OpenTrunc in flags.
func (h *Handle) opened(i *inode, o posix.Opened, flags posix.OpenFlags) posix.Attr {
	h.i, h.capability = i, o.Capability
	if life, era := posix.LifeOf(h.ns); life != nil {
		h.life, h.era = life, era
	}
	i.f.mu.Lock()
	i.f.byID[h.id] = h
	i.f.mu.Unlock()
	i.f.stock(o)
	i.mu.Lock()
	defer i.mu.Unlock()
	was, changed := i.attr, i.foreign
	h.kept = was.Ino != 0 && !changed
	if flags&posix.OpenTrunc != 0 {
		i.cut(0, math.MaxUint64)
	}
	a := i.adopt(o.Attr)
	i.sure(h.mark)
	h.kept = h.kept && !i.foreign
	h.shrunk = was.Ino != 0 && !h.kept && (changed || a.Size < was.Size)
	i.foreign = false
	if a.Change == o.Attr.Change && wellFormed(o.Extents) {
		i.layout.learn(o.Extents, 0, o.LayoutEnd)
	}
	h.seen = i.errs.seq
	if h.writes() && !h.stale() {
		i.writers = append(i.writers, h)
	}
	return i.show(a)
}
