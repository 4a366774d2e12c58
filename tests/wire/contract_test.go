package wire

import (
	"context"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/posix/posixtest"
	"github.com/wardfs/wardfs/server/chunk"
)

// What every namespace must do, done through TLS, streams and a session.
func TestContract(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		h := newHouse(t)
		m := h.connect()
		return func(c posix.Cred) posix.Namespace { return stored{m.As(c), h.blocks} }
	})
}

// stored puts the blocks that a commit names, as a client does before it.
type stored struct {
	posix.Namespace
	blocks chunk.Store
}

func (s stored) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	for _, e := range c.Extents {
		for i := range e.Slice.Blocks() {
			if e.Slice.Len > posix.ChunkSize {
				continue
			}
			// Errors are the commit's to find.
			s.blocks.Put(ctx, e.Slice.BlockID(i), [][]byte{make([]byte, e.Slice.Block(i))})
		}
	}
	return s.Namespace.Commit(ctx, h, c)
}
