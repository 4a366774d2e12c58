package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/posix"
	serverchunk "github.com/wardfs/wardfs/server/chunk"
	chunkmem "github.com/wardfs/wardfs/server/chunk/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

// realBlocks is a chunk store without the wire, whose reads need no capability.
type realBlocks struct{ *chunkmem.Store }

func (s realBlocks) Put(ctx context.Context, _ []byte, id posix.BlockID, data []byte) error {
	return s.Store.Put(ctx, id, [][]byte{data})
}

func (s realBlocks) Get(ctx context.Context, _ []byte, id posix.BlockID, off uint32, dst []byte) error {
	err := s.Store.Get(ctx, id, off, dst)
	if errors.Is(err, serverchunk.ErrNotFound) {
		return posix.E("get", posix.ENOENT, err)
	}
	return err
}

// layered finds the blocks first that came with commits, as the server does.
type layered struct {
	realBlocks
	tree *namespace.Tree
}

func (s layered) Get(ctx context.Context, capability []byte, id posix.BlockID, off uint32, dst []byte) error {
	data, ok, err := s.tree.Inline(ctx, id)
	if !ok && err == nil {
		return s.realBlocks.Get(ctx, capability, id, off, dst)
	}
	copy(dst, data[off:])
	return err
}

func (s realBlocks) Sync(ctx context.Context, _ []byte) error { return s.Store.Sync(ctx) }

// TestTreeModel is TestModel over the real namespace, whose collector runs all
// the time; in the end it is whole.
func TestTreeModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			tree := newTree(t)
			blocks := realBlocks{chunkmem.New()}
			c, fresh := newClient(t, tree, blocks, 1), newClient(t, tree, blocks, 2)
			m := &model{Files: c.Files, rnd: rand.New(rand.NewPCG(seed, 9)), raw: c.raw}
			m.between = func(ctx context.Context) error { return collectFreed(ctx, tree, blocks) }
			m.run(t, 400, fresh.Files, fresh.raw)
			if bad, err := tree.Fsck(ctx); err != nil || len(bad) > 0 {
				t.Error(bad, err)
			}
		})
	}
}

// collectFreed deletes the blocks that no file names any more, when it has
// moved to the store what came with commits.
func collectFreed(ctx context.Context, tree *namespace.Tree, s realBlocks) error {
	inline, err := tree.Inlined(ctx, 256<<10)
	for _, b := range inline {
		err = errors.Join(err, s.Store.Put(ctx, b.ID, [][]byte{b.Data}))
	}
	if err = errors.Join(err, tree.Outline(ctx, inline)); err != nil {
		return err
	}
	freed, err := tree.Freed(ctx, 1000)
	for _, x := range freed {
		for k := range x.Blocks() {
			err = errors.Join(err, s.Delete(ctx, x.BlockID(k)))
		}
	}
	return errors.Join(err, tree.Forget(ctx, freed))
}
