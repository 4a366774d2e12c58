package lock

import (
	"container/list"

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
	number uint64        // of all holders of the space there ever were
	at     *list.Element // its place among the holders
	ofd    bool
	spans  spans
	writes int // spans of type Write
}

// A space is the locks of one kind on one inode, and who waits for them. It is
// there only while it has a holder.
type space struct {
	key     key
	holders list.List // of *holder, in the order of their first lock
	numbers uint64    // the last holder's
	crowd   *crowd    // nil while the holders are few
	locks   int       // spans of all holders
	queue   list.List // of *waiter, in the order of arrival
	due     int       // waiters whose blocker is nil
}

// A crowd is the holders of a space once more, where it takes too long to look
// through them all.
type crowd struct {
	byOwner map[Owner]*holder
	index   index
}

// fewHolders is up to how many holders need no crowd.
const fewHolders = 8

// all goes through the holders in the order of their first lock. The loop may
// drop the one that it is at.
func (sp *space) all(yield func(*holder) bool) {
	for e := sp.holders.Front(); e != nil; {
		h := e.Value.(*holder)
		if e = e.Next(); !yield(h) {
			return
		}
	}
}

// of finds the holder that o is, or nil.
func (sp *space) of(o Owner) *holder {
	if sp.crowd != nil {
		return sp.crowd.byOwner[o]
	}
	for h := range sp.all {
		if h.owner == o {
			return h
		}
	}
	return nil
}

// add puts in a holder that is about to get its first span.
func (sp *space) add(h *holder) {
	sp.numbers++
	h.number, h.at = sp.numbers, sp.holders.PushBack(h)
	if sp.crowd != nil {
		sp.crowd.byOwner[h.owner] = h
	} else if sp.holders.Len() > fewHolders {
		sp.crowd = &crowd{byOwner: make(map[Owner]*holder, 2*fewHolders)}
		for h := range sp.all {
			sp.crowd.byOwner[h.owner] = h
			for _, s := range h.spans {
				sp.crowd.index.add(h, s)
			}
		}
	}
}

// drop takes h out, which has no spans.
func (sp *space) drop(h *holder) {
	sp.holders.Remove(h.at)
	if sp.crowd != nil {
		delete(sp.crowd.byOwner, h.owner)
	}
}

// change does to h's spans what was planned.
func (sp *space) change(h *holder, e *edit) {
	if sp.crowd != nil {
		for _, s := range h.spans[e.at : e.at+e.old] {
			sp.crowd.index.remove(h, s)
		}
		for _, s := range e.fresh[:e.n] {
			sp.crowd.index.add(h, s)
		}
	}
	h.spans = h.spans.apply(e)
	h.writes += e.writes
	sp.locks += e.grows()
}

// clear takes all spans of h, and h.
func (sp *space) clear(h *holder) {
	if sp.crowd != nil {
		for _, s := range h.spans {
			sp.crowd.index.remove(h, s)
		}
	}
	sp.locks -= len(h.spans)
	h.spans, h.writes = nil, 0
	sp.drop(h)
}

// clash reports whether h keeps l from being granted, and by which span first.
func (h *holder) clash(l *Lock) (span, bool) {
	if h.owner == l.Owner || l.Type == Unlock || l.Type == Read && h.writes == 0 {
		return span{}, false
	}
	return h.spans.clash(l.span())
}

func (h *holder) blocks(l *Lock) bool { _, ok := h.clash(l); return ok }

// blockers calls f for every holder that keeps l from being granted, perhaps
// more than once, until f answers false.
func (sp *space) blockers(l *Lock, f func(*holder) bool) {
	if l.Type == Unlock {
		return
	}
	if sp.crowd != nil {
		sp.crowd.index.root.clashes(l, f)
		return
	}
	for h := range sp.all {
		if h.blocks(l) && !f(h) {
			return
		}
	}
}

// blocker finds a holder that keeps l from being granted; nil if none does.
func (sp *space) blocker(l *Lock) (found *holder) {
	sp.blockers(l, func(h *holder) bool { found = h; return false })
	return found
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
		if w.blocker != nil && which(w.blocker) && w.lock.Start <= hi && w.lock.End >= lo {
			w.blocker = nil
			sp.due++
		}
	}
}

// A session is what one session holds and waits for. It is there only while
// that is something.
type session struct {
	locks   int                  // spans of all its owners
	waiting map[*waiter]struct{} // nil until one does
	spaces  map[key]int          // how many of its owners hold there
}

// session finds the record of a session, or makes one; see tidy.
func (t *Table) session(id uint64) *session {
	s := t.sessions[id]
	if s == nil {
		s = &session{spaces: map[key]int{}}
		t.sessions[id] = s
	}
	return s
}

// tidy forgets a space and a session that have become empty.
func (t *Table) tidy(sp *space, id uint64) {
	if sp.holders.Len() == 0 && sp.queue.Len() == 0 {
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
	sp.change(h, &e)
	s.locks += e.grows()
	t.locks += e.grows()
	if e.weaker {
		sp.weaken(l.Start, l.End, func(x *holder) bool { return x == h })
	}
	if len(h.spans) == 0 {
		sp.drop(h)
		s.left(sp.key)
	}
	return 0
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
