package file

import (
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// bring answers the bytes of the batch's slices, sealed, for a commit that
// brings them itself: one question and one sync of the server instead of three
// and two. It is for a batch of which nothing has been sent and that is small;
// ok is false for any other. The bytes are copies, for the question may be sent
// again when the slices are long gone. i.order is held.
func (i *inode) bring(batch map[posix.SliceID]*slice) (blocks []posix.Inline, ok bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	room := i.f.inlineMax()
	for key, s := range batch {
		if i.slices[key] != s {
			return nil, false, nil // dropped with its session
		}
		if len(s.blocks) != 1 || s.blocks[0].state != unsent || !s.sent.IsZero() {
			return nil, false, nil
		}
		if room -= int(i.f.codec.stored(s.size)); room < 0 {
			return nil, false, nil
		}
	}
	for _, s := range batch {
		if err := i.f.name(&s.id); err != nil {
			return nil, false, err
		}
		b := posix.Inline{Slice: s.id, Data: make([]byte, i.f.codec.stored(s.size))}
		at := place{id: posix.BlockID{File: i.ino, Slice: s.id}, chunk: s.chunk.index, size: s.size}
		if err := i.f.codec.seal(b.Data, at, s.blocks[0].buf); err != nil {
			return nil, false, err
		}
		blocks = append(blocks, b)
	}
	return blocks, true, nil
}

// brought parts the blocks that a commit of these extents must bring from
// those that a later one may; what newer writes have covered needs none.
func brought(extents []posix.Extent, blocks []posix.Inline) (now, later []posix.Inline) {
	for _, b := range blocks {
		if slices.ContainsFunc(extents, func(e posix.Extent) bool { return e.Slice.ID == b.Slice }) {
			now = append(now, b)
		} else {
			later = append(later, b)
		}
	}
	return now, later
}
