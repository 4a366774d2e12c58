package disk

import (
	"context"
	"errors"
	"time"
)

// compact moves the live records out of volumes that are mostly dead, until
// there is none worth the copying. The volume left empty is removed by bury.
//
// A crash at any point leaves a block at its old place, at both or at the new
// one; the bytes are the same, and a start takes the newer place.
func (s *Store) compact() {
	for s.work.ctx.Err() == nil {
		v := s.candidate()
		if v == nil {
			return
		}
		began := s.cfg.Now()
		moved, err := s.compactVolume(v)
		s.cfg.Observe("compact", s.cfg.Now().Sub(began), int(moved))
		if err != nil {
			if s.work.ctx.Err() == nil {
				s.cfg.Log.Warn("volume not compacted", "volume", v.number, "err", err)
			}
			if !noRoom(err) {
				v.stuck.Store(true)
			}
			return
		}
		s.cfg.Log.Debug("volume compacted", "volume", v.number, "bytes", moved)
		s.work.wake()
	}
}

// candidate is the sealed volume that wastes most of what it holds: at least
// as much as is live in it, and enough to be worth the trouble.
func (s *Store) candidate() *volume {
	least := min(8<<20, s.cfg.VolumeSize/8)
	highest := s.vols.highest()
	var best *volume
	var most int64
	for _, v := range s.vols.all() {
		live := v.liveBytes.Load()
		waste := v.held.Load() - live
		if v.live.Load() == 0 || v.number == highest || v.stuck.Load() || waste < max(live, least) || !s.isSealed(v) {
			continue
		}
		if waste > most {
			best, most = v, waste
		}
	}
	return best
}

// What is copied between two pauses, and between two syncs, in bytes.
const (
	compactBurst = 4 << 20
	compactBatch = 32 << 20
)

// compactVolume moves what is live in v; how many bytes that were.
func (s *Store) compactVolume(v *volume) (moved int64, err error) {
	im, err := s.imageOf(v)
	if err != nil {
		return 0, err
	}
	var moves []move
	var burst, batch int64
	flush := func() error {
		if err := s.group.sync(context.Background(), s.syncDisk); err != nil {
			s.abandon(moves)
			return err
		}
		s.settle(moves)
		moves, batch = nil, 0
		return nil
	}
	for i := range im.items {
		m, err := s.carry(v, &im.items[i], false)
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			s.abandon(moves)
			return moved, err
		}
		moves = append(moves, m)
		n := recordSize(m.it.size)
		moved, burst, batch = moved+n, burst+n, batch+n
		if batch >= compactBatch {
			if err := flush(); err != nil {
				return moved, err
			}
		}
		if burst >= compactBurst {
			if !s.work.pause(time.Duration(burst * int64(time.Second) / s.cfg.CompactRate)) {
				s.abandon(moves)
				return moved, s.work.ctx.Err()
			}
			burst = 0
		}
	}
	return moved, flush()
}
