package file

import (
	"sort"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto/buffer"
)

// extentCost is what one entry of a dirty map is charged, in bytes, so that
// tiny writes are bounded as well.
const extentCost = 64

// maxCost is the most that one write is charged for entries: it adds more only
// where it fills gaps among many, which were charged themselves.
const maxCost = 2 * extentCost

// maxNeed is the most memory that one write of at most a block can take: what
// is there of a block grows to its full size, and another one begins.
const maxNeed = 2*posix.BlockSize + maxCost

// chunk is what is buffered of one chunk of a file. A write appends its bytes
// to the chunk's open slice and lays an extent over the dirty map; so the
// bytes are copied once, and small writes to scattered places gather in one
// block. Only bytes of a block that is still being filled are overwritten in
// place: what may be on its way is never touched.
type chunk struct {
	index uint64    // offset / posix.ChunkSize
	dirty posix.Map // Slice.ID is the slice's key
	open  *slice    // nil if there is none
}

// slice is a slice in the making: its bytes are in memory until a commit made
// them part of the file.
type slice struct {
	key    posix.SliceID // its name in dirty maps; never changes
	id     posix.SliceID // its name in the chunk store; a new one if all is sent anew
	chunk  *chunk
	blocks []*block  // all full but the last
	size   uint32    // bytes
	closed bool      // takes no more bytes; the last block may be sent
	costs  int64     // of its extents, charged to the budget
	sent   time.Time // when its first block was sent under id; zero if none was
}

// block is a block of a slice in the making.
type block struct {
	buf    []byte // len: filled, cap: charged to the budget
	index  uint32
	sealed bool // never changes again
	state  sending
	err    error         // why the last sending failed
	done   chan struct{} // of the sending under way, closed at its end
	orphan bool          // its slice is gone: free the buffer when the sending ends
}

// sending is how far a block is on its way to the store.
type sending uint8

const (
	unsent sending = iota
	underway
	stored
)

// at answers the dirty extent that holds off, or else the first one after it.
func (c *chunk) at(off uint64) (int, bool) {
	i := sort.Search(len(c.dirty), func(i int) bool { return c.dirty[i].End() > off })
	return i, i < len(c.dirty) && c.dirty[i].Off <= off
}

// filling answers the block that takes the next byte, nil if a fresh one is
// needed.
func (c *chunk) filling() *block {
	if c.open == nil || len(c.open.blocks) == 0 {
		return nil
	}
	if b := c.open.blocks[len(c.open.blocks)-1]; !b.sealed {
		return b
	}
	return nil
}

// inPlace answers where extent i may be overwritten from off on: nil if its
// bytes are not in the block that is being filled.
func (c *chunk) inPlace(i int, off uint64) []byte {
	b := c.filling()
	e := c.dirty[i]
	if b == nil || e.Slice.ID != c.open.key {
		return nil
	}
	start := b.index * posix.BlockSize
	from := e.From + uint32(off-e.Off)
	if from < start {
		return nil
	}
	return b.buf[from-start : e.From+e.Len-start]
}

// fresh is the capacity of a new block that is to take n bytes: all of a block
// where a stream is going on, else what is needed.
func (c *chunk) fresh(n int, stream bool) int {
	if stream || c.open != nil && c.open.size >= posix.BlockSize {
		return posix.BlockSize
	}
	return buffer.Class(n)
}

// need is the most memory that writing n bytes can take, n at most a block.
func (c *chunk) need(n int, stream bool) int64 {
	need := int64(maxCost)
	b := c.filling()
	if b == nil {
		return need + int64(c.fresh(n, stream))
	}
	m := min(n, posix.BlockSize-len(b.buf))
	need += int64(grown(len(b.buf)+m, cap(b.buf)) - cap(b.buf))
	if n > m {
		need += posix.BlockSize
	}
	return need
}

// grown is the capacity that a block of capacity c takes to hold n bytes.
func grown(n, c int) int {
	if n <= c {
		return c
	}
	return buffer.Class(n)
}

// append puts p at the end of the open slice and lays it over off. It answers
// the memory that took. There is room in the block for all of p.
func (c *chunk) append(p []byte, off uint64, stream bool) int64 {
	s, b, cost := c.open, c.filling(), int64(0)
	if b == nil {
		b = &block{index: uint32(len(s.blocks)), buf: buffer.Get(c.fresh(len(p), stream))[:0]}
		s.blocks = append(s.blocks, b)
		cost = int64(cap(b.buf))
	} else if n := len(b.buf) + len(p); n > cap(b.buf) {
		bigger := append(buffer.Get(n)[:0], b.buf...)
		cost = int64(cap(bigger) - cap(b.buf))
		buffer.Put(b.buf)
		b.buf = bigger
	}
	e := posix.Extent{Off: off, Len: uint32(len(p)), From: s.size, Slice: posix.Slice{ID: s.key}}
	b.buf = append(b.buf, p...)
	s.size += e.Len
	b.sealed = len(b.buf) == posix.BlockSize
	c.lay(e)
	return cost
}

// lay puts e over the dirty map, as one extent with the one before where that
// goes on in the same slice.
func (c *chunk) lay(e posix.Extent) {
	if i, ok := c.at(e.Off - min(e.Off, 1)); ok {
		p := c.dirty[i]
		if p.End() == e.Off && p.Slice.ID == e.Slice.ID && p.From+p.Len == e.From {
			p.Len += e.Len
			e = p
		}
	}
	c.dirty = c.dirty.Lay(e)
}

// run is how many of the n bytes from off on can be appended: up to the next
// byte that is to be overwritten in place, or the block's end.
func (c *chunk) run(off uint64, n int) int {
	if b := c.filling(); b != nil {
		n = min(n, posix.BlockSize-len(b.buf))
	}
	for i, _ := c.at(off); i < len(c.dirty) && c.dirty[i].Off < off+uint64(n); i++ {
		if e := c.dirty[i]; e.Off > off && c.inPlace(i, e.Off) != nil {
			return int(e.Off - off)
		}
	}
	return n
}

// bytes is the part of s from offset from on that lies in one block.
func (s *slice) bytes(from uint32) []byte {
	return s.blocks[from/posix.BlockSize].buf[from%posix.BlockSize:]
}

// copyTo fills dst from the slice's bytes from offset from on.
func (s *slice) copyTo(dst []byte, from uint32) {
	for len(dst) > 0 {
		n := copy(dst, s.bytes(from))
		dst, from = dst[n:], from+uint32(n)
	}
}
