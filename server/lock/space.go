package lock

import (
	"container/list"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// A key names a space: what excludes each other.
type key struct {
	ino  posix.Ino
	kind Kind
}

// A holder is an owner with at least one span in a space.
type holder struct {
	owner  Owner
	ofd    bool
	spans  spans
	writes int // spans of type Write
}

// A space is the locks of one kind on one inode, and who waits for them. It is
// there only while it has a holder.
type space struct {
	key     key
	holders []*holder         // in the order of their first lock, in which F_GETLK answers
	byOwner map[Owner]*holder // the same, where they are many; else nil
	writers int               // holders with a span of type Write
	locks   int               // spans of all holders
	queue   list.List         // of *waiter, in the order of arrival
	due     int               // waiters whose blocker is nil
}

// fewHolders is up to how many it is cheaper to look through them all.
const fewHolders = 8

// of finds the holder that o is, or nil.
func (sp *space) of(o Owner) *holder {
	if sp.byOwner != nil {
		return sp.byOwner[o]
	}
	for _, h := range sp.holders {
		if h.owner == o {
			return h
		}
	}
	return nil
}

// add puts in a holder that is about to get its first span.
func (sp *space) add(h *holder) {
	sp.holders = append(sp.holders, h)
	if sp.byOwner != nil {
		sp.byOwner[h.owner] = h
	} else if len(sp.holders) > fewHolders {
		sp.byOwner = make(map[Owner]*holder, 2*fewHolders)
		for _, h := range sp.holders {
			sp.byOwner[h.owner] = h
		}
	}
}

// drop takes the holders out that which picks.
func (sp *space) drop(which func(*holder) bool) {
	sp.holders = slices.DeleteFunc(sp.holders, func(h *holder) bool {
		if !which(h) {
			return false
		}
		delete(sp.byOwner, h.owner)
		return true
	})
}

// clash reports whether h keeps l from being granted, and by which span.
func (h *holder) clash(l Lock) (span, bool) {
	if h.owner == l.Owner || l.Type == Unlock || l.Type == Read && h.writes == 0 {
		return span{}, false
	}
	return h.spans.clash(l.span())
}

func (h *holder) blocks(l Lock) bool { _, ok := h.clash(l); return ok }

// conflict finds who keeps l from being granted, and by which span; nil if
// nobody does.
func (sp *space) conflict(l Lock) (*holder, span) {
	if l.Type == Read && sp.writers == 0 {
		return nil, span{}
	}
	for _, h := range sp.holders {
		if s, ok := h.clash(l); ok {
			return h, s
		}
	}
	return nil, span{}
}

// lock is s as others see it.
func (h *holder) lock(k Kind, s span) Lock {
	return Lock{Kind: k, Type: s.typ, Start: s.start, End: s.end, Owner: h.owner, PID: s.pid, OFD: h.ofd}
}

// weaken makes those due whom a holder that which picks kept waiting, within
// [lo, hi]. Others still wait for the same span of their blocker as before.
func (sp *space) weaken(lo, hi uint64, which func(*holder) bool) {
	for e := sp.queue.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiter)
		if w.blocker != nil && w.lock.Start <= hi && w.lock.End >= lo && which(w.blocker) {
			w.blocker = nil
			sp.due++
		}
	}
}

// A session is what one session holds and waits for. It is there only while
// that is something.
type session struct {
	locks   int // spans of all its owners
	waiting map[*waiter]struct{}
	spaces  map[key]int // how many of its owners hold there
}

// session finds the record of a session, or makes one; see tidy.
func (t *Table) session(id uint64) *session {
	s := t.sessions[id]
	if s == nil {
		s = &session{waiting: map[*waiter]struct{}{}, spaces: map[key]int{}}
		t.sessions[id] = s
	}
	return s
}

// tidy forgets a space and a session that have become empty.
func (t *Table) tidy(sp *space, id uint64) {
	if len(sp.holders) == 0 && sp.queue.Len() == 0 {
		delete(t.spaces, sp.key)
	}
	if s := t.sessions[id]; s != nil && len(s.spaces) == 0 && len(s.waiting) == 0 {
		delete(t.sessions, id)
	}
}

// lay gives l to its owner, whom nobody keeps from it, and makes those due who
// may profit. With limits, it answers ENOLCK where there would be too many.
func (t *Table) lay(sp *space, l Lock, limits bool) posix.Errno {
	h, s := sp.of(l.Owner), t.session(l.Owner.Session)
	if h == nil {
		if l.Type == Unlock {
			return 0
		}
		h = &holder{owner: l.Owner}
	}
	e := h.spans.plan(l.span())
	// An unlock that splits a range always finds room: a program has no way
	// to go on when it fails.
	if limits && l.Type != Unlock && e.grows() > 0 && !t.room(sp, s, e.grows()) {
		return posix.ENOLCK
	}
	if len(h.spans) == 0 {
		sp.add(h)
		s.spaces[sp.key]++
	}
	if l.Type != Unlock {
		h.ofd = l.OFD
	}
	h.spans = h.spans.apply(&e)
	sp.writes(h, e.writes)
	sp.locks += e.grows()
	s.locks += e.grows()
	t.locks += e.grows()
	if e.weaker {
		sp.weaken(l.Start, l.End, func(x *holder) bool { return x == h })
	}
	if len(h.spans) == 0 {
		sp.drop(func(x *holder) bool { return x == h })
		s.left(sp.key)
	}
	return 0
}

// writes says that h has n more spans of type Write.
func (sp *space) writes(h *holder, n int) {
	was := h.writes > 0
	h.writes += n
	if is := h.writes > 0; is && !was {
		sp.writers++
	} else if was && !is {
		sp.writers--
	}
}

// room reports whether n more ranges are within the limits.
func (t *Table) room(sp *space, s *session, n int) bool {
	return s.locks+len(s.waiting)+n <= t.c.PerSession && sp.locks+n <= t.c.PerInode
}

// left says that one owner of the session has nothing there any more.
func (s *session) left(k key) {
	if s.spaces[k]--; s.spaces[k] == 0 {
		delete(s.spaces, k)
	}
}
