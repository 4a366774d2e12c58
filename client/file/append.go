package file

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// errMoved says that what was appended lies elsewhere now, and is to be
// flushed from there.
var errMoved = errors.New("the file's end is elsewhere")

// tail is what was appended with O_APPEND and is not committed yet: all dirty
// bytes from base on. Its place is a guess until the server has taken it as an
// append, all in one commit; if another client has changed the size meanwhile,
// the tail moves to the new end. Guarded by i.mu.
type tail struct {
	on   bool
	base uint64 // where the file ends on the server, as far as known here
	// shared says that the guess was wrong before: others append too. From
	// then on each append is committed before it returns, so that its place is
	// certain and the order of appends is that of the calls.
	shared bool
}

// Append writes src where the file ends, as write(2) with O_APPEND does, and
// answers where that was. What one call writes, up to a block, lies in one
// piece in the file, whoever else appends, here or elsewhere. The errors are
// those of Write.
func (h *Handle) Append(ctx context.Context, src []byte) (n int, off uint64, err error) {
	if !h.writes() {
		return 0, 0, posix.E("write", posix.EBADF, nil)
	}
	if err := h.intact("write"); err != nil {
		return 0, 0, err
	}
	if err := h.i.refresh(ctx, h.ns); err != nil {
		return 0, 0, h.as("write", err)
	}
	h.handover(ctx)
	for n < len(src) {
		step := min(len(src)-n, posix.BlockSize)
		at, err := h.i.append(ctx, h, src[n:n+step])
		if err != nil {
			return n, off, h.as("write", err)
		}
		if n == 0 {
			off = at
		}
		n += step
	}
	h.i.f.stats.writes.Add(1)
	h.i.f.stats.writtenBytes.Add(int64(n))
	h.i.settled(ctx)
	return n, off, nil
}

// append buffers src, at most a block, behind all that is there: all of it or
// none. A flush sees all of it or none too, for i.mu is held throughout.
func (i *inode) append(ctx context.Context, h *Handle, src []byte) (off uint64, err error) {
	if err := i.through(ctx); err != nil {
		return 0, err
	}
	first := 0 // bytes up to the chunk's border
	credit, err := i.room(ctx, func() (int, uint64) {
		off = i.bottom()
		first = min(len(src), int(posix.ChunkSize-off%posix.ChunkSize))
		return first, off
	})
	if err != nil {
		return 0, err
	}
	defer func() { i.f.memory.give(credit) }()
	defer i.mu.Unlock()
	switch {
	case h.stale():
		return 0, posix.E("write", posix.ESTALE, errLost)
	case off > posix.FileSizeMax || uint64(len(src)) > posix.FileSizeMax-off:
		return 0, posix.E("write", posix.EFBIG, nil)
	}
	if i.end == 0 {
		i.f.noteDirty(i, i.f.now())
	}
	if i.tail.on = i.tail.on && i.end > i.tail.base; !i.tail.on {
		i.tail.on, i.tail.base = true, off
	}
	took, err := i.put(src[:first], off)
	credit -= took
	if err == nil && first < len(src) {
		err = i.force(src[first:], off+uint64(first))
	}
	return off, err
}

// bottom is where the next append goes: behind the last one, for the tail has
// no gaps, even if the file is known to be longer by now. i.mu is held.
func (i *inode) bottom() uint64 {
	if i.tail.on && i.end > i.tail.base {
		return i.end
	}
	return i.size()
}

// settled waits until what was appended is committed, if others append too.
// How that ends is told by the next flush, as of every delayed write.
func (i *inode) settled(ctx context.Context) {
	i.mu.RLock()
	shared, full := i.tail.on && i.tail.shared, i.full >= i.f.sliceMax
	i.mu.RUnlock()
	if shared {
		_ = i.kick(true, false).wait(ctx)
	} else if full {
		i.nudge(false)
	}
}

// force is put for bytes within one block's length and one chunk, for which
// nobody may wait: the memory is overdrawn for the moment if need be. i.mu is
// held.
func (i *inode) force(src []byte, off uint64) error {
	need := i.chunk(off/posix.ChunkSize).need(len(src), false)
	i.f.memory.force(need)
	i.stream = 0
	took, err := i.put(src, off)
	i.f.memory.give(need - took)
	return err
}

// touches reports whether a write that ends at end has to do with what was
// appended: that must have found its place first.
func (i *inode) touches(end uint64) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.tail.on && end > i.tail.base
}

// pin gives what was appended its place before the size is changed otherwise:
// by committing it, or, if that can't be now, by leaving it where it is.
// i.order is held.
func (i *inode) pin(ctx context.Context) {
	if !i.touches(math.MaxUint64) {
		return
	}
	if err := i.turn(ctx, &round{all: true}); err != nil {
		i.mu.Lock()
		i.tail.on = false
		i.mu.Unlock()
	}
}

// commitTail commits the batch's part of what was appended. If the file ends
// elsewhere it moves it there and answers errMoved. i.order is held.
func (i *inode) commitTail(ctx context.Context, h *Handle, all posix.Map, batch map[posix.SliceID]*slice, blocks []posix.Inline) error {
	if len(all) == 0 {
		return nil
	}
	i.mu.RLock()
	c := posix.Commit{Extents: i.named(all, batch), Mtime: i.wrote, Append: true}
	i.mu.RUnlock()
	c.Inline, _ = brought(c.Extents, blocks)
	a, err := h.ns.Commit(ctx, h.id, c)
	if posix.ErrnoOf(err) != posix.ERANGE {
		if err == nil {
			i.f.stats.commits.Add(1)
			i.committed(a, c.Extents, batch)
			i.advance(all[len(all)-1].End())
		}
		return err
	}
	if a, err = posix.GetattrNow(ctx, h.ns, i.ino); err != nil {
		return err
	}
	i.mu.Lock()
	i.adopt(a)
	err = i.move(i.attr.Size)
	i.mu.Unlock()
	if moved := i.f.moved; moved != nil {
		moved(i.ino)
	}
	if err != nil {
		return err
	}
	return errMoved
}

// advance notes that the tail up to end is committed.
func (i *inode) advance(end uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tail.on, i.tail.base = i.end > end, end
}

// sever makes the tail's beginning the border of two extents, so that one of
// them can be committed or moved without the other. The slices are closed, so
// they stay apart. i.mu is held.
func (i *inode) sever() {
	c := i.chunks[i.tail.base/posix.ChunkSize]
	if !i.tail.on || c == nil {
		return
	}
	if k, ok := c.at(i.tail.base); ok && c.dirty[k].Off < i.tail.base {
		e := c.dirty[k]
		c.dirty = c.dirty.Lay(e.Cut(i.tail.base, e.End()))
		i.extents++
	}
}

// move puts what was appended at to instead. Bytes stay in their slices but
// where that leads into another chunk, for a slice belongs to one. Open slices
// are closed: what comes next is not between what moves. i.mu is held.
func (i *inode) move(to uint64) error {
	var all posix.Map
	for _, c := range i.chunks {
		all = append(all, c.dirty.Range(i.tail.base, math.MaxUint64)...)
		c.dirty = c.dirty.Range(0, i.tail.base)
		if s := c.open; s != nil && len(s.blocks) > 0 {
			s.closed, c.open = true, nil
			s.blocks[len(s.blocks)-1].sealed = true
		}
	}
	slices.SortFunc(all, byOffset)
	shift := to - i.tail.base // modulo 2^64: it may be backwards
	i.tail.base, i.tail.shared = to, true
	for _, e := range all {
		if err := i.relay(e, e.Off+shift); err != nil {
			i.discard(err)
			return err
		}
	}
	i.sweep()
	return nil
}

// relay lays the dirty extent e at off. i.mu is held.
func (i *inode) relay(e posix.Extent, off uint64) error {
	s := i.slices[e.Slice.ID]
	for e.Len > 0 {
		n := min(e.Len, uint32(posix.ChunkSize-off%posix.ChunkSize))
		if index := off / posix.ChunkSize; index == s.chunk.index {
			c := i.chunk(index)
			c.lay(posix.Extent{Off: off, Len: n, From: e.From, Slice: e.Slice})
		} else {
			n = min(n, posix.BlockSize)
			b := make([]byte, n)
			s.copyTo(b, e.From)
			if err := i.force(b, off); err != nil {
				return err
			}
		}
		off, e.From, e.Len = off+uint64(n), e.From+n, e.Len-n
	}
	return nil
}
