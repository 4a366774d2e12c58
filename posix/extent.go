package posix

import (
	"encoding/hex"
	"fmt"
	"sort"
)

// The sizes of the data path, in bytes.
const (
	ChunkSize = 64 << 20 // of a file, by offset; no extent crosses its border
	BlockSize = 4 << 20  // of a slice: one object in the chunk store, the last may be shorter

	// BlockMax is what a stored block may have: a sealed one is longer than
	// its plaintext by the tags of its segments.
	BlockMax = BlockSize + BlockSize/32

	// InlineMax is how much a Commit may bring by itself, sealed: 64 KiB of
	// plaintext. Beyond it writing bytes twice costs more than a second sync.
	InlineMax = 64<<10 + 64<<10/32
)

// SealedMax is how many bytes a block of n bytes of plaintext may take sealed:
// the tags of its segments, and a head. What is longer is no block of so little,
// but room that nobody is charged for.
func SealedMax(n uint32) uint32 { return min(n+n/32+4096, BlockMax) }

// SliceID names a slice. It is random, so that no two clients need to talk to
// choose one; zero is no slice.
type SliceID [16]byte

// String is the id in hexadecimal.
func (s SliceID) String() string { return hex.EncodeToString(s[:]) }

// Slice is an immutable run of bytes in the chunk store.
type Slice struct {
	// File is the inode it was written for. It stays so when another file
	// comes to share the slice, and is part of its blocks' name: a capability
	// for one file opens no other file's blocks.
	File Ino
	ID   SliceID
	Len  uint32 // bytes, at most ChunkSize
}

// Block is how many bytes block i of the slice has; 0 past its end.
func (s Slice) Block(i uint32) uint32 {
	start := uint64(i) * BlockSize
	if start >= uint64(s.Len) {
		return 0
	}
	return uint32(min(BlockSize, uint64(s.Len)-start))
}

// Blocks is how many blocks the slice has.
func (s Slice) Blocks() uint32 { return (s.Len + BlockSize - 1) / BlockSize }

// BlockID names a block: block Index of a slice that was written for File.
type BlockID struct {
	File  Ino
	Slice SliceID
	Index uint32
}

// String is for logs: "17/0f3a….2".
func (b BlockID) String() string { return fmt.Sprintf("%d/%s.%d", b.File, b.Slice, b.Index) }

// BlockID names block i of the slice.
func (s Slice) BlockID(i uint32) BlockID { return BlockID{s.File, s.ID, i} }

// Extent is a run of a file's bytes and where they lie.
type Extent struct {
	Off   uint64 // the first byte in the file
	Len   uint32 // bytes; Off/ChunkSize is that of the last byte too
	From  uint32 // the first byte in the slice
	Slice Slice  // the zero Slice is a hole: zeros
}

// End is the offset after the last byte.
func (e Extent) End() uint64 { return e.Off + uint64(e.Len) }

// Hole reports whether the extent covers with zeros.
func (e Extent) Hole() bool { return e.Slice.ID == SliceID{} }

// Cut is the part of e within [lo, hi), which must overlap it.
func (e Extent) Cut(lo, hi uint64) Extent {
	if lo > e.Off {
		d := uint32(lo - e.Off)
		e.Off, e.Len, e.From = lo, e.Len-d, e.From+d
	}
	if hi < e.End() {
		e.Len = uint32(hi - e.Off)
	}
	return e
}

// Check answers EINVAL for an extent that no honest client sends: empty,
// across a chunk's border, past FileSizeMax (EFBIG), outside its slice.
func (e Extent) Check() Errno {
	switch {
	case e.Off > FileSizeMax || e.End() > FileSizeMax:
		return EFBIG
	case e.Len == 0 || e.Off/ChunkSize != (e.End()-1)/ChunkSize:
		return EINVAL
	case e.Hole():
		return 0
	case e.Slice.Len > ChunkSize || uint64(e.From)+uint64(e.Len) > uint64(e.Slice.Len):
		return EINVAL
	}
	return 0
}

// Map is what a file's bytes are made of: extents in order of offset, without
// overlap. Bytes of no extent are zeros.
type Map []Extent

// Lay puts e over the map. What it covers is cut or dropped. The map's own
// array may be reused.
func (m Map) Lay(e Extent) Map {
	// The first extent that ends after e begins, the first that begins at or after e ends.
	i := sort.Search(len(m), func(i int) bool { return m[i].End() > e.Off })
	j := i + sort.Search(len(m)-i, func(k int) bool { return m[i+k].Off >= e.End() })
	var mid [3]Extent
	ins := mid[:0]
	if i < j && m[i].Off < e.Off {
		ins = append(ins, m[i].Cut(m[i].Off, e.Off))
	}
	ins = append(ins, e)
	if i < j && m[j-1].End() > e.End() {
		ins = append(ins, m[j-1].Cut(e.End(), m[j-1].End()))
	}
	return splice(m, i, j, ins)
}

// splice replaces m[i:j] by ins.
func splice(m Map, i, j int, ins []Extent) Map {
	if d := len(ins) - (j - i); d > 0 {
		m = append(m, ins[:d]...) // room; the values are placed below
		copy(m[j+d:], m[j:len(m)-d])
	} else if d < 0 {
		copy(m[j+d:], m[j:])
		m = m[:len(m)+d]
	}
	copy(m[i:], ins)
	return m
}

// Range is the part of the map within [lo, hi), cut to fit, in a fresh array.
func (m Map) Range(lo, hi uint64) Map {
	var out Map
	if lo >= hi {
		return nil // within an extent, an empty range would be one too
	}
	i := sort.Search(len(m), func(i int) bool { return m[i].End() > lo })
	for ; i < len(m) && m[i].Off < hi; i++ {
		out = append(out, m[i].Cut(lo, hi))
	}
	return out
}

// Covered is how many bytes of [lo, hi) lie in slices, holes not counted.
func (m Map) Covered(lo, hi uint64) uint64 {
	var n uint64
	if lo >= hi {
		return 0
	}
	i := sort.Search(len(m), func(i int) bool { return m[i].End() > lo })
	for ; i < len(m) && m[i].Off < hi; i++ {
		if !m[i].Hole() {
			n += uint64(m[i].Cut(lo, hi).Len)
		}
	}
	return n
}
