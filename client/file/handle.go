package file

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
)

// Handle is one open file. All methods are safe for concurrent use; after
// Close there must be no other.
type Handle struct {
	i     *inode
	ns    posix.Namespace
	id    posix.Handle
	flags posix.OpenFlags
	kept  bool
	// shrunk says that another client may have cut the file since it was open here.
	shrunk bool
	life   *posix.Life // of the session that opened it,
	era    uint64      // and how often that had been lost then
	mark   uint64      // f.doubts then
	ahead  readAhead

	parking  parking
	pinned   atomic.Bool
	parkedAt *list.Element // in f.parked; guarded by f.mu

	seen uint64 // of i.errs; guarded by i.mu

	mu         sync.Mutex
	capability []byte
	closing    bool
}

// Ino is the file's inode number.
func (h *Handle) Ino() posix.Ino { return h.i.ino }

// ID is the handle as the server knows it: for [posix.SetAttr].
func (h *Handle) ID() posix.Handle { return h.id }

// Namespace is the tree as who opened the file has it.
func (h *Handle) Namespace() posix.Namespace { return h.ns }

// Kept reports whether the file's bytes are still those that this client knew
// when it last had the file open, its own writes included: a page cache of
// them is true.
func (h *Handle) Kept() bool { return h.kept }

// Shrunk reports whether another mount may have made the file shorter since
// this client last had it open: a kernel that goes by the old size would read
// zeros beyond the end.
func (h *Handle) Shrunk() bool { return h.shrunk }

func (h *Handle) writes() bool { return h.flags&posix.OpenWrite != 0 }

// Write buffers src at off: all of it, or it answers an error and how much was
// buffered. EBADF, EFBIG, EINTR; ENOSPC and the like if earlier writes could
// not be stored.
func (h *Handle) Write(ctx context.Context, src []byte, off uint64) (int, error) {
	switch {
	case !h.writes():
		return 0, posix.E("write", posix.EBADF, nil)
	case off > posix.FileSizeMax || uint64(len(src)) > posix.FileSizeMax-off:
		return 0, posix.E("write", posix.EFBIG, nil)
	}
	if err := h.intact("write"); err != nil {
		return 0, err
	}
	h.handover(ctx)
	n := 0
	for n < len(src) {
		at := off + uint64(n)
		step := min(len(src)-n, posix.BlockSize, int(posix.ChunkSize-at%posix.ChunkSize))
		if err := h.i.write(ctx, h, src[n:n+step], at); err != nil {
			return n, h.as("write", err)
		}
		n += step
	}
	h.i.f.stats.writes.Add(1)
	h.i.f.stats.writtenBytes.Add(int64(n))
	return n, nil
}

// intact answers EIO while data written through this handle, or one that was
// open with it, is lost and the handle has not been told; ESTALE for good if
// its session is lost.
func (h *Handle) intact(op string) error {
	if h.stale() {
		return posix.E(op, posix.ESTALE, errLost)
	}
	h.i.mu.RLock()
	defer h.i.mu.RUnlock()
	if h.writes() && h.seen < h.i.lost {
		return posix.E(op, posix.EIO, h.i.errs.err)
	}
	return nil
}

// Flush is close(2) of one descriptor: what was written is committed, so that
// the next open, here or elsewhere, sees it. It answers this handle's pending
// error and clears it.
func (h *Handle) Flush(ctx context.Context) error {
	if !h.writes() {
		return nil
	}
	return h.flush(ctx, "close")
}

// Sync is fsync(2): what was written to the file, through any handle, is
// committed and durable, or an error tells of what is not.
func (h *Handle) Sync(ctx context.Context) error { return h.flush(ctx, "fsync") }

func (h *Handle) flush(ctx context.Context, op string) error {
	var err error
	if h.i.unclean() {
		err = h.i.kick(true, true).wait(ctx)
		if ctx.Err() != nil && err != nil {
			return as(op, err) // nothing was told, nothing is lost
		}
	}
	h.i.mu.Lock()
	told := h.i.errs.tell(&h.seen)
	h.i.mu.Unlock()
	if told != nil {
		err = told // a round that the session did not outlive may say less
	}
	return as(op, err)
}

// unclean reports whether there is something to commit, or being committed.
func (i *inode) unclean() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.end != 0 || i.running != nil
}

// Unsettled reports whether something of ino is written and not committed, so
// that its attributes are not yet what the server will say.
func (f *Files) Unsettled(ino posix.Ino) bool {
	f.mu.Lock()
	i := f.inodes[ino]
	f.mu.Unlock()
	return i != nil && i.unclean()
}

// Close commits what is left and closes the file on the server, unless the
// handle may serve another open (see park.go). The handle is
// closed whatever it answers; if it is interrupted, that happens later.
func (h *Handle) Close(ctx context.Context) error {
	err := h.Flush(ctx)
	if err != nil && ctx.Err() != nil && h.i.f.spawn(func() {
		_ = h.Flush(h.i.f.ctx) // whoever else has the file open is told too
		_ = h.end(h.i.f.ctx)
	}) {
		return err
	}
	return cmp.Or(err, h.end(ctx))
}

// end is Close after the last flush.
func (h *Handle) end(ctx context.Context) error {
	f := h.i.f
	if h.writes() {
		h.leave(ctx)
	}
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	f.mu.Lock()
	delete(f.byID, h.id)
	f.mu.Unlock()
	if f.park(h) {
		return nil
	}
	defer f.release(h.i)
	return posix.CloseSoon(ctx, h.ns, h.id)
}

// leave takes the handle from those through which the file is written. What
// the last of them could not commit is dropped: nobody is left who may.
func (h *Handle) leave(ctx context.Context) {
	i := h.i
	_ = i.order.lock(context.WithoutCancel(ctx)) // a round that uses the handle ends first
	defer i.order.unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.writers = slices.DeleteFunc(i.writers, func(x *Handle) bool { return x == h })
	if len(i.writers) > 0 {
		return
	}
	if i.end != 0 {
		i.discard(i.errs.err) // the flush has recorded it for all handles
	}
	i.tail = tail{}
}

// call runs fn with the handle's capability, and with a fresh one if it is not
// accepted: twice, for a fresh one may be old when its turn comes.
func (h *Handle) call(ctx context.Context, fn func(capability []byte) error) error {
	if h.stale() {
		return posix.E("call", posix.ESTALE, errLost)
	}
	h.mu.Lock()
	capability := h.capability
	h.mu.Unlock()
	for tries := 0; ; tries++ {
		err := fn(capability)
		if posix.ErrnoOf(err) != posix.EACCES || tries == 2 {
			return err
		}
		fresh, ok := h.fresh(ctx, capability)
		if !ok {
			return err
		}
		capability = fresh
	}
}

// fresh asks for a new capability unless someone did since old was read. An
// open under the same handle is the same open, but to a new session: there it
// would be a new one, without the old one's locks, of a file that may have
// changed.
func (h *Handle) fresh(ctx context.Context, old []byte) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closing, h.stale():
		return nil, false
	case string(old) != string(h.capability):
		return h.capability, true
	}
	o, err := h.ns.Open(ctx, h.i.ino, h.id, h.flags&^(posix.OpenTrunc|posix.OpenExcl))
	if err != nil || h.stale() {
		return nil, false
	}
	h.capability = o.Capability
	return h.capability, true
}
