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
	behind int    // reads far behind since the last that was in the row
}

// reset makes it that of a reader who has not read yet.
func (r *readAhead) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.window, r.until, r.behind = 0, 0, 0, 0
}

// mostBehind is how many reads far behind a row, one after the other, are
// readers of it that were overtaken; one more is a new row.
const mostBehind = 4

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
	if !r.inRow(off, n) {
		r.astray(off, n)
		r.mu.Unlock()
		return
	}
	r.behind = 0
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

// inRow reports whether a read belongs to those before; r.mu is held.
func (r *readAhead) inRow(off, n uint64) bool {
	return off <= r.next+r.window && off+n+r.window >= r.next && (off > 0 || r.next == 0)
}

// astray is a read that does not: a new row begins, unless this may be one of
// the old row that comes late. r.mu is held.
func (r *readAhead) astray(off, n uint64) {
	if r.window > 0 && off+n < r.next && r.behind < mostBehind {
		r.behind++
		return
	}
	r.next, r.window, r.until, r.behind = off+n, 0, 0, 0
}

// passed reports whether the row has come to end meanwhile: who had to wait
// before he could claim a piece would fetch it behind the others' backs.
func (r *readAhead) passed(end uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next >= end
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
			if from += n; !h.ahead.passed(e.Off + uint64(from-e.From)) {
				h.prefetchPiece(at, off, n)
			}
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
