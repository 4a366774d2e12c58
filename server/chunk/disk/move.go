package disk

import "github.com/wardfs/wardfs/posix"

// move is a record that was copied to another place. The index still has the
// old one: it changes when the copy is durable.
type move struct {
	it       item
	from, to place
}

// carry appends a copy of a record of v. errChanged says that the record is
// dead. With check the bytes must be right; without, damage is carried along
// with the sums that tell of it, so that the units around it stay readable.
func (s *Store) carry(v *volume, it *item, check bool) (move, error) {
	from := place{v.number, it.sector}
	if e, ok := s.index.get(it.id); !ok || e.at != from {
		return move{}, errChanged
	}
	f, err := s.vols.acquire(v)
	if err != nil {
		return move{}, err
	}
	defer s.vols.release(v)
	head := heads.Get().(*[headerSize + sumSize*maxUnits]byte)
	defer heads.Put(head)
	block := blocks.Get().(*[posix.BlockMax]byte)
	defer blocks.Put(block)
	r := record{
		header: header{kind: blockRecord, id: it.id, size: it.size, stored: it.stored, sum: it.sum},
		head:   head[:dataOff(it.size)],
		data:   [][]byte{block[:it.size]},
	}
	if err := readFull(f, [][]byte{r.table(), block[:it.size]}, from.off()+headerSize); err != nil {
		return move{}, err
	}
	if check && (sumOf(r.table()) != it.sum || badUnit(r.table(), 0, r.data) >= 0) {
		e := it.entry(v.number)
		return move{}, corrupt(e, "bytes that no sync had covered")
	}
	to, err := s.append(&r, from, false)
	return move{*it, from, to}, err
}

// settle makes the index point at the copies, which are durable now. One that
// was deleted or put anew meanwhile leaves its copy dead.
func (s *Store) settle(moves []move) {
	for _, m := range moves {
		it := m.it
		it.sector = m.to.sector
		if s.index.swap(m.from, it.entry(m.to.vol)) {
			s.dig(grave{m.from, it.size})
		} else {
			s.dig(grave{m.to, it.size})
		}
	}
}

// abandon gives up copies that did not become durable.
func (s *Store) abandon(moves []move) {
	for _, m := range moves {
		s.dig(grave{m.to, m.it.size})
	}
}
