package disk

import (
	"errors"
	"log/slog"
)

// loading is a volume on its way into the store.
type loading struct {
	*volume
	s     *Store
	f     file
	log   *slog.Logger
	im    *image // what is known; nil if there is no index file
	head  bool   // the first sector is right
	fresh bool   // im is not what the index file says
}

// loadVolume finds out what volume n holds and mends what a crash left. The
// last volume becomes the active one if nothing is wrong with it.
func (s *Store) loadVolume(n uint32, last bool) (*image, error) {
	l := loading{volume: &volume{number: n, sealed: true}, s: s, log: s.cfg.Log.With("volume", n)}
	s.vols.add(l.volume)
	if err := l.readIndex(); err != nil {
		return nil, err
	}
	f, err := s.vols.acquire(l.volume)
	if isNotExist(err) && l.im != nil {
		l.log.Error("volume is missing, its blocks cannot be read", "blocks", len(l.im.items))
		return l.kept(), nil
	}
	if err != nil {
		return nil, err
	}
	l.f = f
	usable, err := l.mend(last)
	if err != nil || !usable {
		s.vols.release(l.volume)
		if l.im == nil {
			l.im = &image{covered: sectorSize}
		}
		return l.kept(), err
	}
	return l.finish(last)
}

// readIndex reads the index file. One that is damaged is as good as none.
func (l *loading) readIndex() error {
	im, err := l.s.readIndex(l.number)
	newer := (*newerError)(nil)
	switch {
	case errors.As(err, &newer):
		return err
	case err == nil:
		l.im = im
	case !isNotExist(err):
		l.log.Error("index file cannot be read, reading the volume", "err", err)
	}
	return nil
}

// kept is the image for load, without the items if the index file has them.
func (l *loading) kept() *image {
	l.im.blocks = len(l.im.items)
	if l.fresh || l.im.items == nil {
		return l.im
	}
	return &image{covered: l.im.covered, graves: l.im.graves, blocks: l.im.blocks, reread: true}
}

// finish writes down what was mended, and ends the loading.
func (l *loading) finish(last bool) (*image, error) {
	v, s := l.volume, l.s
	length, held, err := l.f.size()
	if err != nil {
		return nil, err
	}
	v.held.Store(held)
	v.tail, v.allocated = l.im.covered, length
	v.durable.Store(l.im.covered)
	if l.fresh {
		err := replaceFile(s.fs, indexName(l.number), l.im.encode(s.mark, l.number))
		if err != nil && !noRoom(err) {
			return nil, err
		}
		if err == nil {
			l.fresh = false
		}
	}
	switch {
	case last && l.head:
		v.sealed, v.items, v.graves = false, l.im.items, l.im.graves
		s.active = v
	case l.fresh: // no room for the index file yet
		v.sealed, v.items, v.graves = false, l.im.items, l.im.graves
		s.full = append(s.full, v)
	default:
		s.vols.release(v)
	}
	return l.kept(), nil
}

// mend looks for records that the index file does not know, decides which of
// them to believe, and cuts off the torn rest. It answers false for a volume
// that must be left as it is.
func (l *loading) mend(last bool) (usable bool, err error) {
	length, _, err := l.f.size()
	if err != nil {
		return false, err
	}
	if ok, err := l.checkHead(); !ok {
		return false, err
	}
	from := int64(sectorSize)
	if l.im != nil {
		from = l.im.covered
	}
	if l.im != nil && length < from {
		l.log.Error("volume is cut short, some blocks cannot be read", "bytes", length, "want", from, "blocks", l.beyond(length))
		return false, nil
	}
	sc := scanner{s: l.s, f: l.f, number: l.number}
	var records []found
	junk, err := sc.walk(from, func(r found) error { records = append(records, r); return nil })
	if err != nil {
		return false, err
	}
	if !l.head && len(records) == 0 && len(junk) > 0 && l.im == nil {
		l.log.Error("volume has no readable record and is left alone", "bytes", length)
		l.sealed = false // so that it is not removed for having no live blocks
		return false, nil
	}
	if l.im == nil {
		l.im, l.fresh = &image{covered: from}, true
	}
	if len(records) > 0 || len(junk) > 0 {
		return true, l.believe(&sc, records, junk, from, length)
	}
	if !last && length > from {
		return true, l.f.truncate(from) // allocated and never used
	}
	return true, nil
}

// checkHead answers false for a volume of another store.
func (l *loading) checkHead() (ok bool, err error) {
	b := make([]byte, sectorSize)
	if err := readFull(l.f, [][]byte{b}, 0); err != nil {
		return false, err
	}
	m, n, err := parseVolumeHead(b)
	newer := (*newerError)(nil)
	switch {
	case errors.As(err, &newer):
		return false, err
	case err != nil && zero(b): // made just before a crash, or lost
	case err != nil:
		l.log.Error("first sector of the volume is damaged")
	case m != l.s.mark || n != l.number:
		l.log.Error("volume is not of this store or not of this name and is left alone", "number", n)
		l.sealed = false
		return false, nil
	default:
		l.head = true
	}
	return true, nil
}

// beyond is how many known blocks end after length.
func (l *loading) beyond(length int64) (n int) {
	for i := range l.im.items {
		if int64(l.im.items[i].sector)*sectorSize+recordSize(l.im.items[i].size) > length {
			n++
		}
	}
	return n
}

// believe adds the records to the image. Up to the largest offset that a
// record calls durable they are believed as they are: what is wrong there is
// damage, and sums tell of it when it is read. Above it no sync is known to
// have ended: a record may be torn and is dropped unless it is whole.
//
// A whole one is written once more, the same bytes to the same place. After a
// failed sync the page cache may hold bytes that the disk never got and that
// no sync would write again; now one will.
func (l *loading) believe(sc *scanner, records []found, junk []run, from, length int64) error {
	durable, largest := from, int64(0)
	for i := range records {
		durable = max(durable, records[i].durable)
		largest = max(largest, recordSize(records[i].size))
	}
	l.fresh = true
	buf := make([]byte, largest)
	tail, dropped := durable, 0
	for _, r := range records {
		inDoubt := r.end() > durable
		if r.kind == blockRecord && !inDoubt {
			l.im.items = append(l.im.items, r.item())
			continue
		}
		data, ok, err := sc.whole(r, buf)
		switch {
		case err != nil && !inDoubt, err == nil && !ok && !inDoubt:
			l.log.Error("list of deleted blocks is damaged: some may seem to be back", "offset", r.at.off(), "err", err)
			continue
		case err != nil:
			return err
		case !ok:
			dropped++
			continue
		}
		if inDoubt {
			if err := l.rewrite(r, buf); err != nil {
				return err
			}
			tail = max(tail, r.end())
		}
		if r.kind == graveRecord {
			l.im.graves = append(l.im.graves, parseGraves(data)...)
		} else {
			l.im.items = append(l.im.items, r.item())
		}
	}
	l.im.covered = tail
	l.report(junk, durable, dropped)
	if length > tail {
		if err := l.f.truncate(tail); err != nil {
			return err
		}
	}
	return l.f.sync()
}

// rewrite writes the record in buf to where it was read from.
func (l *loading) rewrite(r found, buf []byte) error {
	r.header.put(buf, l.s.mark, r.at)
	return l.f.writev([][]byte{buf[:dataOff(r.size)+int64(r.size)]}, r.at.off())
}

// report tells damage from what a crash tore.
func (l *loading) report(junk []run, durable int64, dropped int) {
	var torn int64
	for _, j := range junk {
		if j.from >= durable {
			torn += j.to - j.from
			continue
		}
		l.log.Error("damage: no record can be read here", "offset", j.from, "bytes", j.to-j.from)
	}
	if torn > 0 || dropped > 0 {
		l.log.Info("writes that no sync had covered were cut off", "records", dropped, "other bytes", torn)
	}
}
