package fuse

import (
	"maps"
	"slices"
	"sync"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

// openFile is a file that some process has open.
type openFile struct {
	*file.Handle
	sync bool // opened with O_SYNC or O_DSYNC
}

// table gives what is open its number. Numbers are not reused, so that a
// request for what was closed finds nothing. The zero table is empty and
// ready; it is safe for concurrent use.
type table[T interface{ Ino() posix.Ino }] struct {
	mu   sync.RWMutex
	last uint64
	open map[uint64]T
}

func (t *table[T]) add(x T) (fh uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[uint64]T)
	}
	t.last++
	t.open[t.last] = x
	return t.last
}

// get answers EBADF for a number that is not open, or open for another inode.
func (t *table[T]) get(fh, node uint64) (T, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, ok := t.open[fh]
	if !ok || x.Ino() != posix.Ino(node) {
		var none T
		return none, posix.E("handle", posix.EBADF, nil)
	}
	return x, nil
}

// remove answers what was open as fh, once.
func (t *table[T]) remove(fh uint64) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.open[fh]
	delete(t.open, fh)
	return x, ok
}

// all answers what is open.
func (t *table[T]) all() []T {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Collect(maps.Values(t.open))
}

// drain removes and answers all that is open.
func (t *table[T]) drain() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []T
	for _, x := range t.open {
		all = append(all, x)
	}
	t.open = nil
	return all
}
