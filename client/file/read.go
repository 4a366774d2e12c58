package file

import (
	"context"
	"errors"
	"math"
	"sort"
	"sync"

	"github.com/wardfs/wardfs/client/blockcache/buffer"
	"github.com/wardfs/wardfs/posix"
)

const (
	// layoutSpan is how many bytes of a file one question for its layout is
	// about.
	layoutSpan = 4 * posix.ChunkSize
	// maxFetch is how many pieces of one read are fetched at once.
	maxFetch = 8
)

// errLayout is an answer of the server that makes no sense.
var errLayout = errors.New("file: the server's layout is malformed")

// job is a piece of a read that lies in one stored block.
type job struct {
	at  place
	off uint32 // in the block's plaintext
	dst []byte
}

// Read fills dst with the file's bytes from off on. n is less than len(dst)
// only at the end of the file. EBADF, EINTR, EIO.
func (h *Handle) Read(ctx context.Context, dst []byte, off uint64) (n int, err error) {
	if h.flags&(posix.OpenRead|posix.OpenExec) == 0 {
		return 0, posix.E("read", posix.EBADF, nil)
	}
	if err := h.intact("read"); err != nil {
		return 0, err
	}
	if err := h.i.refresh(ctx, h.ns); err != nil {
		return 0, as("read", err)
	}
	n, err = h.read(ctx, dst, off)
	if posix.ErrnoOf(err) == posix.ENOENT {
		// Another client has rewritten the place and the block is collected.
		h.i.doubt()
		if err = h.i.refresh(ctx, h.ns); err == nil {
			n, err = h.read(ctx, dst, off)
		}
		if posix.ErrnoOf(err) == posix.ENOENT {
			h.i.f.log.Error("block is missing", "ino", h.i.ino, "err", err)
			err = posix.E("read", posix.EIO, errors.New(err.Error()))
		}
	}
	if err != nil {
		return 0, as("read", err)
	}
	h.i.f.stats.reads.Add(1)
	h.i.f.stats.readBytes.Add(int64(n))
	return n, nil
}

// read is one attempt at Read, over one state of the file.
func (h *Handle) read(ctx context.Context, dst []byte, off uint64) (int, error) {
	var room [8]job
	n, jobs, err := h.i.look(ctx, h, dst, off, room[:0])
	if err != nil || n == 0 {
		return n, err
	}
	h.readAhead(off, uint64(n))
	return n, h.fetchAll(ctx, jobs)
}

// look settles what a read consists of, at one moment: what is dirty is copied
// and what is a hole is cleared there and then, the rest are jobs.
func (i *inode) look(ctx context.Context, h *Handle, dst []byte, off uint64, jobs []job) (int, []job, error) {
	for {
		i.mu.RLock()
		if size := i.size(); off >= size {
			i.mu.RUnlock()
			return 0, nil, nil
		} else if uint64(len(dst)) > size-off {
			dst = dst[:size-off]
		}
		at, missing := i.unknown(off, off+uint64(len(dst)))
		if !missing {
			jobs = i.gather(dst, off, jobs)
			i.mu.RUnlock()
			return len(dst), jobs, nil
		}
		gen := i.gen
		i.mu.RUnlock()
		if err := i.learn(ctx, h, at, gen); err != nil {
			return 0, nil, err
		}
	}
}

// unknown answers the first byte of [lo, hi) of which it is not known where it
// lies. i.mu is held.
func (i *inode) unknown(lo, hi uint64) (uint64, bool) {
	hi = min(hi, i.attr.Size) // nothing is stored beyond
	for {
		at, missing := i.layout.known.gap(lo, hi)
		if !missing {
			return at, false
		}
		c := i.chunks[at/posix.ChunkSize]
		if c == nil {
			return at, true
		}
		k, dirty := c.at(at)
		if !dirty {
			return at, true
		}
		lo = c.dirty[k].End()
	}
}

// learn asks the server for the layout around at.
func (i *inode) learn(ctx context.Context, h *Handle, at uint64, gen uint64) error {
	lo := at - at%posix.ChunkSize
	extents, end, err := h.ns.Layout(ctx, h.id, lo, layoutSpan)
	if err == nil && end <= at { // too broken up to get there from the border
		lo = at
		extents, end, err = h.ns.Layout(ctx, h.id, lo, layoutSpan)
	}
	if err != nil {
		return err
	}
	if end <= at || !wellFormed(extents) {
		return posix.E("read", posix.EIO, errLayout)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.gen == gen {
		i.layout.learn(extents, lo, end)
	}
	return nil
}

// wellFormed reports whether extents are in order and each makes sense.
func wellFormed(extents []posix.Extent) bool {
	end := uint64(0)
	for _, e := range extents {
		if e.Check() != 0 || e.Off < end {
			return false
		}
		end = e.End()
	}
	return true
}

// gather fills dst as far as the bytes are in memory and appends what is to be
// fetched to jobs. i.mu is held.
func (i *inode) gather(dst []byte, off uint64, jobs []job) []job {
	for len(dst) > 0 {
		n := min(len(dst), int(posix.ChunkSize-off%posix.ChunkSize))
		jobs = i.gatherChunk(dst[:n], off, jobs)
		dst, off = dst[n:], off+uint64(n)
	}
	return jobs
}

// gatherChunk is gather within one chunk.
func (i *inode) gatherChunk(dst []byte, off uint64, jobs []job) []job {
	c := i.chunks[off/posix.ChunkSize]
	if c == nil || len(c.dirty) == 0 {
		return i.committedJobs(dst, off, jobs)
	}
	end := off + uint64(len(dst))
	for k, _ := c.at(off); len(dst) > 0; k++ {
		if k == len(c.dirty) || c.dirty[k].Off >= end {
			return i.committedJobs(dst, off, jobs)
		}
		e := c.dirty[k]
		if e.Off > off {
			n := e.Off - off
			jobs = i.committedJobs(dst[:n], off, jobs)
			dst, off = dst[n:], e.Off
		}
		e = e.Cut(off, end)
		i.slices[e.Slice.ID].copyTo(dst[:e.Len], e.From)
		dst, off = dst[e.Len:], e.End()
	}
	return jobs
}

// committedJobs is gather for bytes that are not dirty.
func (i *inode) committedJobs(dst []byte, off uint64, jobs []job) []job {
	m, end := i.layout.extents, off+uint64(len(dst))
	k := sort.Search(len(m), func(k int) bool { return m[k].End() > off })
	for ; k < len(m) && m[k].Off < end; k++ {
		e := m[k].Cut(off, end)
		clear(dst[:e.Off-off])
		dst, off = dst[e.Off-off:], e.Off
		if e.Hole() {
			clear(dst[:e.Len])
		} else {
			jobs = blockJobs(e, dst[:e.Len], jobs)
		}
		dst, off = dst[e.Len:], e.End()
	}
	clear(dst)
	return jobs
}

// blockJobs appends the jobs that fill dst with the bytes of e, one a block.
func blockJobs(e posix.Extent, dst []byte, jobs []job) []job {
	for from := e.From; len(dst) > 0; {
		index, off := from/posix.BlockSize, from%posix.BlockSize
		n := min(len(dst), posix.BlockSize-int(off))
		at := place{id: e.Slice.BlockID(index), chunk: e.Off / posix.ChunkSize, size: e.Slice.Block(index)}
		jobs = append(jobs, job{at, off, dst[:n]})
		dst, from = dst[n:], from+uint32(n)
	}
	return jobs
}

// fetchAll does the jobs, several at once.
func (h *Handle) fetchAll(ctx context.Context, jobs []job) error {
	if len(jobs) <= 1 {
		for _, j := range jobs {
			return h.fetch(ctx, j)
		}
		return nil
	}
	var mu sync.Mutex
	var first error
	next := 0
	var work sync.WaitGroup
	for range min(len(jobs), maxFetch) {
		work.Go(func() {
			for {
				mu.Lock()
				k := next
				next++
				stop := k >= len(jobs) || first != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := h.fetch(ctx, jobs[k]); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return first
}

// fetch does one job through the cache.
func (h *Handle) fetch(ctx context.Context, j job) error {
	return h.i.f.cache.Read(ctx, j.at.id, j.at.size, j.off, j.dst, h.source(j.at))
}

// source reads plaintext of one block from the store.
func (h *Handle) source(at place) func(context.Context, uint32, []byte) error {
	return func(ctx context.Context, off uint32, dst []byte) error {
		err := h.get(ctx, at, off, dst)
		if posix.ErrnoOf(err) == posix.EIO {
			h.i.f.damaged(at.id, err)
		}
		return err
	}
}

// get reads and opens the segments in which [off, off+len(dst)) lies.
func (h *Handle) get(ctx context.Context, at place, off uint32, dst []byte) error {
	f, stored := h.i.f, dst
	start := off
	if _, ok := f.codec.(plain); !ok {
		var n uint32
		start, n = f.codec.span(at.size, off, uint32(len(dst)))
		stored = buffer.Get(int(n))
		defer buffer.Put(stored)
	}
	err := h.call(ctx, func(capability []byte) error {
		return f.blocks.Get(ctx, capability, at.id, start, stored)
	})
	if err != nil {
		return err
	}
	f.stats.fetches.Add(1)
	f.stats.fetchBytes.Add(int64(len(stored)))
	if _, ok := f.codec.(plain); ok {
		return nil
	}
	return f.codec.open(dst, at, off, stored)
}

// readAhead is what a handle knows of its reader.
type readAhead struct {
	mu     sync.Mutex
	next   uint64 // the end of what was read in a row
	window uint64 // bytes to be ahead of it; 0 while reads are not in a row
	until  uint64 // the end of what was asked for ahead
}

// firstWindow is how far the first read in a row reads ahead, in bytes; and
// pieceSize is what one request ahead asks for.
const (
	firstWindow = 512 << 10
	pieceSize   = 1 << 20
)

// readAhead notes a read of n bytes at off and starts reading ahead where that
// is in a row with those before. Parallel reads of one stream come a little out
// of order, which is still a row.
func (h *Handle) readAhead(off, n uint64) {
	r := &h.ahead
	r.mu.Lock()
	inRow := off <= r.next+r.window && off+n+r.window >= r.next && (off > 0 || r.next == 0)
	if !inRow {
		r.next, r.window, r.until = off+n, 0, 0
		r.mu.Unlock()
		return
	}
	r.next = max(r.next, off+n)
	if r.until >= r.next+r.window/2 && r.window > 0 {
		r.mu.Unlock()
		return
	}
	r.window = min(max(2*r.window, firstWindow), h.i.f.readAhead)
	lo, hi := max(r.until, r.next), r.next+r.window
	if hi%pieceSize != 0 && hi > pieceSize {
		hi -= hi % pieceSize
	}
	r.until = max(hi, r.until)
	r.mu.Unlock()
	if lo < hi && hi < math.MaxInt64 {
		h.prefetch(lo, hi)
	}
}

// prefetch fetches what is stored of [lo, hi) into the cache, in the
// background. Where the layout is not known it leaves it to the reader.
func (h *Handle) prefetch(lo, hi uint64) {
	i := h.i
	i.mu.RLock()
	hi = min(hi, i.size())
	var m posix.Map
	if lo < hi {
		m = i.layout.extents.Range(lo, hi)
	}
	i.mu.RUnlock()
	for _, e := range m {
		if e.Hole() {
			continue
		}
		for from, end := e.From, e.From+e.Len; from < end; {
			index, off := from/posix.BlockSize, from%posix.BlockSize
			n := min(end-from, pieceSize-off%pieceSize)
			at := place{id: e.Slice.BlockID(index), chunk: e.Off / posix.ChunkSize, size: e.Slice.Block(index)}
			h.prefetchPiece(at, off, n)
			from += n
		}
	}
}

// prefetchPiece claims a piece and fetches it in the background.
func (h *Handle) prefetchPiece(at place, off, n uint32) {
	f := h.i.f
	for _, claim := range f.cache.Claim(at.id, at.size, off, n) {
		ok := f.spawn(func() {
			err := f.ahead.lock(f.ctx)
			if err == nil {
				defer f.ahead.unlock()
				f.stats.ahead.Add(1)
			}
			claim.Fill(f.ctx, err, h.source(at))
		})
		if !ok {
			claim.Fill(f.ctx, context.Canceled, nil)
		}
	}
}
