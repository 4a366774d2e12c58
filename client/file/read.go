package file

import (
	"context"
	"errors"
	"sort"

	"github.com/wardfs/wardfs/posix"
)

// layoutSpan is how many bytes of a file a reader's question for its layout is
// about.
const layoutSpan = 4 * posix.ChunkSize

// layoutTries is how often a read asks anew where its bytes lie before a block
// that is not there counts as lost: who stood still for long enough may find
// that the answer is old once more.
const layoutTries = 3

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
		return 0, h.as("read", err)
	}
	n, err = h.read(ctx, dst, off)
	for range layoutTries {
		if e := posix.ErrnoOf(err); e != posix.ENOENT && e != posix.EACCES {
			break
		}
		// Another client has rewritten the place, or the server has compacted it,
		// and the block is collected; or the file it was written for is no more
		// one that this one shares with.
		h.i.doubt()
		if err = h.i.refresh(ctx, h.ns); err == nil {
			n, err = h.read(ctx, dst, off)
		}
	}
	if posix.ErrnoOf(err) == posix.ENOENT {
		h.i.f.log.Error("block is missing", "ino", h.i.ino, "err", err)
		err = posix.E("read", posix.EIO, err)
	}
	if err != nil {
		return 0, h.as("read", err)
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
		if err := i.learn(ctx, h, at, layoutSpan, gen); err != nil {
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

// learn asks the server for the layout of n bytes around at.
func (i *inode) learn(ctx context.Context, h *Handle, at, n, gen uint64) error {
	lo := at - at%posix.ChunkSize
	extents, end, err := h.ns.Layout(ctx, h.id, lo, n)
	if err == nil && end <= at { // too broken up to get there from the border
		lo = at
		extents, end, err = h.ns.Layout(ctx, h.id, lo, n)
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
