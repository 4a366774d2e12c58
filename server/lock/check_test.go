package lock

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// own and by make locks of one session, so that tables read well.
func own(id uint64) Owner { return Owner{1, id} }

func by(id uint64, typ Type, start, end uint64) Lock {
	return Lock{Kind: Posix, Type: typ, Start: start, End: end, Owner: own(id)}
}

func flock(id uint64, typ Type) Lock { return Lock{Kind: Flock, Type: typ, Owner: own(id)} }

// wants fails unless err bears errno.
func wants(t *testing.T, errno posix.Errno, err error) {
	t.Helper()
	if posix.ErrnoOf(err) != errno {
		t.Fatalf("got %v, want %v", err, errno)
	}
	if e := (*posix.Error)(nil); err != nil && !errors.As(err, &e) {
		t.Fatalf("%v has no op", err)
	}
}

// try sets l without waiting.
func try(t *testing.T, tab *Table, ino posix.Ino, l Lock) posix.Errno {
	t.Helper()
	w, err := tab.begin(ino, l, false)
	if w != nil {
		t.Fatal("waits without wait")
	}
	return posix.ErrnoOf(err)
}

func mustSet(t *testing.T, tab *Table, ino posix.Ino, l Lock) {
	t.Helper()
	if errno := try(t, tab, ino, l); errno != 0 {
		t.Fatalf("set %+v: %v", l, errno)
	}
}

// mustWait queues l.
func mustWait(t *testing.T, tab *Table, ino posix.Ino, l Lock) *waiter {
	t.Helper()
	w, err := tab.begin(ino, l, true)
	if err != nil || w == nil || w.ended() {
		t.Fatalf("set %+v: %v, and does not wait", l, err)
	}
	return w
}

func (w *waiter) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// has answers what the owner holds, as "r0-9 w20-29"; EOF is "$".
func has(tab *Table, ino posix.Ino, o Owner, k Kind) string {
	s := ""
	for _, h := range tab.Held(o.Session) {
		if h.Ino != ino || h.Lock.Owner != o || h.Lock.Kind != k {
			continue
		}
		if s != "" {
			s += " "
		}
		end := fmt.Sprint(h.Lock.End)
		if h.Lock.End == EOF {
			end = "$"
		}
		s += fmt.Sprintf("%c%d-%s", h.Lock.Type.String()[0], h.Lock.Start, end)
	}
	return s
}

// sound fails where the table's books do not agree with what it holds.
func sound(t testing.TB, tab *Table) {
	t.Helper()
	tab.mu.Lock()
	defer tab.mu.Unlock()
	locks, waiters := 0, 0
	bySession := map[uint64]int{}
	for k, sp := range tab.spaces {
		n := 0
		inIndex := 0
		if sp.crowd != nil {
			inIndex = soundIndex(t, sp.crowd.index.root)
		}
		for h := range sp.all {
			soundSpans(t, h.spans)
			n += len(h.spans)
			bySession[h.owner.Session] += len(h.spans)
			writes := 0
			for _, s := range h.spans {
				if s.typ == Write {
					writes++
				}
			}
			if len(h.spans) == 0 || h.writes != writes || sp.of(h.owner) != h || tab.sessions[h.owner.Session].spaces[k] == 0 {
				t.Fatalf("holder %+v is wrong: %d writes", h, writes)
			}
			for _, s := range h.spans {
				l := h.lock(k.kind, s)
				for o := range sp.all {
					if o.blocks(&l) {
						t.Fatalf("%v and %v both hold %+v", o.owner, h.owner, s)
					}
				}
			}
		}
		if n != sp.locks || sp.due != 0 || n == 0 || sp.crowd != nil && inIndex != n {
			t.Fatalf("space %v: locks %d, due %d, index %d; counted %d", k, sp.locks, sp.due, inIndex, n)
		}
		for e := sp.queue.Front(); e != nil; e = e.Next() {
			w := e.Value.(*waiter)
			waiters++
			if w.at != e || w.sp != sp || w.ended() || !w.blocker.blocks(&w.lock) || sp.of(w.blocker.owner) != w.blocker {
				t.Fatalf("waiter %+v waits for nobody", w)
			}
		}
		locks += n
	}
	soundSessions(t, tab, bySession, waiters)
	if locks != tab.locks || waiters != tab.waiters {
		t.Fatalf("locks %d, waiters %d; counted %d, %d", tab.locks, tab.waiters, locks, waiters)
	}
}

func soundSessions(t testing.TB, tab *Table, locks map[uint64]int, waiters int) {
	t.Helper()
	waiting, checked, inGraph := 0, 0, 0
	for id, s := range tab.sessions {
		if s.locks != locks[id] || s.locks == 0 && len(s.waiting) == 0 || s.locks == 0 != (len(s.spaces) == 0) {
			t.Fatalf("session %d: %+v, counted %d", id, s, locks[id])
		}
		for w := range s.waiting {
			waiting++
			if !w.lock.OFD {
				checked++
			}
		}
	}
	for o, ws := range tab.waits {
		inGraph += len(ws)
		if len(ws) == 0 {
			t.Fatalf("%v waits for nothing", o)
		}
	}
	if waiting != waiters || inGraph != checked {
		t.Fatalf("%d wait; sessions know %d, the graph %d of %d", waiters, waiting, inGraph, checked)
	}
}

func soundSpans(t testing.TB, s spans) {
	t.Helper()
	for i, x := range s {
		if x.start > x.end || x.end > EOF || x.typ != Read && x.typ != Write {
			t.Fatalf("span %+v", x)
		}
		if i > 0 && (s[i-1].end >= x.start || s[i-1].end+1 == x.start && s[i-1].typ == x.typ) {
			t.Fatalf("spans %+v and %+v", s[i-1], x)
		}
	}
}

// soundIndex counts the nodes, and fails where they are out of order or wrong
// about those below them.
func soundIndex(t testing.TB, n *node) int {
	t.Helper()
	if n == nil {
		return 0
	}
	count := soundIndex(t, n.left) + 1 + soundIndex(t, n.right)
	was := *n
	n.update()
	if *n != was {
		t.Fatalf("node %+v should be %+v", was, *n)
	}
	if l := n.left; l != nil && (!l.before(n.start, n.h.number) || l.prio > n.prio) {
		t.Fatalf("node %+v before %+v", *l, *n)
	}
	if r := n.right; r != nil && (r.before(n.start, n.h.number) || r.prio > n.prio) {
		t.Fatalf("node %+v after %+v", *r, *n)
	}
	if !slices.Contains(n.h.spans, n.span) {
		t.Fatalf("node %+v is not held", *n)
	}
	return count
}

// empty fails unless nothing at all is left.
func empty(t *testing.T, tab *Table) {
	t.Helper()
	sound(t, tab)
	if len(tab.spaces)+len(tab.sessions)+len(tab.waits)+tab.locks+tab.waiters != 0 {
		t.Fatalf("left behind: %+v, %d sessions, %d owners wait", tab.Stats(), len(tab.sessions), len(tab.waits))
	}
}
