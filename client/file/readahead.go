package file

import (
	"context"
	"math"
	"sync"

	"github.com/wardfs/wardfs/posix"
)

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
