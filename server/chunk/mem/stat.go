package mem

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/server/chunk"
)

// Stat answers what is known of a block; see [chunk.Store].
func (s *Store) Stat(ctx context.Context, id chunk.BlockID) (chunk.Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(ctx); err != nil {
		return chunk.Info{}, err
	}
	b := s.blocks[id]
	if b == nil {
		return chunk.Info{}, fmt.Errorf("%w: %s", chunk.ErrNotFound, id)
	}
	return chunk.Info{ID: id, Size: uint32(len(b.data)), Stored: b.stored}, nil
}
