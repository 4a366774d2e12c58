package file

import (
	"context"
	"io"
	"math"

	"github.com/wardfs/wardfs/posix"
)

const (
	// maxDirty is how many dirty extents one file may have before a writer
	// has to wait for a flush, and half of it sets one going.
	maxDirty = 1 << 14
	// streamAfter is how many bytes in a row make a stream, whose blocks are
	// whole from the beginning.
	streamAfter = 1 << 20
)

// write buffers src, at most a block and within one chunk, for h: all of it or
// none.
func (i *inode) write(ctx context.Context, h *Handle, src []byte, off uint64) error {
	if err := i.through(ctx); err != nil {
		return err
	}
	if i.touches(off + uint64(len(src))) {
		if err := i.kick(true, false).wait(ctx); ctx.Err() != nil {
			return err
		}
	}
	credit, err := i.room(ctx, func() (int, uint64) { return len(src), off })
	if err != nil {
		return err
	}
	defer func() {
		if credit > 0 {
			i.f.memory.give(credit)
		}
	}()
	if h.stale() {
		i.mu.Unlock()
		return posix.E("write", posix.ESTALE, errLost)
	}
	if i.end == 0 {
		i.f.noteDirty(i, i.f.now())
	}
	took, err := i.put(src, off)
	credit -= took
	full, many := i.full >= i.f.sliceMax, i.extents >= maxDirty/2
	i.mu.Unlock()
	if full || many {
		i.nudge(many)
	}
	if waits, _ := i.f.memory.waiting(); waits {
		// When they began to wait there may have been nothing to flush: the
		// memory was in the hands of those about to write.
		i.f.hurry()
	}
	return err
}

// room takes the memory that a write of n bytes at off needs, as write says
// with i.mu held, and answers with i.mu held. Who waits holds nothing meanwhile: what the file needs may grow
// while it waits, and if all memory were in the hands of those who want a
// little more, none would ever come free.
func (i *inode) room(ctx context.Context, write func() (n int, off uint64)) (credit int64, err error) {
	for {
		i.mu.Lock()
		n, off := write()
		need := i.chunk(off/posix.ChunkSize).need(n, off == i.last && i.stream >= streamAfter)
		more := need - credit
		if more <= 0 || i.f.memory.try(more) {
			return max(need, credit), nil
		}
		i.mu.Unlock()
		if credit > 0 {
			i.f.memory.give(credit)
			need = maxNeed // so that one more turn is enough
		}
		credit = 0
		if err := i.f.memory.take(ctx, need); err != nil {
			return 0, err
		}
		credit = need
	}
}

// through makes a file whose last flush was finally refused write through:
// nothing more is buffered until what is there could be stored, so a full disk
// is told at once. It also holds back who would make too many extents.
func (i *inode) through(ctx context.Context) error {
	i.mu.RLock()
	held := i.failing != nil || i.extents >= maxDirty
	i.mu.RUnlock()
	if held {
		return i.kick(true, false).wait(ctx)
	}
	return nil
}

// chunk answers the buffer of a chunk. i.mu is held.
func (i *inode) chunk(index uint64) *chunk {
	c := i.chunks[index]
	if c == nil {
		c = &chunk{index: index}
		if i.chunks == nil {
			i.chunks, i.slices = map[uint64]*chunk{}, map[posix.SliceID]*slice{}
		}
		i.chunks[index] = c
	}
	return c
}

// put buffers src and answers how much memory that took, which was set aside
// before. i.mu is held.
func (i *inode) put(src []byte, off uint64) (took int64, err error) {
	c := i.chunk(off / posix.ChunkSize)
	if off != i.last {
		i.stream = 0
	}
	stream := i.stream >= streamAfter
	start, before := off, len(c.dirty)
	for len(src) > 0 {
		if j, ok := c.at(off); ok {
			if dst := c.inPlace(j, off); dst != nil {
				n := copy(dst, src)
				src, off = src[n:], off+uint64(n)
				continue
			}
		}
		if c.open == nil {
			if c.open, err = i.newSlice(c); err != nil {
				break
			}
		}
		n := c.run(off, len(src))
		took += c.append(src[:n], off, stream)
		src, off = src[n:], off+uint64(n)
		if off-uint64(n) == start {
			cost := min(max(int64(len(c.dirty)-before)*extentCost, 0), maxCost)
			c.open.costs += cost
			took += cost
		}
		i.filled(c)
	}
	if off > start {
		i.stream += int64(off - start)
		i.last, i.end = off, max(i.end, off)
		i.extents += len(c.dirty) - before
		i.wrote = posix.TimeOf(i.f.now())
		i.writes++
	}
	return took, err
}

// filled sends the open slice's last block off if it is full, and closes the
// slice if that was the last it may have. i.mu is held.
func (i *inode) filled(c *chunk) {
	s := c.open
	if b := s.blocks[len(s.blocks)-1]; b.sealed {
		i.send(s, b)
	}
	if int64(s.size) >= i.f.sliceMax {
		s.closed, c.open = true, nil
		i.full += int64(s.size)
	}
}

// newSlice begins a slice. i.mu is held.
func (i *inode) newSlice(c *chunk) (*slice, error) {
	s := &slice{chunk: c}
	if err := i.f.name(&s.id); err != nil {
		return nil, err
	}
	s.key = s.id
	i.slices[s.key] = s
	return s, nil
}

// name draws a name for a slice that has none.
func (f *Files) name(id *posix.SliceID) error {
	f.randMu.Lock()
	defer f.randMu.Unlock()
	for *id == (posix.SliceID{}) {
		if _, err := io.ReadFull(f.rand, id[:]); err != nil {
			*id = posix.SliceID{}
			return posix.E("write", posix.EIO, err)
		}
	}
	return nil
}

// cut drops what is dirty of [lo, hi). i.mu is held.
func (i *inode) cut(lo, hi uint64) {
	for index, c := range i.chunks {
		if start := index * posix.ChunkSize; start < hi && start+posix.ChunkSize > lo {
			c.dirty = append(c.dirty.Range(0, lo), c.dirty.Range(hi, math.MaxUint64)...)
		}
	}
	i.sweep()
}

// sweep lets go of slices that no dirty extent names any more. i.mu is held.
func (i *inode) sweep() {
	live := make(map[posix.SliceID]bool, len(i.slices))
	i.recount()
	for _, c := range i.chunks {
		for _, e := range c.dirty {
			live[e.Slice.ID] = true
		}
	}
	for key, s := range i.slices {
		if !live[key] {
			i.drop(s)
		}
	}
	for index, c := range i.chunks {
		if len(c.dirty) == 0 {
			delete(i.chunks, index)
		}
	}
	if i.end == 0 {
		i.f.noteClean(i)
		i.chunks, i.slices = nil, nil // there is nothing in them
		i.tail.on = false
	}
}

// recount finds out anew how many dirty extents there are and where they end.
// i.mu is held.
func (i *inode) recount() {
	i.end, i.extents = 0, 0
	for _, c := range i.chunks {
		if n := len(c.dirty); n > 0 {
			i.end = max(i.end, c.dirty[n-1].End())
			i.extents += n
		}
	}
}

// drop gives the slice's memory back; a block under way follows at its end.
// i.mu is held.
func (i *inode) drop(s *slice) {
	delete(i.slices, s.key)
	if s.chunk.open == s {
		s.chunk.open = nil
	}
	give := s.costs
	for _, b := range s.blocks {
		if b.state == underway {
			b.orphan = true
			continue
		}
		give += i.f.recycle(b)
	}
	i.f.memory.give(give)
}
