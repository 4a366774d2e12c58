package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// record is one record to be appended.
type record struct {
	header
	head []byte   // room for header and table; the table is filled
	data [][]byte // not ours
}

// heads are buffers for a record's header and table.
var heads = sync.Pool{New: func() any { return new([headerSize + sumSize*maxUnits]byte) }}

// newRecord makes a record of the pieces in data, which have size bytes. free
// must be called when it is appended.
func newRecord(h header, data [][]byte) (r record, free func()) {
	buf := heads.Get().(*[headerSize + sumSize*maxUnits]byte)
	r = record{header: h, head: buf[:dataOff(h.size)], data: data}
	fillTable(r.table(), data)
	r.sum = sumOf(r.table())
	return r, func() { heads.Put(buf) }
}

func (r *record) table() []byte { return r.head[headerSize:] }

// Put publishes a block; see [chunk.Store].
func (s *Store) Put(ctx context.Context, id chunk.BlockID, data [][]byte) error {
	began := s.cfg.Now()
	size := total(data)
	if size == 0 || size > posix.BlockMax {
		return posix.E("put", posix.EINVAL, fmt.Errorf("block %s of %d bytes", id, size))
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	h := header{kind: blockRecord, id: id, size: uint32(size), stored: began.UnixNano()}
	r, free := newRecord(h, data)
	defer free()
	freed := s.freed.Load()
	err := s.publish(&r)
	if noRoom(err) {
		// What was deleted just now may still hold its room.
		s.maintain(ctx)
		if s.freed.Load() != freed {
			err = s.publish(&r)
		}
	}
	s.cfg.Observe("put", s.cfg.Now().Sub(began), int(size))
	switch {
	case err == nil, errors.Is(err, chunk.ErrExists), errors.Is(err, chunk.ErrCorrupt):
		return err
	}
	return diskError("put", err, "block "+id.String())
}

// publish appends the record unless the block is there already.
func (s *Store) publish(r *record) error {
	for {
		e, ok := s.index.get(r.id)
		if !ok {
			if _, err := s.append(r, place{}, true); err != errChanged {
				return err
			}
			continue // somebody else has just put it
		}
		whole, err := s.compare(e, r)
		if err == nil && !whole {
			// The stored copy is damaged, and these are the bytes it had.
			s.cfg.Log.Warn("damaged block mended by a new copy", "block", r.id.String())
			_, err = s.append(r, e.at, true)
		}
		switch now, ok := s.index.get(r.id); {
		case err == errChanged, !ok, now.at != e.at && err != nil:
			continue // deleted or moved while we looked
		}
		return err
	}
}

// compare answers nil if r has the bytes of e, and whether e still has them.
func (s *Store) compare(e entry, r *record) (whole bool, err error) {
	if e.size != r.size || e.sum != r.sum {
		return false, fmt.Errorf("%w: %s", chunk.ErrExists, r.id)
	}
	table, err := s.readTable(e)
	if errors.Is(err, chunk.ErrCorrupt) {
		return false, nil // nothing speaks against r, and its sums are the block's
	}
	if err != nil {
		return false, err
	}
	if string(table) != string(r.table()) {
		return false, fmt.Errorf("%w: %s", chunk.ErrExists, r.id)
	}
	buf := blocks.Get().(*[posix.BlockMax]byte)
	defer blocks.Put(buf)
	err = s.read(e, 0, buf[:e.size])
	if errors.Is(err, chunk.ErrCorrupt) {
		return false, nil
	}
	return true, err
}

// blocks are buffers for a whole block.
var blocks = sync.Pool{New: func() any { return new([posix.BlockMax]byte) }}

// errChanged says that the index no longer had what an append was to replace.
var errChanged = errors.New("index has changed")

// append writes the record behind the last one. If it is a block's and index
// is set, the block's entry then points at it, in place of old; the record is
// not written when the entry is another by then: errChanged. Without index
// the entry must be at old all the same.
//
// Writing and indexing are one step for whoever holds log: what lies in a
// volume and is not in the index is dead.
func (s *Store) append(r *record, old place, index bool) (place, error) {
	s.log.Lock()
	defer s.log.Unlock()
	if err := s.lost.Load(); err != nil {
		return place{}, *err
	}
	if r.kind == blockRecord {
		if e, _ := s.index.get(r.id); e.at != old {
			return place{}, errChanged
		}
	}
	v, err := s.room(recordSize(r.size), r.kind == blockRecord)
	if err != nil {
		return place{}, err
	}
	at := placeOf(v.number, v.tail)
	r.durable = v.durable.Load()
	r.put(r.head[:headerSize], s.mark, at)
	if err := s.writeRecord(v, r); err != nil {
		return place{}, err // the next record is written over the half one
	}
	s.wrote(v, r, at)
	v.zeroAhead()
	if index && !s.point(r, at, old) {
		s.dig(grave{at, r.size})
		return place{}, errChanged
	}
	return at, nil
}

// wrote notes the record just written at the volume's tail.
func (s *Store) wrote(v *volume, r *record, at place) {
	v.tail += recordSize(r.size)
	s.dirty[v] = struct{}{}
	if r.kind == graveRecord {
		for _, d := range r.data {
			v.graves = append(v.graves, parseGraves(d)...)
		}
		return
	}
	v.items = append(v.items, item{r.id, r.stored, r.size, at.sector, r.sum})
	v.count(1, r.size)
}

// point makes the index say that the block lies at at, not at old. The new
// record was counted as live already.
func (s *Store) point(r *record, at, old place) bool {
	it := item{r.id, r.stored, r.size, at.sector, r.sum}
	ok := s.index.swap(old, it.entry(at.vol))
	if ok && old != (place{}) {
		s.dig(grave{old, r.size})
	}
	return ok
}

// How many blocks and graves a volume may have: the active one keeps them all
// in memory for its index file, some 20 MB at most.
const (
	maxItems  = 1 << 18
	maxBuried = 1 << 20
)

func (v *volume) crowded() bool { return len(v.items) >= maxItems || len(v.graves) >= maxBuried }

// room makes sure that the active volume has room for n bytes at its tail. A
// block must leave the reserve alone: a full disk must still take the graves
// that make room.
func (s *Store) room(n int64, block bool) (*volume, error) {
	v := s.active
	if v != nil && v.tail > sectorSize && (v.tail+n > s.cfg.VolumeSize || v.crowded()) {
		s.retire()
		v = nil
	}
	if v == nil {
		var err error
		if v, err = s.newVolume(); err != nil {
			return nil, err
		}
	}
	keep := n
	if block {
		keep += s.size.reserve
	}
	if err := s.allocate(v, v.tail+keep); err != nil {
		return nil, err
	}
	return v, nil
}

// allocate makes the disk promise room up to end, in big steps, so that a full
// disk is found out before a byte is written and files are not in pieces.
func (s *Store) allocate(v *volume, end int64) error {
	if end <= v.allocated {
		return nil
	}
	far := max(end, min(alignUp(end, s.size.step), s.cfg.VolumeSize))
	err := v.f.allocate(v.allocated, far-v.allocated)
	if noRoom(err) && far > end {
		far = end
		err = v.f.allocate(v.allocated, far-v.allocated)
	}
	switch err {
	case nil:
		v.allocated = far
	case unix.EOPNOTSUPP, unix.ENOSYS:
		v.allocated = maxVolume // this filesystem makes no promises
	default:
		return err
	}
	return nil
}

// How much a sync may cover to be called a trickle, and how much is zeroed for
// one at a time, in bytes.
const (
	trickleSize = 64 << 10
	zeroWindow  = 512 << 10
)

var zeros [zeroWindow]byte

// zeroAhead writes zeros after the tail of a volume that is synced after every
// few small records. The first write to a block that was only allocated makes
// the next sync wait for the filesystem's journal; over written zeros it
// waits for the data alone, which here took half the time. The next sync
// writes the zeros along.
func (v *volume) zeroAhead() {
	end := min(v.tail+zeroWindow, v.allocated)
	if !v.trickle || v.tail <= v.zeroed || end <= v.tail {
		return
	}
	// An error would be no one's: what fails here fails again where it counts.
	_ = v.f.writev([][]byte{zeros[:end-v.tail]}, v.tail)
	v.zeroed = end
}

// newVolume begins the next volume and makes it active. Its name is durable
// before anything in it can be.
func (s *Store) newVolume() (*volume, error) {
	v := &volume{number: s.next, tail: sectorSize}
	name := volumeName(v.number)
	f, err := s.fs.open(name, true)
	if err != nil {
		return nil, err
	}
	v.f, v.refs = f, 1
	err = s.allocate(v, sectorSize+s.size.reserve)
	if err == nil {
		err = f.writev([][]byte{putVolumeHead(s.mark, v.number)}, 0)
	}
	if err == nil {
		err = f.sync()
	}
	if err == nil {
		err = s.fs.syncDir()
	}
	if err != nil {
		f.close()
		return nil, errors.Join(err, s.fs.remove(name))
	}
	v.durable.Store(sectorSize)
	s.vols.opened.Add(1)
	s.vols.add(v)
	s.next++
	s.active = v
	return v, nil
}

// retire ends appending to the active volume. Its index file follows later.
func (s *Store) retire() {
	s.full = append(s.full, s.active)
	s.active = nil
	s.work.wake()
}
