package file

import (
	"context"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/wardfs/wardfs/posix"
)

// Seek is lseek(2) with SEEK_DATA or SEEK_HOLE: the first byte from off on that
// is data, or is in a hole; the end of the file begins one. What is buffered is
// data, wherever it lies. ENXIO if off is at the end or beyond, or no data
// follows.
func (h *Handle) Seek(ctx context.Context, off uint64, data bool) (uint64, error) {
	if err := h.intact("lseek"); err != nil {
		return 0, err
	}
	at, err := off, h.i.refresh(ctx, h.ns)
	if err == nil {
		at, err = h.i.seek(ctx, h, off, data)
	}
	if err != nil {
		return 0, h.as("lseek", err)
	}
	return at, nil
}

// seek goes on where the layout was not known, so that it ends however much of
// that is kept. The server is asked for all the rest at once: a hole, however
// long, is one answer.
func (i *inode) seek(ctx context.Context, h *Handle, off uint64, data bool) (uint64, error) {
	at := off
	for {
		i.mu.RLock()
		size, gen := i.size(), i.gen
		var known bool
		at, known = i.nextOf(at, data)
		i.mu.RUnlock()
		switch {
		case off >= size || known && data && at >= size:
			return 0, posix.ENXIO
		case known:
			return min(at, size), nil
		}
		if err := i.learn(ctx, h, at, size-at+posix.ChunkSize, gen); err != nil {
			return 0, err
		}
	}
}

// nextOf answers the first byte from at on that is data, or is none; the size if
// there is no such byte. Or, if known is false, where the layout is to be asked
// for. i.mu is held.
func (i *inode) nextOf(at uint64, data bool) (_ uint64, known bool) {
	w := walk{i, slices.Sorted(maps.Keys(i.chunks))}
	for size := i.size(); at < size; {
		is, end := w.dirty(at)
		if !is && at < i.attr.Size { // nothing is stored beyond
			gap, missing := i.layout.known.gap(at, min(end, i.attr.Size))
			if missing && gap == at {
				return at, false
			}
			if missing {
				end = gap
			}
			is, end = i.layout.stored(at, end)
		}
		if is == data {
			break
		}
		at = min(end, size)
	}
	return at, true
}

// walk goes through what is dirty of an inode, chunk by chunk.
type walk struct {
	*inode
	indices []uint64 // of its chunks, in order
}

// dirty reports whether the byte at is dirty, and up to where the answer holds
// at least.
func (w *walk) dirty(at uint64) (is bool, end uint64) {
	for k, _ := slices.BinarySearch(w.indices, at/posix.ChunkSize); k < len(w.indices); k++ {
		c := w.chunks[w.indices[k]]
		if n, in := c.at(at); in {
			return true, c.dirty[n].End()
		} else if n < len(c.dirty) {
			return false, c.dirty[n].Off
		}
	}
	return false, math.MaxUint64
}

// stored reports whether the byte at lies in a slice, and up to where, at most
// end, that holds at least. [at, end) is known.
func (l *layout) stored(at, end uint64) (bool, uint64) {
	m := l.extents
	k := sort.Search(len(m), func(k int) bool { return m[k].End() > at })
	if k == len(m) || m[k].Off >= end {
		return false, end
	} else if m[k].Off > at {
		return false, m[k].Off
	}
	return !m[k].Hole(), min(end, m[k].End())
}
