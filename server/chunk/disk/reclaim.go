package disk

import (
	"context"
	"slices"

	"github.com/wardfs/wardfs/server/chunk"
)

// grave is a dead record whose room is to be given back.
type grave struct {
	at   place
	size uint32
}

// Delete removes a block; see [chunk.Store]. Its room is given back soon
// after, in the background.
func (s *Store) Delete(ctx context.Context, id chunk.BlockID) error {
	began := s.cfg.Now()
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	e, ok := s.index.remove(id)
	if ok {
		s.dig(grave{e.at, e.size})
		s.work.wake()
	}
	s.cfg.Observe("delete", s.cfg.Now().Sub(began), int(e.size))
	return nil
}

// dig notes that a record is dead.
func (s *Store) dig(g grave) {
	if v := s.vols.get(g.at.vol); v != nil {
		v.count(-1, g.size)
	}
	s.graves.Lock()
	defer s.graves.Unlock()
	s.graves.dug = append(s.graves.dug, g)
}

// maxGraves is how many graves one record holds: a unit of data.
const maxGraves = unitSize / tombSize

// bury writes down the graves dug so far, syncs, and only then punches holes:
// a record that a crash brings back must come back whole. What could not be
// written stays for the next time.
func (s *Store) bury(ctx context.Context) error {
	s.removeEmpty()
	s.graves.Lock()
	dug := s.graves.dug
	s.graves.dug = nil
	s.graves.Unlock()
	dug = slices.DeleteFunc(dug, func(g grave) bool { return s.vols.get(g.at.vol) == nil })
	if len(dug) == 0 {
		return nil
	}
	slices.SortFunc(dug, func(a, b grave) int { return compareOrder(a.at, b.at) })
	done, err := s.inscribe(dug)
	if e := s.group.sync(ctx, s.syncDisk); e != nil {
		done, err = 0, e
	}
	s.punch(dug[:done])
	if done < len(dug) {
		s.graves.Lock()
		s.graves.dug = append(s.graves.dug, dug[done:]...)
		s.graves.Unlock()
	}
	return err
}

func compareOrder(a, b place) int {
	switch {
	case a.order() < b.order():
		return -1
	case a.order() > b.order():
		return 1
	}
	return 0
}

// inscribe appends records of graves; how many graves they hold.
func (s *Store) inscribe(dug []grave) (done int, err error) {
	for batch := range slices.Chunk(dug, maxGraves) {
		places := make([]place, len(batch))
		for i, g := range batch {
			places[i] = g.at
		}
		if err := s.appendGraves(places); err != nil {
			return done, err
		}
		done += len(batch)
	}
	return done, nil
}

// appendGraves appends one record of at most maxGraves.
func (s *Store) appendGraves(places []place) error {
	data := putGraves(places)
	h := header{kind: graveRecord, size: uint32(len(data)), stored: s.cfg.Now().UnixNano()}
	r, free := newRecord(h, [][]byte{data})
	defer free()
	_, err := s.append(&r, place{}, false)
	return err
}

// minPunch is the least room worth a hole, in bytes: a file of many small
// holes is slow. Less is left to compaction.
const minPunch = 64 << 10

// punch gives the room of the graves, which are in order, back to the disk.
// Neighbours make one hole.
func (s *Store) punch(dug []grave) {
	for len(dug) > 0 {
		vol, from := dug[0].at.vol, dug[0].at.off()
		end := from
		for len(dug) > 0 && dug[0].at.vol == vol && dug[0].at.off() == end {
			end += recordSize(dug[0].size)
			dug = dug[1:]
		}
		from, end = alignUp(from, pageSize), alignDown(end, pageSize)
		if end-from < minPunch {
			continue
		}
		if v := s.vols.get(vol); v != nil {
			s.punchVolume(v, from, end)
		}
	}
}

func (s *Store) punchVolume(v *volume, from, end int64) {
	f, err := s.vols.acquire(v)
	if err != nil {
		return
	}
	defer s.vols.release(v)
	if err := f.punch(from, end-from); err != nil {
		s.cfg.Log.Debug("no hole punched", "volume", v.number, "err", err)
		return
	}
	s.freed.Add(1)
	s.measure(v, f)
}

// measure notes what the volume holds of the disk.
func (s *Store) measure(v *volume, f file) {
	if _, held, err := f.size(); err == nil {
		v.held.Store(held)
	}
}

// removeEmpty removes the sealed volumes that hold nothing.
func (s *Store) removeEmpty() {
	highest := s.vols.highest()
	for _, v := range s.vols.all() {
		if v.live.Load() == 0 && v.number != highest && s.isSealed(v) {
			s.removeVolume(v)
		}
	}
}

func (s *Store) isSealed(v *volume) bool {
	s.log.Lock()
	defer s.log.Unlock()
	return v.sealed
}

// removeVolume removes a sealed volume without live records. Graves in it
// whose volumes are still there move on first. The index file goes before the
// volume: without its volume it would tell of a loss.
func (s *Store) removeVolume(v *volume) {
	im, err := s.imageOf(v)
	if err == nil {
		err = s.moveGraves(v, im.graves)
	}
	if err != nil {
		s.cfg.Log.Warn("empty volume not removed", "volume", v.number, "err", err)
		return
	}
	for _, name := range []string{indexName(v.number), volumeName(v.number)} {
		if err := s.fs.remove(name); err != nil && !isNotExist(err) {
			s.cfg.Log.Warn("empty volume not removed", "volume", v.number, "err", err)
			return
		}
	}
	// Graves for this volume are not kept from here on: it must not come back.
	if err := s.fs.syncDir(); err != nil {
		s.cfg.Log.Warn("removal of a volume not synced", "volume", v.number, "err", err)
		return
	}
	s.vols.drop(v)
	s.freed.Add(1)
	s.cfg.Log.Debug("volume removed", "volume", v.number)
}

// moveGraves keeps those graves of a volume to be removed that still matter.
func (s *Store) moveGraves(v *volume, graves []place) error {
	graves = slices.DeleteFunc(graves, func(p place) bool { return p.vol == v.number || s.vols.get(p.vol) == nil })
	for batch := range slices.Chunk(graves, maxGraves) {
		if err := s.appendGraves(batch); err != nil {
			return err
		}
	}
	if len(graves) == 0 {
		return nil
	}
	return s.group.sync(context.Background(), s.syncDisk)
}
