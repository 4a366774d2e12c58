package server

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/namespace"
)

const (
	compactQuiet = 10 * time.Second // for how long a file must not have been written
	compactBatch = 16               // files that are taken off the list at once
	compactFiles = 1024             // and in one go: most need nothing
	// compactBytes is how much one go moves about: what is moved is neither
	// read nor written for anybody.
	compactBytes = 64 << 20
)

// Compact rewrites what package namespace finds worn: it reads the bytes of
// extents, stores them as one slice and puts that in their place. The old
// slices go the way of all that no file names. A file that is written
// meanwhile is left as it is, and what was stored for it goes with the next
// sweep. It answers how many extents were rewritten.
func (s *Server) Compact(ctx context.Context) (did int, err error) {
	return s.compact(ctx, compactBytes)
}

// compact is Compact, which ends when so many bytes are moved. What it has
// taken off the list and not come to goes back.
func (s *Server) compact(ctx context.Context, most int) (did int, err error) {
	before := s.c.Now().Add(-compactQuiet)
	for looked, moved := 0, 0; looked < compactFiles; {
		list := s.tree.Ragged(before, compactBatch)
		for i, ino := range list {
			extents, bytes, err := s.compactFile(ctx, ino, most-moved, namespace.Usual)
			did, moved = did+extents, moved+bytes
			if err != nil || moved >= most {
				for _, rest := range list[i+1:] {
					s.tree.Retry(rest)
				}
				return did, err
			}
		}
		if looked += len(list); len(list) == 0 {
			break
		}
	}
	return did, nil
}

// compactFile answers how many extents of a file it rewrote, and of how many
// bytes. One that has more than most is for the next go again.
func (s *Server) compactFile(ctx context.Context, ino posix.Ino, most int, z namespace.Zeal) (extents, moved int, err error) {
	for from := uint64(0); ; {
		worn, next, err := s.tree.Worn(ctx, ino, from, z)
		if err != nil {
			return extents, moved, err
		}
		if len(worn) > 0 {
			n, err := s.rewrite(ctx, ino, worn)
			switch {
			case errors.Is(err, posix.EAGAIN):
				s.tree.Retry(ino) // what was stored was swept: somebody has set the clock
			case errors.Is(err, chunk.ErrCorrupt), errors.Is(err, chunk.ErrNotFound):
				// It was logged, or the file has changed: neither is for us to mend.
			case err != nil:
				return extents, moved, err
			case n > 0:
				extents, moved = extents+len(worn), moved+n
			}
		}
		if next == 0 {
			return extents, moved, nil
		}
		if from = next; moved >= most {
			s.tree.Retry(ino)
			return extents, moved, nil
		}
	}
}

// rewrite answers how many bytes it moved; 0: the file had changed meanwhile.
func (s *Server) rewrite(ctx context.Context, ino posix.Ino, worn []posix.Extent) (int, error) {
	next := posix.Slice{File: ino}
	if _, err := io.ReadFull(s.c.Rand, next.ID[:]); err != nil {
		return 0, err
	}
	p := packer{s: s, slice: next}
	for _, e := range worn {
		if err := p.add(ctx, e); err != nil {
			return 0, err
		}
	}
	if err := p.flush(ctx); err != nil {
		return 0, err
	}
	if err := s.c.Blocks.Sync(ctx); err != nil {
		return 0, err
	}
	s.naming.RLock()
	defer s.naming.RUnlock()
	if err := s.stored(ctx, posix.Commit{Extents: namespace.Pack(worn, p.slice)}); err != nil {
		return 0, err
	}
	done, err := s.tree.Repack(ctx, ino, worn, p.slice)
	if err != nil || !done {
		return 0, err
	}
	return int(p.slice.Len), nil
}

// packer writes one slice, block by block, out of extents of others.
type packer struct {
	s     *Server
	slice posix.Slice // what was put so far
	block []byte      // what was not
}

// add takes the bytes of e, which may lie in several blocks of its slice.
func (p *packer) add(ctx context.Context, e posix.Extent) error {
	for from, left := e.From, e.Len; left > 0; {
		index, off := from/posix.BlockSize, from%posix.BlockSize
		n := min(left, posix.BlockSize-off, uint32(posix.BlockSize-len(p.block)))
		at := len(p.block)
		p.block = append(p.block, make([]byte, n)...)
		id := e.Slice.BlockID(index)
		if err := p.s.blocks.Get(ctx, id, off, p.block[at:]); err != nil {
			if errors.Is(err, chunk.ErrCorrupt) {
				p.s.c.Log.Error("a block is damaged", "block", id.String(), "err", err)
			}
			return err
		}
		if from, left = from+n, left-n; len(p.block) == posix.BlockSize {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *packer) flush(ctx context.Context) error {
	if len(p.block) == 0 {
		return nil
	}
	id := p.slice.BlockID(p.slice.Len / posix.BlockSize)
	if err := p.s.c.Blocks.Put(ctx, id, [][]byte{p.block}); err != nil {
		return err
	}
	p.slice.Len += uint32(len(p.block))
	p.block = p.block[:0]
	return nil
}
