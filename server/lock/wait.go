package lock

import (
	"container/list"
	"slices"
)

// A waiter is a request that waits. It is in its space's queue until it is
// granted, fails or is cancelled; the table's mutex guards it.
type waiter struct {
	lock Lock
	sp   *space
	at   *list.Element // its place in the queue; nil when the waiting has ended

	// blocker is a holder that keeps it waiting; there may be more. While that
	// one's locks do not weaken there is nothing to look for, so that an
	// unlock wakes nobody in vain. Nil only until the space is settled.
	blocker *holder

	done chan struct{} // closed when the waiting has ended
	err  error         // how; for whom done was closed
}

// queue makes l wait for h, behind all who wait already.
func (t *Table) queue(sp *space, l Lock, h *holder) *waiter {
	w := &waiter{lock: l, sp: sp, blocker: h, done: make(chan struct{})}
	w.at = sp.queue.PushBack(w)
	s := t.session(l.Owner.Session)
	if s.waiting == nil {
		s.waiting = map[*waiter]struct{}{}
	}
	s.waiting[w] = struct{}{}
	t.waiters++
	if !l.OFD {
		t.waits[l.Owner] = append(t.waits[l.Owner], w)
	}
	return w
}

// unqueue takes w out of all that knows it.
func (t *Table) unqueue(w *waiter) {
	w.sp.queue.Remove(w.at)
	w.at = nil
	if w.blocker == nil {
		w.sp.due--
	}
	delete(t.session(w.lock.Owner.Session).waiting, w)
	t.waiters--
	if w.lock.OFD {
		return
	}
	own := t.waits[w.lock.Owner]
	own = slices.DeleteFunc(own, func(x *waiter) bool { return x == w })
	if t.waits[w.lock.Owner] = own; len(own) == 0 {
		delete(t.waits, w.lock.Owner)
	}
}

func (w *waiter) end(err error) {
	w.err = err
	close(w.done)
}

// cancel ends the waiting with err, unless it has ended meanwhile.
func (t *Table) cancel(w *waiter, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.at == nil {
		return w.err
	}
	t.unqueue(w)
	t.tidy(w.sp, w.lock.Owner.Session)
	w.end(err)
	return err
}

// fail ends the waiting of those of a session that which picks. No other
// waiter depends on a waiter, so there is nothing to settle.
func (t *Table) fail(id uint64, err error, which func(*waiter) bool) {
	s := t.sessions[id]
	if s == nil {
		return
	}
	for w := range s.waiting {
		if which(w) {
			t.unqueue(w)
			w.end(err)
		}
	}
}

// settle serves those who are due, in the order of their arrival, until each
// who waits has a blocker.
func (t *Table) settle(sp *space) {
	var last *holder // was served last: likely to block the next
	for at := sp.queue.Front(); at != nil && sp.due > 0; {
		w := at.Value.(*waiter)
		at = at.Next()
		if w.blocker != nil {
			continue
		}
		h := last
		if h == nil || !h.blocks(&w.lock) {
			h = sp.blocker(&w.lock)
		}
		if h != nil {
			w.blocker = h
			sp.due--
			continue
		}
		due := sp.due
		t.grant(w)
		last = sp.of(w.lock.Owner)
		if sp.due >= due { // it weakened what its owner had: earlier ones may be due
			at = sp.queue.Front()
		}
	}
}

// grant ends the waiting of w, whom nobody blocks any more.
func (t *Table) grant(w *waiter) {
	t.unqueue(w)
	errno := t.lay(w.sp, w.lock, true)
	t.tidy(w.sp, w.lock.Owner.Session)
	w.end(w.lock.refused(errno))
}
