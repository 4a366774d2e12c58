package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/namespace"
)

// outlineBatch is how many bytes of small blocks go to the chunk store at once.
const outlineBatch = 4 << 20

// blocks is the chunk store with the blocks that still lie in the namespace,
// which come first: see namespace/inline.go.
type blocks struct {
	chunk.Store
	tree *namespace.Tree
}

func (b blocks) Get(ctx context.Context, id posix.BlockID, off uint32, dst []byte) error {
	data, ok, err := b.tree.Inline(ctx, id)
	switch {
	case err != nil:
		return err
	case !ok:
		return b.Store.Get(ctx, id, off, dst)
	case uint64(off)+uint64(len(dst)) > uint64(len(data)):
		return posix.E("get", posix.EINVAL, fmt.Errorf("block %s has %d bytes", id, len(data)))
	}
	copy(dst, data[off:])
	return nil
}

// small is a whole block, or nil if it has more than most bytes.
func (b blocks) small(ctx context.Context, id posix.BlockID, most int) ([]byte, error) {
	data, ok, err := b.tree.Inline(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case ok && len(data) <= most:
		return data, nil
	case ok:
		return nil, nil
	}
	info, err := b.Store.Stat(ctx, id)
	if err != nil || int64(info.Size) > int64(most) {
		return nil, err
	}
	data = make([]byte, info.Size)
	return data, b.Store.Get(ctx, id, 0, data)
}

func (b blocks) Stat(ctx context.Context, id posix.BlockID) (chunk.Info, error) {
	data, ok, err := b.tree.Inline(ctx, id)
	if ok || err != nil {
		return chunk.Info{ID: id, Size: uint32(len(data))}, err
	}
	return b.Store.Stat(ctx, id)
}

// whole answers all that a small file is made of, which goes with the answer to
// whoever has just been let open it for reading; nothing where that is too much
// or can't be read at once. Whoever opened the file then asks for the blocks by
// his capability, and is told what is wrong with them.
func (s *Server) whole(ctx context.Context, o posix.Opened) (list []posix.Block) {
	if !o.Attr.Mode.IsReg() || o.Attr.Size > posix.InlineMax || o.LayoutEnd < o.Attr.Size {
		return nil
	}
	room := posix.InlineMax
	for _, e := range o.Extents {
		if e.Hole() {
			continue
		}
		for i := e.From / posix.BlockSize; i <= (e.From+e.Len-1)/posix.BlockSize; i++ {
			id := e.Slice.BlockID(i)
			if slices.ContainsFunc(list, func(b posix.Block) bool { return b.ID == id }) {
				continue
			}
			if e.Slice.Block(i) > posix.InlineMax {
				return nil
			}
			data, err := s.blocks.small(ctx, id, room)
			if err != nil || data == nil {
				return nil
			}
			room -= len(data)
			list = append(list, posix.Block{ID: id, Data: data})
		}
	}
	return list
}

// outline moves blocks from the namespace to the chunk store and answers how
// many. A crash in between leaves them in both, with the same bytes.
func (s *Server) outline(ctx context.Context) (int, error) {
	list, err := s.tree.Inlined(ctx, outlineBatch)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	for _, b := range list {
		if err := s.publish(ctx, b); err != nil {
			return 0, err
		}
	}
	if err := s.c.Blocks.Sync(ctx); err != nil {
		return 0, err
	}
	return len(list), s.tree.Outline(ctx, list)
}

// publish puts one block. Other bytes under its name are those of a client that
// put them at the same time as it sent the commit, and were never read.
func (s *Server) publish(ctx context.Context, b namespace.InlineBlock) error {
	err := s.c.Blocks.Put(ctx, b.ID, [][]byte{b.Data})
	if !errors.Is(err, chunk.ErrExists) {
		return err
	}
	s.c.Log.Warn("a block was put under the name of one that a commit brought", "block", b.ID.String())
	if err := s.c.Blocks.Delete(ctx, b.ID); err != nil {
		return err
	}
	return s.c.Blocks.Put(ctx, b.ID, [][]byte{b.Data})
}

// vacant answers EINVAL if a block of that name has other bytes. It may have the
// same: then the commit was sent again, and the tree knows of the first time.
func (s *Server) vacant(ctx context.Context, id posix.BlockID, data []byte) error {
	info, err := s.blocks.Stat(ctx, id)
	if errors.Is(err, chunk.ErrNotFound) {
		return nil
	}
	was := make([]byte, len(data))
	if err == nil && info.Size == uint32(len(data)) {
		err = s.blocks.Get(ctx, id, 0, was)
	}
	if err == nil && !bytes.Equal(was, data) {
		err = posix.E("commit", posix.EINVAL, fmt.Errorf("block %s exists with other bytes", id))
	}
	return err
}

// inlined is the bytes that the commit brings of a slice.
func inlined(c posix.Commit, id posix.SliceID) ([]byte, bool) {
	for _, b := range c.Inline {
		if b.Slice == id {
			return b.Data, true
		}
	}
	return nil, false
}
