package namespace

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// AtimePolicy says when reading moves atime, as the options of mount(8).
type AtimePolicy uint8

// The policies.
const (
	Relatime AtimePolicy = iota // where it is not after mtime and ctime, or a day old
	NoAtime
	StrictAtime
)

// atimes are access times that are not written yet. Reading must not wait for
// a disk, so they are gathered here, one for an inode, and written many at a
// time by whoever calls Reclaim. A crash loses them, and so does a crowd:
// beyond atimesMost nothing is noted until the next writing.
type atimes struct {
	mu   sync.Mutex
	next map[posix.Ino]posix.Time
}

const (
	atimesMost  = 8192
	atimesBatch = 256 // inodes in one transaction
)

// accessed notes that n was read, if that is to be seen: relatime_need_update.
func (t *Tree) accessed(n *inode) {
	now := t.now()
	switch t.cfg.Atime {
	case NoAtime:
		return
	case Relatime:
		const day = int64(24 * time.Hour / time.Second)
		if n.Mtime.Before(n.Atime) && n.Ctime.Before(n.Atime) && now.Sec-n.Atime.Sec < day {
			return
		}
	}
	if !n.Atime.Before(now) {
		return
	}
	t.atimes.mu.Lock()
	defer t.atimes.mu.Unlock()
	if t.atimes.next == nil {
		t.atimes.next = map[posix.Ino]posix.Time{}
	}
	if _, again := t.atimes.next[n.Ino]; again || len(t.atimes.next) < atimesMost {
		t.atimes.next[n.Ino] = now
	}
}

// writeAtimes writes what was noted. What can't be written is forgotten. It is
// no change of the inode: neither ctime nor the change number move, and nobody
// is told.
func (t *Tree) writeAtimes(ctx context.Context) {
	t.atimes.mu.Lock()
	next := t.atimes.next
	t.atimes.next = nil
	t.atimes.mu.Unlock()
	for len(next) > 0 {
		batch := map[posix.Ino]posix.Time{}
		for ino, at := range next {
			if len(batch) == atimesBatch {
				break
			}
			batch[ino] = at
			delete(next, ino)
		}
		_, err := t.As(posix.Cred{}).run(ctx, func(x *txn) error {
			for ino, at := range batch {
				if err := x.access(ino, at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			// A full disk, perhaps: what gives room back must go on.
			t.log.Warn("access times are lost", "inodes", len(batch)+len(next), "err", err)
			return
		}
	}
}

// access moves atime forward, unless a utimensat(2) has come in between: that
// is a change after the access.
func (x *txn) access(ino posix.Ino, at posix.Time) error {
	n, err := x.inode(ino)
	if err == posix.ESTALE {
		return nil
	}
	if err == nil && n.Atime.Before(at) && !at.Before(n.Ctime) {
		n.Atime, n.dirty = at, true
	}
	return err
}
