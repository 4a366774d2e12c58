package lock

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// Table is all locks of a server. Its methods are safe for concurrent use. One
// mutex guards it, because owners wait for each other across inodes; it is
// never held while somebody waits.
type Table struct {
	c Config

	mu       sync.Mutex
	spaces   map[key]*space
	sessions map[uint64]*session
	waits    map[Owner][]*waiter // of owners in whom a deadlock is looked for
	locks    int                 // spans of all
	waiters  int
}

// New makes an empty table.
func New(c Config) *Table {
	if c.PerSession == 0 {
		c.PerSession = 1 << 16
	}
	if c.PerInode == 0 {
		c.PerInode = 1 << 16
	}
	return &Table{c: c, spaces: map[key]*space{}, sessions: map[uint64]*session{}, waits: map[Owner][]*waiter{}}
}

// space finds the space of a key, or makes one; see tidy.
func (t *Table) space(k key) *space {
	sp := t.spaces[k]
	if sp == nil {
		sp = &space{key: k}
		t.spaces[k] = sp
	}
	return sp
}

// Test answers F_GETLK: a lock that keeps l from being granted, if there is
// one. For an l of type Unlock it answers the first of the owner's own locks
// within the range, as F_OFD_GETLK does since Linux 6.3. EINVAL.
func (t *Table) Test(ino posix.Ino, l Lock) (conflict Lock, ok bool, err error) {
	if errno := l.Check(); errno != 0 {
		return Lock{}, false, l.refused(errno)
	}
	l = l.whole()
	t.mu.Lock()
	defer t.mu.Unlock()
	sp := t.spaces[key{ino, l.Kind}]
	if sp == nil {
		return Lock{}, false, nil
	}
	if l.Type == Unlock {
		if h := sp.of(l.Owner); h != nil {
			if s, ok := h.spans.first(l.Start, l.End); ok {
				return h.lock(l.Kind, s), true, nil
			}
		}
		return Lock{}, false, nil
	}
	// Of several, Linux names the one whose owner came first.
	for h := range sp.all {
		if s, ok := h.clash(&l); ok {
			return h.lock(l.Kind, s), true, nil
		}
	}
	return Lock{}, false, nil
}

// Set gives l to its owner, or takes its range away if the type is Unlock. To
// set a lock that the owner has already changes nothing, so a request whose
// answer was lost may be sent again; the caller first ends the ctx of the one
// that may still wait, or that one is granted too when nobody asks any more.
//
// EAGAIN: others hold it, and wait is false. EDEADLK: they wait, however
// indirectly, for this owner. ENOLCK: the session or the inode has too many
// locks; an Unlock is never refused for that. EINVAL.
//
// With wait it answers once the lock is the owner's, or EINTR when ctx ends
// before, EBADF when the owner's open file was released, ESTALE when the
// session ended. Nil means that the lock is held even if ctx has ended. After
// any error what the owner held is as it was, but for the conversion of a
// Flock: that has given up the old lock.
func (t *Table) Set(ctx context.Context, ino posix.Ino, l Lock, wait bool) error {
	w, err := t.begin(ino, l, wait)
	if err != nil || w == nil {
		return err
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return t.cancel(w, posix.E(l.Kind.String(), posix.EINTR, ctx.Err()))
	}
}

// begin does all of Set but the waiting: it answers nil and nil if l is set.
func (t *Table) begin(ino posix.Ino, l Lock, wait bool) (*waiter, error) {
	if errno := l.Check(); errno != 0 {
		return nil, l.refused(errno)
	}
	l = l.whole()
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.Type == Unlock && t.spaces[key{ino, l.Kind}] == nil {
		return nil, nil
	}
	sp := t.space(key{ino, l.Kind})
	w, errno := t.set(sp, l, wait)
	t.settle(sp)
	t.tidy(sp, l.Owner.Session)
	return w, l.refused(errno)
}

// set grants l, queues it, or answers why not. The caller settles.
func (t *Table) set(sp *space, l Lock, wait bool) (*waiter, posix.Errno) {
	if l.Kind == Flock && l.Type != Unlock {
		h := sp.of(l.Owner)
		if h != nil && h.spans[0].typ == l.Type {
			return nil, 0 // the same lock, perhaps asked for again
		}
		if h != nil {
			// Those who waited for it come after this one: they are not
			// served before the caller settles.
			t.lay(sp, unlocked(l), false)
		}
	}
	h := sp.blocker(&l)
	switch {
	case h == nil:
		return nil, t.lay(sp, l, true)
	case !wait:
		return nil, posix.EAGAIN
	case !l.OFD && t.deadlock(sp, l):
		return nil, posix.EDEADLK
	case !t.room(sp, t.session(l.Owner.Session), 1):
		return nil, posix.ENOLCK
	}
	return t.queue(sp, l, h), 0
}

// unlocked is l's whole range unlocked.
func unlocked(l Lock) Lock {
	l.Type = Unlock
	return l
}

// Reclaim gives l back to an owner who held it before the server was restarted.
// It never waits and knows no limits, and a second time changes nothing.
// EAGAIN: another has it by now, so that the owner has lost it. EINVAL.
func (t *Table) Reclaim(ino posix.Ino, l Lock) error {
	errno := l.Check()
	if errno == 0 && l.Type == Unlock {
		errno = posix.EINVAL
	}
	if errno != 0 {
		return l.refused(errno)
	}
	l = l.whole()
	t.mu.Lock()
	defer t.mu.Unlock()
	sp := t.space(key{ino, l.Kind})
	if sp.blocker(&l) != nil {
		return posix.E(l.Kind.String(), posix.EAGAIN, errors.New("lock was lost: another owner holds it"))
	}
	t.lay(sp, l, false)
	t.settle(sp)
	return nil
}

// Release takes all that the owner has of a kind on an inode: what close(2)
// does for a process, and the last close for an open file description. A
// process that still waits through another thread goes on doing so, as on
// Linux; an open file description has nobody left to wait, and its requests
// end with EBADF.
func (t *Table) Release(ino posix.Ino, o Owner, k Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sp := t.spaces[key{ino, k}]
	if sp == nil {
		return
	}
	t.fail(o.Session, posix.E(k.String(), posix.EBADF, errors.New("closed while waiting")), func(w *waiter) bool {
		return w.sp == sp && w.lock.Owner == o && w.lock.OFD
	})
	t.lay(sp, Lock{Kind: k, Type: Unlock, End: EOF, Owner: o}, false)
	t.settle(sp)
	t.tidy(sp, o.Session)
}

// EndSession takes all that a session has; its requests that wait end with
// ESTALE. The caller has seen to it that no Set of the session comes later.
func (t *Table) EndSession(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil {
		return
	}
	t.fail(id, posix.E("lock", posix.ESTALE, errors.New("session ended")), func(*waiter) bool { return true })
	for k := range s.spaces {
		sp := t.spaces[k]
		ends := func(h *holder) bool { return h.owner.Session == id }
		sp.weaken(0, EOF, ends)
		for h := range sp.all {
			if ends(h) {
				t.locks -= len(h.spans)
				sp.clear(h)
			}
		}
		t.settle(sp)
		t.tidy(sp, id)
	}
	delete(t.sessions, id)
}

// Held answers all that a session holds, in order of inode, kind, owner and
// offset.
func (t *Table) Held(id uint64) []Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil {
		return nil
	}
	held := make([]Held, 0, s.locks)
	for k := range s.spaces {
		for h := range t.spaces[k].all {
			if h.owner.Session != id {
				continue
			}
			for _, sp := range h.spans {
				held = append(held, Held{k.ino, h.lock(k.kind, sp)})
			}
		}
	}
	slices.SortFunc(held, func(a, b Held) int {
		return cmp.Or(cmp.Compare(a.Ino, b.Ino), cmp.Compare(a.Lock.Kind, b.Lock.Kind),
			cmp.Compare(a.Lock.Owner.ID, b.Lock.Owner.ID), cmp.Compare(a.Lock.Start, b.Lock.Start))
	})
	return held
}

// Stats answers how much there is.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{t.locks, t.waiters, len(t.spaces)}
}
