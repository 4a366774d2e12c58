package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/namespace"
)

// commit makes what was put part of a file. If a quota refuses it, and the file
// itself stores much that it does not cover, that is compacted first: an honest
// program that writes over its own bytes is not told that there is no room.
func (s *Server) commit(ctx context.Context, ns namespace.View, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	if s.tree.Backlog() {
		s.free(ctx, max(helpLeast, 2*len(c.Extents)))
	}
	a, err := s.name(ctx, ns, h, c)
	for _, z := range []namespace.Zeal{namespace.Eager, namespace.Whole} {
		if errno := posix.ErrnoOf(err); errno != posix.ENOSPC && errno != posix.EDQUOT {
			break
		}
		ino, wasteful := ns.Wasteful(ctx, h)
		if !wasteful {
			break
		}
		if did, _, failed := s.compactFile(ctx, ino, compactBytes, z); did == 0 || failed != nil {
			continue
		}
		a, err = s.name(ctx, ns, h, c)
	}
	return a, err
}

// helpLeast is how many slices a commit deletes that comes while far too many
// wait for it: more than it brings, so that they become fewer.
const helpLeast = 64

// free deletes blocks of slices that nobody names any more, for who is about
// to bring others. That it failed is the collector's to say.
func (s *Server) free(ctx context.Context, most int) {
	if n, err := s.freeSlices(ctx, most); err == nil {
		s.metrics.collected("slices", n)
	}
}

// name is the commit itself. Nobody sweeps blocks while it is under way.
func (s *Server) name(ctx context.Context, ns namespace.View, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	s.naming.RLock()
	defer s.naming.RUnlock()
	if err := s.stored(ctx, c); err != nil {
		return posix.Attr{}, err
	}
	a, err := ns.Commit(ctx, h, c)
	if err == nil {
		s.pending.committed(uint64(ns.Session()), c)
	}
	return a, err
}

// stored answers EAGAIN if a block that the commit names is not in the store:
// it was never put, or the server lost power before its sync. The client then
// puts the bytes again, under a new name.
func (s *Server) stored(ctx context.Context, c posix.Commit) error {
	asked := map[posix.SliceID]bool{}
	for _, e := range c.Extents {
		if e.Hole() || asked[e.Slice.ID] || e.Slice.Len > posix.ChunkSize {
			continue // the tree refuses a slice that is too long
		}
		asked[e.Slice.ID] = true
		if data, ok := inlined(c, e.Slice.ID); ok {
			if err := s.vacant(ctx, e.Slice.BlockID(0), data); err != nil {
				return err
			}
			continue
		}
		for i := range e.Slice.Blocks() {
			switch info, err := s.blocks.Stat(ctx, e.Slice.BlockID(i)); {
			case errors.Is(err, chunk.ErrNotFound):
				return posix.E("commit", posix.EAGAIN, fmt.Errorf("block %s is not stored", e.Slice.BlockID(i)))
			case err != nil:
				return posix.E("commit", posix.ErrnoOf(err), err)
			case info.Size < e.Slice.Block(i) || info.Size > posix.SealedMax(e.Slice.Block(i)):
				return posix.E("commit", posix.EINVAL, fmt.Errorf("block %s has %d bytes, not %d", info.ID, info.Size, e.Slice.Block(i)))
			}
		}
	}
	return nil
}
