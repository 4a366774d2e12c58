package server

import (
	"context"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

const (
	collectEvery = 2 * time.Second // how often freed slices and nameless inodes are looked for
	sweepEvery   = 30 * time.Minute
	collectBatch = 1024 // inodes or slices in one go
	sweepBatch   = 4096 // blocks whose names are asked for in one go
)

// collect gives back what nobody names any more, until ctx ends: inodes
// without a name and a handle, the blocks of freed slices, and now and then
// blocks that were uploaded for a commit that never came.
func (s *Server) collect(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	swept := s.c.Now()
	recovering := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.c.Now()
		if recovering && (s.sessions.Away() == 0 || now.Sub(s.since) > s.c.Grace) {
			recovering = false
			s.tree.Recovered()
		}
		s.step(ctx, "inodes", func() (int, error) { return s.tree.Reclaim(ctx, collectBatch) })
		s.step(ctx, "small blocks", func() (int, error) { return s.outline(ctx) })
		s.step(ctx, "quotas", func() (int, error) { return s.tree.Count(ctx, collectBatch) })
		s.step(ctx, "slices", func() (int, error) { return s.freeSlices(ctx, collectBatch) })
		s.step(ctx, "extents", func() (int, error) { return s.Compact(ctx) })
		if now.Sub(swept) > sweepEvery {
			swept = now
			s.step(ctx, "stray blocks", func() (int, error) { return s.Sweep(ctx) })
		}
	}
}

// step repeats work until there is none left.
func (s *Server) step(ctx context.Context, what string, work func() (int, error)) {
	for ctx.Err() == nil {
		n, err := work()
		if err != nil {
			if ctx.Err() == nil {
				s.c.Log.Warn("collecting failed, will be tried again", "what", what, "err", err)
			}
			return
		}
		s.metrics.collected(what, n)
		if n == 0 {
			return
		}
	}
}

// freeSlices deletes the blocks of slices that no file names any more. The
// blocks go first: a crash in between deletes them once more.
func (s *Server) freeSlices(ctx context.Context, most int) (int, error) {
	s.freeing.Lock() // two at once would delete the same
	defer s.freeing.Unlock()
	freed, err := s.tree.Freed(ctx, most)
	if err != nil || len(freed) == 0 {
		return 0, err
	}
	for _, sl := range freed {
		for i := range sl.Blocks() {
			if err := s.c.Blocks.Delete(ctx, sl.BlockID(i)); err != nil {
				return 0, err
			}
		}
	}
	return len(freed), s.tree.Forget(ctx, freed)
}

// Sweep deletes the blocks older than SweepAge that no file's slice has, and
// answers how many: what a client uploaded and then never committed.
func (s *Server) Sweep(ctx context.Context) (int, error) {
	limit := s.c.Now().Add(-s.c.SweepAge)
	deleted := 0
	var batch []chunk.Info
	judge := func() error {
		for _, b := range batch {
			named, err := s.tree.Named(ctx, b.ID)
			if err != nil {
				return err
			}
			if named {
				continue
			}
			gone, err := s.removeStray(ctx, b.ID)
			if err != nil {
				return err
			}
			if gone {
				deleted++
			}
		}
		batch = batch[:0]
		return nil
	}
	var bad error
	err := s.c.Blocks.List(ctx, func(b chunk.Info) bool {
		if b.Stored.Before(limit) {
			batch = append(batch, b)
		}
		if len(batch) == sweepBatch {
			bad = judge()
		}
		return bad == nil && ctx.Err() == nil
	})
	if err == nil {
		err = bad
	}
	if err == nil {
		err = judge()
	}
	return deleted, err
}

// removeStray deletes a block unless a file has come to name it. While it asks
// and deletes, nobody is between finding that a block is there and naming it:
// that a block is old says only that this is unlikely, for clocks are set.
func (s *Server) removeStray(ctx context.Context, id posix.BlockID) (gone bool, err error) {
	s.naming.Lock()
	defer s.naming.Unlock()
	named, err := s.tree.Named(ctx, id)
	if err != nil || named {
		return false, err
	}
	return true, s.c.Blocks.Delete(ctx, id)
}
