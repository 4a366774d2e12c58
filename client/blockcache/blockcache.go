// Package blockcache keeps spans of blocks in memory: what was read ahead, and
// what small reads have fetched. A block never changes under its name, so what
// is cached is never stale.
//
// Each byte is fetched once however many ask for it at the same time, and the
// memory stays under its limit, always: what has no room is read past the
// cache. It knows nothing of files, keys or stores; who reads gives it the
// source. It keeps nothing on a disk.
package blockcache

import (
	"container/list"
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto/buffer"
)

const (
	// Granule is what a small read is rounded out to, in bytes.
	Granule = 16 << 10
	// Bypass is the length in bytes from which a read that finds nothing goes
	// straight into the reader's buffer. The kernel caches it anyway.
	Bypass = 64 << 10
	// Piece is the longest span, in bytes.
	Piece = 1 << 20
	// spanCost is what the bookkeeping of a span is charged, in bytes.
	spanCost = 256
)

// Source fills dst with a block's bytes from off on.
type Source func(ctx context.Context, off uint32, dst []byte) error

// Stats counts what the cache has and did.
type Stats struct {
	Bytes        int64 // of memory in use
	Hits, Misses int64 // reads that did not, or did, need the source
}

// Cache keeps spans. All methods are safe for concurrent use.
type Cache struct {
	limit int64

	mu     sync.Mutex
	used   int64
	blocks map[posix.BlockID][]*span // by offset, without overlap
	lru    list.List                 // of *span that are filled, the next to go in front
	hits   int64
	misses int64
}

// span is a run of a block's bytes, filled or being filled.
type span struct {
	id     posix.BlockID
	off    uint32
	buf    []byte
	ready  chan struct{} // closed when filled or failed
	failed bool
	refs   int           // readers that copy from buf now
	gone   bool          // not in the cache any more: the last reader frees it
	unread int           // bytes nobody has read yet, of a span read ahead; else 0
	elem   *list.Element // in lru, nil until filled
}

func (s *span) end() uint32 { return s.off + uint32(len(s.buf)) }

// New makes a cache of at most limit bytes.
func New(limit int64) *Cache {
	return &Cache{limit: limit, blocks: map[posix.BlockID][]*span{}}
}

// Stats answers the counts as they are now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.used, c.hits, c.misses}
}

// Read fills dst with the bytes of block id, which has size bytes, from off on.
// What is not there comes from src; ctx is for that and for the waiting.
func (c *Cache) Read(ctx context.Context, id posix.BlockID, size, off uint32, dst []byte, src Source) error {
	missed := false
	for len(dst) > 0 {
		s, mine, n := c.find(id, size, off, len(dst))
		switch {
		case s == nil: // past the cache
			missed = true
			if err := src(ctx, off, dst[:n]); err != nil {
				return err
			}
		case mine:
			missed = true
			if err := c.fill(ctx, s, nil, src); err != nil {
				c.done(s, 0)
				return err
			}
			copy(dst[:n], s.buf[off-s.off:])
			c.done(s, n)
		default:
			if err := s.wait(ctx); err != nil {
				c.done(s, 0)
				return err
			}
			if s.failed { // whoever fetched it has his own reasons: try again
				c.done(s, 0)
				continue
			}
			copy(dst[:n], s.buf[off-s.off:])
			c.done(s, n)
		}
		dst, off = dst[n:], off+uint32(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if missed {
		c.misses++
	} else {
		c.hits++
	}
	return nil
}

// wait waits until the span is filled or failed.
func (s *span) wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// find answers where the n bytes from off on begin, and how many of them are
// there: a span that is there or under way, a new one that the caller must
// fill, or nil, to be read past the cache. A span is the caller's until done.
func (c *Cache) find(id posix.BlockID, size, off uint32, want int) (s *span, mine bool, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := c.blocks[id]
	i := sort.Search(len(spans), func(i int) bool { return spans[i].end() > off })
	if i < len(spans) && spans[i].off <= off {
		s = spans[i]
		s.refs++
		return s, false, min(want, int(s.end()-off))
	}
	lo, hi := gap(spans, i, size)
	n = min(want, int(hi-off))
	if n >= Bypass {
		return nil, false, n
	}
	lo = max(lo, off/Granule*Granule)
	hi = min(hi, (off+uint32(n)+Granule-1)/Granule*Granule)
	if s = c.insert(id, lo, hi); s == nil {
		return nil, false, n
	}
	s.refs++
	return s, true, n
}

// gap answers the bytes between span i-1 and span i of a block of size bytes.
func gap(spans []*span, i int, size uint32) (lo, hi uint32) {
	hi = size
	if i > 0 {
		lo = spans[i-1].end()
	}
	if i < len(spans) {
		hi = spans[i].off
	}
	return lo, hi
}

// insert puts an empty span [lo, hi) in its place, nil if there is no room.
func (c *Cache) insert(id posix.BlockID, lo, hi uint32) *span {
	cost := int64(buffer.Class(int(hi-lo))) + spanCost
	for c.used+cost > c.limit {
		e := c.lru.Front()
		if e == nil {
			return nil
		}
		c.remove(e.Value.(*span))
	}
	// What was evicted may have been of the same block.
	spans := c.blocks[id]
	i := sort.Search(len(spans), func(i int) bool { return spans[i].end() > lo })
	c.used += cost
	s := &span{id: id, off: lo, buf: buffer.Get(int(hi - lo)), ready: make(chan struct{})}
	c.blocks[id] = slices.Insert(spans, i, s)
	return s
}

// remove takes a span out of the cache. c.mu is held.
func (c *Cache) remove(s *span) {
	if s.gone {
		return
	}
	s.gone = true
	if s.elem != nil {
		c.lru.Remove(s.elem)
		s.elem = nil
	}
	spans := c.blocks[s.id]
	if i := slices.Index(spans, s); len(spans) == 1 {
		delete(c.blocks, s.id)
	} else {
		c.blocks[s.id] = slices.Delete(spans, i, i+1)
	}
	if s.refs == 0 {
		c.free(s)
	}
}

// free gives a span's memory back: it is gone and nobody reads it.
func (c *Cache) free(s *span) {
	c.used -= int64(cap(s.buf)) + spanCost
	buffer.Put(s.buf)
	s.buf = nil
}

// fill fills a span that the caller has made, unless err says already that it
// can't be.
func (c *Cache) fill(ctx context.Context, s *span, err error, src Source) error {
	if err == nil {
		err = src(ctx, s.off, s.buf)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		s.failed = true
		c.remove(s)
	} else {
		s.elem = c.lru.PushBack(s)
	}
	close(s.ready)
	return err
}

// done ends the use of a span of which n bytes were read. A span that was read
// ahead and has been read to its end is the next to go: the kernel has it.
func (c *Cache) done(s *span, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.refs--
	switch {
	case s.gone:
		if s.refs == 0 {
			c.free(s)
		}
	case s.elem == nil:
	case s.unread > n || s.unread == 0:
		s.unread = max(s.unread-n, 0)
		c.lru.MoveToBack(s.elem)
	default:
		s.unread = 0
		c.lru.MoveToFront(s.elem)
	}
}

// Has reports whether all of [off, off+n) of a block is there or on its way.
func (c *Cache) Has(id posix.BlockID, off, n uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := off + n
	for _, s := range c.blocks[id] {
		if s.off <= off {
			off = max(off, s.end())
		}
	}
	return off >= end
}

// Claim is a span that whoever made it must fill, in the background.
type Claim struct {
	c *Cache
	s *span
}

// Claim makes spans for what is not there of [off, off+n), as far as there is
// room. Readers wait for them from now on: Fill each.
func (c *Cache) Claim(id posix.BlockID, size, off, n uint32) []Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	var claims []Claim
	for end := min(off+n, size); off < end; {
		spans := c.blocks[id]
		i := sort.Search(len(spans), func(i int) bool { return spans[i].end() > off })
		if i < len(spans) && spans[i].off <= off {
			off = spans[i].end()
			continue
		}
		_, hi := gap(spans, i, end)
		hi = min(hi, end, off+Piece)
		s := c.insert(id, off, hi)
		if s == nil {
			return claims
		}
		s.refs++
		s.unread = len(s.buf)
		claims = append(claims, Claim{c, s})
		off = hi
	}
	return claims
}

// Fill fills the span from src, or gives it up if err is not nil.
func (k Claim) Fill(ctx context.Context, err error, src Source) {
	_ = k.c.fill(ctx, k.s, err, src) // a reader who needs it tries for himself
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.s.refs--; k.s.gone && k.s.refs == 0 {
		k.c.free(k.s)
	}
}
