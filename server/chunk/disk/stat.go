package disk

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/server/chunk"
)

// Stat answers from the index; see [chunk.Store].
func (s *Store) Stat(ctx context.Context, id chunk.BlockID) (chunk.Info, error) {
	if err := s.enter(ctx); err != nil {
		return chunk.Info{}, err
	}
	defer s.leave()
	e, ok := s.index.get(id)
	if !ok {
		return chunk.Info{}, fmt.Errorf("%w: %s", chunk.ErrNotFound, id)
	}
	return e.info(), nil
}
