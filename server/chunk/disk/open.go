package disk

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// Open opens the store in cfg.Dir, or makes one there. A directory that is in
// use answers posix.EBUSY, one that a later release wrote posix.EOPNOTSUPP,
// both by name. Damage is no error: what is lost is logged, the rest is there.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, posix.E("open", posix.EINVAL, errors.New("chunk store without a directory"))
	}
	fs, err := openDir(cfg.Dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, posix.E("open", posix.EBUSY, fmt.Errorf("chunk store %s is in use by another process", cfg.Dir))
	}
	if err != nil {
		return nil, diskError("open", err, cfg.Dir)
	}
	s, err := open(cfg, fs)
	if err != nil {
		return nil, err
	}
	s.start()
	return s, nil
}

// open is Open without the worker; fs is closed if it fails.
func open(cfg Config, fs filesystem) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = openError(cfg.Dir, err)
			fs.close()
		}
	}()
	cfg.setDefaults()
	if cfg.VolumeSize < minVolume || cfg.VolumeSize > maxVolume {
		return nil, posix.E("open", posix.EINVAL, fmt.Errorf("volume size %d is not between %d and %d", cfg.VolumeSize, minVolume, maxVolume))
	}
	s := &Store{cfg: cfg, fs: fs, index: newIndex(), dirty: map[*volume]struct{}{}}
	s.vols = volumes{fs: fs, maxOpen: maxOpen, byNum: map[uint32]*volume{}}
	s.said.places = map[place]struct{}{}
	s.size.reserve = alignUp(min(256<<10, cfg.VolumeSize/16), sectorSize)
	s.size.step = min(32<<20, cfg.VolumeSize)
	s.size.direct = max(min(directSize, cfg.VolumeSize/16), 4*pageSize)
	s.work.init()

	began := time.Now()
	numbers, err := s.numbers()
	if err != nil {
		return nil, err
	}
	if err := s.loadFormat(numbers); err != nil {
		return nil, err
	}
	if err := s.load(numbers); err != nil {
		s.shut()
		return nil, err
	}
	s.cfg.Log.Debug("chunk store opened", "dir", cfg.Dir, "volumes", len(numbers), "blocks", s.index.len(), "dur", time.Since(began))
	return s, nil
}

// maxOpen is how many volumes stay open that nobody reads just now.
const maxOpen = 256

// openError names the directory.
func openError(dir string, err error) error {
	if newer := (*newerError)(nil); errors.As(err, &newer) {
		return posix.E("open", posix.EOPNOTSUPP, fmt.Errorf("chunk store %s: %w", dir, err))
	}
	if e := (*posix.Error)(nil); errors.As(err, &e) {
		return err
	}
	return diskError("open", err, dir)
}

// numbers lists the volumes of which there is the file or its index file, in
// order, and removes what an interrupted start or seal left behind.
func (s *Store) numbers() ([]uint32, error) {
	names, err := s.fs.list()
	if err != nil {
		return nil, err
	}
	var numbers []uint32
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			if err := s.fs.remove(name); err != nil {
				return nil, err
			}
			continue
		}
		digits, ok := strings.CutPrefix(strings.TrimSuffix(name, ".idx"), "vol-")
		n, err := strconv.ParseUint(digits, 10, 32)
		if ok && err == nil && (name == volumeName(uint32(n)) || name == indexName(uint32(n))) {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// load finds out what the volumes hold. The graves of all must be known
// before the first block is believed: a grave may lie in any later volume.
func (s *Store) load(numbers []uint32) error {
	images := make(map[uint32]*image, len(numbers))
	var graves []place
	s.next = 1
	for i, n := range numbers {
		im, err := s.loadVolume(n, i == len(numbers)-1)
		if err != nil {
			return fmt.Errorf("%s: %w", volumeName(n), err)
		}
		graves = append(graves, im.graves...)
		images[n] = im
		s.next = max(s.next, n+1)
	}
	for _, g := range graves {
		s.next = max(s.next, g.vol+1) // a number is not used again
	}
	slices.SortFunc(graves, compareOrder)
	blocks := -len(graves)
	for _, im := range images {
		blocks += im.blocks
	}
	s.index.reserve(max(blocks, 0))
	for _, n := range numbers {
		im := images[n]
		delete(images, n)
		if im.reread {
			var err error
			if im, err = s.readIndex(n); err != nil {
				return fmt.Errorf("%s: %w", indexName(n), err)
			}
		}
		s.admit(n, im.items, graves)
	}
	return nil
}

// admit puts the blocks of volume n into the index, but for those in graves.
func (s *Store) admit(n uint32, items []item, graves []place) {
	v := s.vols.get(n)
	for i := range items {
		e := items[i].entry(n)
		if _, dead := slices.BinarySearchFunc(graves, e.at, compareOrder); dead {
			continue
		}
		v.count(1, e.size)
		if old, ok := s.index.get(e.id()); ok {
			// Volumes and records come in order: e is the newer.
			s.index.swap(old.at, e)
			s.dig(grave{old.at, old.size})
		} else {
			s.index.swap(place{}, e)
		}
	}
}
