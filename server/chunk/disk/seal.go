package disk

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

func isNotExist(err error) bool { return errors.Is(err, unix.ENOENT) }

// replaceFile puts a file of the given bytes under name, whole or not at all.
func replaceFile(fs filesystem, name string, b []byte) error {
	tmp := name + tmpSuffix
	f, err := fs.open(tmp, true)
	if err != nil {
		return err
	}
	err = f.writev([][]byte{b}, 0)
	if err == nil {
		err = f.sync()
	}
	err = errors.Join(err, f.close())
	if err == nil {
		err = fs.rename(tmp, name)
	}
	if err == nil {
		return fs.syncDir()
	}
	_ = fs.remove(tmp) // what stays is removed at the next start
	return err
}

// readFile answers all of a file.
func readFile(fs filesystem, name string) ([]byte, error) {
	f, err := fs.open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.close()
	length, _, err := f.size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, length)
	n, err := f.readv([][]byte{b}, 0)
	return b[:n], err
}

// sealFull writes the index files of the volumes that are full. One that
// cannot be written now, on a full disk, is tried again later.
func (s *Store) sealFull() (ok bool) {
	s.log.Lock()
	full := append([]*volume(nil), s.full...)
	s.log.Unlock()
	if len(full) == 0 {
		return true
	}
	if err := s.group.sync(context.Background(), s.syncDisk); err != nil {
		return false // logged where it failed
	}
	ok = true
	for _, v := range full {
		if err := s.seal(v); err != nil {
			s.cfg.Log.Warn("index file not written", "volume", v.number, "err", err)
			ok = false
		}
	}
	return ok
}

// seal writes the index file of a full volume and gives back what was
// allocated beyond its tail.
func (s *Store) seal(v *volume) error {
	s.log.Lock()
	ready := slices.Contains(s.full, v) && v.tail == v.durable.Load()
	im := image{covered: v.tail, items: v.items, graves: v.graves}
	s.log.Unlock()
	if !ready {
		return nil // a sync of it failed meanwhile: salvage comes first
	}
	if err := replaceFile(s.fs, indexName(v.number), im.encode(s.mark, v.number)); err != nil {
		return err
	}
	if err := v.f.truncate(v.tail); err != nil {
		return err
	}
	s.measure(v, v.f)
	s.log.Lock()
	v.sealed, v.items, v.graves = true, nil, nil
	s.full = without(s.full, v)
	s.log.Unlock()
	s.vols.release(v) // the appender's
	return nil
}

// sealActive writes the index file of the active volume at the end, so that
// the next start need not read it. The reserve stays allocated.
func (s *Store) sealActive() {
	v := s.active
	if v == nil {
		return
	}
	im := image{covered: v.tail, items: v.items, graves: v.graves}
	if err := replaceFile(s.fs, indexName(v.number), im.encode(s.mark, v.number)); err != nil {
		s.cfg.Log.Warn("index file not written", "volume", v.number, "err", err)
		return
	}
	if end := v.tail + s.size.reserve; end < v.allocated && v.allocated < maxVolume {
		_ = v.f.truncate(end) // of zeros; that it holds more is no harm
	}
}

// imageOf answers what a sealed volume's index file says, or its headers if
// the file is not to be had.
func (s *Store) imageOf(v *volume) (*image, error) {
	im, err := s.readIndex(v.number)
	if err == nil {
		return im, nil
	}
	f, err := s.vols.acquire(v)
	if err != nil {
		return nil, err
	}
	defer s.vols.release(v)
	sc := scanner{s: s, f: f, number: v.number}
	return sc.image()
}

func (s *Store) readIndex(number uint32) (*image, error) {
	b, err := readFile(s.fs, indexName(number))
	if err != nil {
		return nil, err
	}
	return parseIndex(b, s.mark, number)
}
