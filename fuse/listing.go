package fuse

import (
	"sync"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// listings says when the kernel may keep the names of a directory that it was
// told, and when it may go on believing what it kept. It is asked at each
// opendir, with the directory's change attribute as the server has just told it.
//
// What the kernel keeps it was told after some opendir had dropped all before,
// and that opendir's change attribute is noted. So the kernel's names are of
// that change or of a later one, and an opendir that meets the same change again
// may believe them: nothing came or went in between. To be sure that no answer
// from before is on its way then, one open directory at a time fills the
// kernel's cache: the holder, until it is released, which is after its last
// answer. Any other, while there is a holder, drops what is there and reads past
// the cache.
//
// Within one open directory, which may be read again from its beginning, the
// kernel drops its names when it is told that something came or went, and when
// it has made or removed something itself.
type listings struct {
	period time.Duration // for how long names are believed; 0 is not at all
	now    func() time.Time

	mu sync.Mutex
	of map[posix.Ino]*listing
}

type listing struct {
	change uint64    // of the directory, when the kernel began to keep its names
	since  time.Time // when that was
	holder uint64    // handle of the open directory that fills the cache; 0: none
}

// open answers the flags for an opendir. Names that are kept for long would
// outlive what the kernel knows of the inodes, and that is asked for one by one.
func (l *listings) open(dir posix.Ino, fh, change uint64) uint32 {
	if l.period <= 0 || change == 0 {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.of[dir]
	if x == nil {
		if l.of == nil {
			l.of = map[posix.Ino]*listing{}
		}
		x = &listing{}
		l.of[dir] = x
	}
	if x.holder != 0 {
		return 0
	}
	x.holder = fh
	if x.change == change && now.Sub(x.since) < l.period {
		return raw.FOPEN_CACHE_DIR | raw.FOPEN_KEEP_CACHE
	}
	x.change, x.since = change, now
	return raw.FOPEN_CACHE_DIR
}

// release ends what open began.
func (l *listings) release(dir posix.Ino, fh uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.of[dir]; x != nil && x.holder == fh {
		x.holder = 0
	}
}

// forget is the kernel dropping a node, and what it kept of it.
func (l *listings) forget(dir posix.Ino) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, dir)
}

// notices is how to make the kernel forget all names that it keeps.
func (l *listings) notices() []notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]notice, 0, len(l.of))
	for dir, x := range l.of {
		x.change = 0
		out = append(out, notice{ino: dir})
	}
	return out
}
