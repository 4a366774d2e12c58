package callers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/posix"
)

// calm is for how long a session must have had no call before it may be closed
// for want of room: between the calls of one request nothing may be open yet.
const calm = 5 * time.Second

// inUse reports whether something is open in a session, or under way.
func inUse(m *member) bool {
	st := m.s.State()
	return m.busy.Load() > 0 || st.Handles > 0 || st.Calls > 0
}

// drop closes a session and forgets it. t.mu is held.
func (t *Table) drop(m *member) {
	delete(t.members, m)
	if u := t.users[m.uid]; u != nil {
		if u.now == m {
			u.now = nil
		}
		if u.past == m {
			u.past = nil
		}
	}
	if !t.closed {
		t.work.Go(func() { m.s.Close() })
	}
}

// sweeper closes what nobody uses.
func (t *Table) sweeper() {
	tick := time.NewTicker(max(min(t.c.Idle/4, 30*time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
			t.sweep()
		}
	}
}

// sweep closes the sessions that are idle, those that are given up and no
// longer in use, and those that the server refuses: they would try on for ever.
func (t *Table) sweep() {
	now := t.c.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for m := range t.members {
		unused := now.Sub(time.Unix(0, m.used.Load()))
		u := t.users[m.uid]
		past := u == nil || u.now != m
		switch {
		case inUse(m) || unused < calm && !past:
		case past, unused >= t.c.Idle, m.s.State().Refused != "":
			t.drop(m)
		}
	}
	for uid, u := range t.users {
		if u.now == nil && u.past == nil && u.at == nil && now.Sub(u.used) >= t.c.Idle {
			delete(t.users, uid)
		}
	}
}

// room makes room for one more session: the one that was used least lately and
// has nothing open goes.
func (t *Table) room() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.members) < t.c.Most {
		return nil
	}
	var oldest *member
	for m := range t.members {
		if (oldest == nil || m.used.Load() < oldest.used.Load()) && t.c.Now().Sub(time.Unix(0, m.used.Load())) >= calm && !inUse(m) {
			oldest = m
		}
	}
	if oldest == nil {
		return posix.E("session", posix.EAGAIN, fmt.Errorf("%w: %d users have files open here", errFull, t.c.Most))
	}
	t.stats.Evictions++
	t.drop(oldest)
	return nil
}

var errFull = errors.New("no room for another user's session")

// Connected reports whether some session has a server, or there is none that
// could want one.
func (t *Table) Connected() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for m := range t.members {
		if m.s.State().Connected {
			return true
		}
	}
	return len(t.members) == 0
}

// Line is one user for people and for --json.
type Line struct {
	UID     uint32         `json:"uid"`
	Refused string         `json:"refused,omitempty"`
	Session *session.State `json:"session,omitempty"` // nil: it has none
}

// List answers all users of whom something is known, by number. One with files
// open in a session whose credential is gone has two lines.
func (t *Table) List() []Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []Line{}
	for m := range t.members {
		st := m.s.State()
		l := Line{UID: uint32(m.uid), Session: &st}
		if u := t.users[m.uid]; u == nil || u.now != m {
			l.Refused = "its credential is gone; it serves what is open"
		}
		all = append(all, l)
	}
	for uid, u := range t.users {
		if u.now == nil && u.refused != nil {
			all = append(all, Line{UID: uint32(uid), Refused: u.refused.Error()})
		}
	}
	slices.SortFunc(all, func(a, b Line) int { return cmp.Compare(a.UID, b.UID) })
	return all
}
