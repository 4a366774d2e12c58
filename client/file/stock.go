package file

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// wants reports whether the bytes of a file, should it be small, are to come
// with the answer to its open: a reader's next question would be for them. Not
// so where they are here, or where it is known that there are none or many.
func (i *inode) wants(flags posix.OpenFlags) bool {
	if flags&(posix.OpenRead|posix.OpenExec) == 0 || flags&(posix.OpenWrite|posix.OpenTrunc) != 0 {
		return false
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.attr.Ino == 0 || i.stale {
		return true
	}
	if i.attr.Size == 0 || i.attr.Size > posix.InlineMax {
		return false
	}
	if _, missing := i.layout.known.gap(0, i.attr.Size); missing {
		return true
	}
	for _, e := range i.layout.extents {
		for from, end := e.From, e.From+e.Len; !e.Hole() && from < end; {
			index := from / posix.BlockSize
			n := min(end-from, posix.BlockSize-from%posix.BlockSize)
			if !i.f.cache.Has(e.Slice.BlockID(index), from%posix.BlockSize, n) {
				return true
			}
			from += n
		}
	}
	return false
}

// stock puts the blocks that came with an open where its first read looks. A
// block that is none of the layout's, or has another length than it must have,
// is left aside: that read asks for it, and says what is wrong.
func (f *Files) stock(o posix.Opened) {
	for _, b := range o.Blocks {
		at, ok := placeOf(o.Extents, b.ID)
		if !ok || len(b.Data) != int(f.codec.stored(at.size)) {
			continue
		}
		src := func(_ context.Context, off uint32, dst []byte) error {
			start, n := f.codec.span(at.size, off, uint32(len(dst)))
			return f.codec.open(dst, at, off, b.Data[start:start+n])
		}
		for _, claim := range f.cache.Claim(at.id, at.size, 0, at.size) {
			claim.Fill(f.ctx, nil, src)
		}
	}
}

// placeOf answers where a block of some extent belongs.
func placeOf(extents []posix.Extent, id posix.BlockID) (place, bool) {
	for _, e := range extents {
		if !e.Hole() && e.Slice.BlockID(id.Index) == id {
			return place{id: id, chunk: e.Off / posix.ChunkSize, size: e.Slice.Block(id.Index)}, true
		}
	}
	return place{}, false
}
