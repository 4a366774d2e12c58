package file

import (
	"context"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto/buffer"
)

// smallBlock is the size in bytes up to which a block goes by the small lane,
// so that an fsync of a few bytes does not stand behind a stream.
const smallBlock = 256 << 10

// store sends all blocks of the batch and makes them durable. i.order is held.
func (i *inode) store(ctx context.Context, h *Handle, batch map[posix.SliceID]*slice) error {
	for {
		if err := i.upload(ctx, batch); err != nil {
			return err
		}
		err := h.call(ctx, func(capability []byte) error { return i.f.blocks.Sync(ctx, capability) })
		if err != nil {
			// What was not synced may be gone, though Put answered well.
			i.rename(batch)
			return err
		}
		if !i.outdated(batch) {
			return nil
		}
	}
}

// upload sends the blocks that are not stored yet and waits for them all.
func (i *inode) upload(ctx context.Context, batch map[posix.SliceID]*slice) error {
	i.mu.Lock()
	var blocks []*block
	for key, s := range batch {
		if i.slices[key] != s {
			continue // dropped with its session
		}
		if err := i.f.name(&s.id); err != nil {
			i.mu.Unlock()
			return err
		}
		for _, b := range s.blocks {
			if b.state == unsent {
				i.send(s, b)
			}
			blocks = append(blocks, b)
		}
	}
	i.mu.Unlock()
	var first error
	for _, b := range blocks {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		i.mu.RLock()
		if b.state != stored && first == nil {
			first = b.err
		}
		i.mu.RUnlock()
	}
	return first
}

// outdated renames the slices whose upload is so old that the server may
// collect it before it is committed, and reports whether there are any.
func (i *inode) outdated(batch map[posix.SliceID]*slice) bool {
	old := make(map[posix.SliceID]*slice)
	i.mu.RLock()
	for key, s := range batch {
		if i.slices[key] == s && i.f.now().Sub(s.sent) > staleAfter {
			old[key] = s
		}
	}
	i.mu.RUnlock()
	i.rename(old)
	return len(old) > 0
}

// rename takes the slices' names away, so that all their blocks are sent anew
// under others. No sending of theirs is under way.
func (i *inode) rename(batch map[posix.SliceID]*slice) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range batch {
		s.id, s.sent = posix.SliceID{}, time.Time{} // the next sending draws a name
		for _, b := range s.blocks {
			if b.state == stored {
				b.state = unsent
			}
		}
	}
}

// send starts the sending of a sealed block. i.mu is held.
func (i *inode) send(s *slice, b *block) {
	if s.sent.IsZero() {
		s.sent = i.f.now()
	}
	id := posix.BlockID{File: i.ino, Slice: s.id, Index: b.index}
	at := place{id: id, chunk: s.chunk.index, size: uint32(len(b.buf))}
	b.state, b.done = underway, make(chan struct{})
	if !i.f.spawn(func() { i.sent(b, i.put1(at, b.buf)) }) {
		b.state, b.err = unsent, posix.E("write", posix.ECANCELED, nil)
		close(b.done)
	}
}

// sent notes the outcome of a sending.
func (i *inode) sent(b *block, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	b.state, b.err = stored, nil
	if err != nil {
		b.state, b.err = unsent, err
	}
	close(b.done)
	if b.orphan {
		i.f.memory.give(i.f.recycle(b))
	}
}

// put1 stores one block.
func (i *inode) put1(at place, data []byte) error {
	lane := i.f.lane(len(data))
	if err := lane.lock(i.f.ctx); err != nil {
		return err
	}
	defer lane.unlock()
	h := i.writer()
	if h == nil {
		return posix.E("write", posix.EBADF, nil)
	}
	if _, ok := i.f.codec.(plain); !ok {
		sealed := buffer.Get(int(i.f.codec.stored(at.size)))
		defer buffer.Put(sealed)
		if err := i.f.codec.seal(sealed, at, data); err != nil {
			return err
		}
		data = sealed
	}
	i.f.stats.uploads.Add(1)
	return h.call(i.f.ctx, func(capability []byte) error {
		return i.f.blocks.Put(i.f.ctx, capability, at.id, data)
	})
}

// recycle ends a block's life and answers what it had taken of the budget.
func (f *Files) recycle(b *block) int64 {
	n := int64(cap(b.buf))
	buffer.Put(b.buf)
	b.buf = nil
	return n
}
