package callers

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// member is one session of the table.
type member struct {
	uid  posix.UID
	s    Session
	used atomic.Int64 // when it had its last call, in nanoseconds since the epoch
	busy atomic.Int64 // calls under way
}

// Caller is one user's way to the server. It is bound to the session that its
// first call finds, and stays with it: what it has opened there is nowhere
// else. It is made for each request, and kept by what that opens.
type Caller struct {
	t   *Table
	uid posix.UID

	mu  sync.Mutex
	m   *member
	era uint64 // how often the session had been lost then
}

var _ posix.Bound = (*Caller)(nil)

// Of is the way of a user. It asks nobody until it is used.
func (t *Table) Of(uid posix.UID) *Caller { return &Caller{t: t, uid: uid} }

// bound answers the session, with a call begun on it, and whether it is the
// first.
func (c *Caller) bound(ctx context.Context) (m *member, first bool, err error) {
	c.mu.Lock()
	m = c.m
	c.mu.Unlock()
	if m == nil {
		if m, err = c.t.session(ctx, c.uid); err != nil {
			return nil, false, err
		}
		c.mu.Lock()
		if c.m == nil {
			c.m, c.era, first = m, m.s.Life().Lost(), true
		}
		m = c.m
		c.mu.Unlock()
	}
	m.busy.Add(1)
	m.used.Store(c.t.c.Now().UnixNano())
	return m, first, nil
}

// Call does a call in the user's session; see package session.
func (c *Caller) Call(ctx context.Context, op string, cred posix.Cred, m *proto.Call, change bool) (*proto.Reply, error) {
	for {
		s, first, err := c.bound(ctx)
		if errors.Is(err, session.ErrClosed) {
			return nil, posix.E(op, posix.EHOSTDOWN, err)
		} else if e := (*posix.Error)(nil); errors.As(err, &e) {
			return nil, posix.E(op, e.Errno, e.Err)
		} else if err != nil {
			return nil, posix.E(op, posix.ErrnoOf(err), err)
		}
		r, err := s.s.Call(ctx, op, cred, m, change)
		s.busy.Add(-1)
		if !first || !errors.Is(err, session.ErrClosed) {
			return r, err
		}
		// It was given up while we took it, and nothing is open in it.
		c.mu.Lock()
		c.m = nil
		c.mu.Unlock()
	}
}

// CloseSoon closes what was opened here, in a moment.
func (c *Caller) CloseSoon(cred posix.Cred, h posix.Handle) {
	c.mu.Lock()
	m := c.m
	c.mu.Unlock()
	if m != nil { // else nothing was opened
		m.s.CloseSoon(cred, h)
	}
}

// Life tells which session it is bound to.
func (c *Caller) Life() (*posix.Life, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		return nil, 0
	}
	return c.m.s.Life(), c.era
}
