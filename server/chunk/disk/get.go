package disk

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Get fills dst with a range of a block; see [chunk.Store]. After an error dst
// may hold anything.
func (s *Store) Get(ctx context.Context, id chunk.BlockID, off uint32, dst []byte) error {
	began := s.cfg.Now()
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	err := s.get(id, off, dst)
	s.cfg.Observe("get", s.cfg.Now().Sub(began), len(dst))
	return err
}

func (s *Store) get(id chunk.BlockID, off uint32, dst []byte) error {
	for {
		e, ok := s.index.get(id)
		switch {
		case !ok:
			return fmt.Errorf("%w: %s", chunk.ErrNotFound, id)
		case uint64(off)+uint64(len(dst)) > uint64(e.size):
			return posix.E("get", posix.EINVAL, fmt.Errorf("%d bytes at %d of block %s of %d", len(dst), off, id, e.size))
		case len(dst) == 0:
			return nil
		}
		err := s.read(e, off, dst)
		if err == nil {
			return nil
		}
		// No lock keeps a block in place while it is read: what was deleted
		// meanwhile may read as a hole, what was moved may be gone.
		if now, ok := s.index.get(id); ok && now.at == e.at {
			s.complain(e, err)
			return err
		}
	}
}

// scratch is what a read needs beside the caller's memory.
type scratch struct {
	table      [sumSize * maxUnits]byte
	head, tail [unitSize]byte
	bufs       [4][]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// read fills dst, which is not empty, from off of the block and checks every
// unit it touches. The bytes go straight into dst, those of the first and last
// unit that are not wanted beside it.
func (s *Store) read(e entry, off uint32, dst []byte) error {
	v := s.vols.get(e.at.vol)
	if v == nil {
		return unreadable(e, unix.ENOENT)
	}
	f, err := s.vols.acquire(v)
	if err != nil {
		return unreadable(e, err)
	}
	defer s.vols.release(v)
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)

	sp := spanOf(e.size, off, len(dst))
	table := sc.table[:sumSize*units(e.size)]
	sc.bufs = [4][]byte{table, sc.head[:sp.head], dst, sc.tail[:sp.tail]}
	defer func() { sc.bufs = [4][]byte{} }()
	tableAt := e.at.off() + headerSize
	if sp.first == 0 {
		err = readFull(f, sc.bufs[:], tableAt)
	} else if err = readFull(f, sc.bufs[:1], tableAt); err == nil {
		err = readFull(f, sc.bufs[1:], e.at.off()+dataOff(e.size)+int64(sp.start))
	}
	if err != nil {
		return unreadable(e, err)
	}
	if sumOf(table) != e.sum {
		return corrupt(e, "its table of sums")
	}
	if bad := badUnit(table, sp.first, sc.bufs[1:]); bad >= 0 {
		end := min(uint32(bad+1)*unitSize, e.size)
		return corrupt(e, fmt.Sprintf("its bytes %d to %d", bad*unitSize, end))
	}
	return nil
}

// readTable answers the record's table of sums.
func (s *Store) readTable(e entry) ([]byte, error) {
	v := s.vols.get(e.at.vol)
	if v == nil {
		return nil, unreadable(e, unix.ENOENT)
	}
	f, err := s.vols.acquire(v)
	if err != nil {
		return nil, unreadable(e, err)
	}
	defer s.vols.release(v)
	table := make([]byte, sumSize*units(e.size))
	if err := readFull(f, [][]byte{table}, e.at.off()+headerSize); err != nil {
		return nil, unreadable(e, err)
	}
	if sumOf(table) != e.sum {
		return nil, corrupt(e, "its table of sums")
	}
	return table, nil
}

// readFull reads all of bufs. Past the end of the file there are zeros: the
// sums find out what is missing.
func readFull(f file, bufs [][]byte, off int64) error {
	n, err := f.readv(bufs, off)
	if err != nil {
		return err
	}
	for _, b := range bufs {
		have := min(n, int64(len(b)))
		clear(b[have:])
		n -= have
	}
	return nil
}

// corrupt is the answer for a block that differs from its sums.
func corrupt(e entry, what string) error {
	return posix.E("get", posix.EIO, fmt.Errorf("%w: %s: %s differ from what was stored (volume %d, offset %d)",
		chunk.ErrCorrupt, e.id(), what, e.at.vol, e.at.off()))
}

// unreadable is the answer for a block whose volume cannot be read there.
func unreadable(e entry, err error) error {
	if isNotExist(err) {
		return corrupt(e, "all its bytes, with the volume,")
	}
	return diskError("get", err, fmt.Sprintf("block %s in volume %d at %d", e.id(), e.at.vol, e.at.off()))
}

// maxSaid bounds the memory of what was complained of.
const maxSaid = 1024

// complain logs damage, once for each record.
func (s *Store) complain(e entry, err error) {
	s.said.Lock()
	defer s.said.Unlock()
	if _, ok := s.said.places[e.at]; ok || len(s.said.places) >= maxSaid {
		return
	}
	s.said.places[e.at] = struct{}{}
	s.cfg.Log.Error("block cannot be read", "block", e.id().String(), "volume", e.at.vol, "offset", e.at.off(), "err", err)
}
