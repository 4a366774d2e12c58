package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// group lets concurrent callers share a sync: who comes while one runs waits
// for the next, which covers all that was done before it began.
type group struct {
	mu      sync.Mutex
	next    *round
	running bool
}

// round is one sync and those who wait for it.
type round struct {
	done chan struct{}
	err  error
}

func (g *group) sync(ctx context.Context, do func() error) error {
	g.mu.Lock()
	if g.next == nil {
		g.next = &round{done: make(chan struct{})}
	}
	r := g.next
	if !g.running {
		g.running = true
		go g.run(do)
	}
	g.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) run(do func() error) {
	for {
		g.mu.Lock()
		r := g.next
		g.next = nil
		g.running = r != nil
		g.mu.Unlock()
		if r == nil {
			return
		}
		r.err = do()
		close(r.done)
	}
}

// Sync answers when every Put that returned before it began survives a power
// cut; see [chunk.Store].
func (s *Store) Sync(ctx context.Context) error {
	began := s.cfg.Now()
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	err := s.group.sync(ctx, s.syncDisk)
	s.cfg.Observe("sync", s.cfg.Now().Sub(began), 0)
	return err
}

// syncDisk is one round of the group; there is never more than one.
func (s *Store) syncDisk() error {
	if err := s.salvage(); err != nil {
		return err
	}
	return s.syncDirty()
}

// syncDirty makes durable what the volumes hold now.
func (s *Store) syncDirty() error {
	type mark struct {
		v    *volume
		tail int64
	}
	var todo []mark
	s.log.Lock()
	for v := range s.dirty {
		todo = append(todo, mark{v, v.tail})
	}
	s.log.Unlock()
	var failed error
	for _, m := range todo {
		began := s.cfg.Now()
		err := m.v.f.sync()
		s.cfg.Observe("fdatasync", s.cfg.Now().Sub(began), int(m.tail-m.v.durable.Load()))
		if err != nil {
			s.doubt(m.v, err)
			failed = diskError("fsync", err, "volume "+volumeName(m.v.number))
			continue
		}
		s.log.Lock()
		m.v.trickle = m.tail-m.v.durable.Load() <= trickleSize
		m.v.durable.Store(m.tail)
		if m.v.tail == m.tail {
			delete(s.dirty, m.v)
		}
		s.log.Unlock()
	}
	return failed
}

// doubt ends the use of a volume whose sync failed. The kernel has forgotten
// which of its pages the disk never got, so another sync of it would prove
// nothing.
func (s *Store) doubt(v *volume, err error) {
	s.cfg.Log.Error("sync failed: the volume takes no more blocks", "volume", v.number,
		"durable", v.durable.Load(), "err", err)
	s.log.Lock()
	defer s.log.Unlock()
	delete(s.dirty, v)
	if s.active == v {
		s.active = nil
	}
	s.full = without(s.full, v)
	s.suspect = append(s.suspect, v)
}

// salvage writes what a failed sync left in doubt once more, to a volume that
// has not failed. The bytes are read back and checked against their sums: the
// page cache usually still has them. Until that has worked no Sync succeeds.
// If bytes are gone, then a Put was answered that no Sync can make good any
// more; nobody knows whose, so Put and Sync answer EIO until the store is
// opened anew, while Get goes on.
func (s *Store) salvage() error {
	if err := s.lost.Load(); err != nil {
		return *err
	}
	s.log.Lock()
	suspect := append([]*volume(nil), s.suspect...)
	s.log.Unlock()
	for _, v := range suspect {
		if err := s.salvageVolume(v); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) salvageVolume(v *volume) error {
	durable := v.durable.Load()
	good := 0
	for good < len(v.items) && int64(v.items[good].sector)*sectorSize < durable {
		good++
	}
	var moves []move
	lost := 0
	for i := range v.items[good:] {
		m, err := s.carry(v, &v.items[good+i], true)
		switch {
		case errors.Is(err, errChanged):
		case errors.Is(err, chunk.ErrCorrupt):
			s.cfg.Log.Error("block lost by a failed sync", "block", v.items[good+i].id.String(), "err", err)
			lost++
		case err != nil:
			s.abandon(moves)
			return diskError("fsync", err, "blocks that a failed sync left in doubt")
		default:
			moves = append(moves, m)
		}
	}
	if err := s.syncDirty(); err != nil {
		s.abandon(moves)
		return err
	}
	s.settle(moves)
	if lost > 0 {
		err := posix.E("fsync", posix.EIO, fmt.Errorf("chunk store: %d blocks were lost by a failed sync of %s: restart the server when the disk is well", lost, volumeName(v.number)))
		s.lost.Store(&err)
		return err
	}
	s.cfg.Log.Warn("blocks of a failed sync written anew", "volume", v.number, "blocks", len(moves))
	s.log.Lock()
	defer s.log.Unlock()
	v.items, v.tail = v.items[:good:good], durable
	// The places above are given up, and after a restart may be taken again.
	v.graves = slices.DeleteFunc(v.graves, func(p place) bool { return p.vol == v.number && p.off() >= durable })
	s.suspect = without(s.suspect, v)
	s.full = append(s.full, v)
	s.work.wake()
	return nil
}

func without(vs []*volume, v *volume) []*volume {
	var out []*volume
	for _, x := range vs {
		if x != v {
			out = append(out, x)
		}
	}
	return out
}
