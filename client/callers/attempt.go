package callers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// begin looks at a user's credential, in the background, and opens or renews
// the session if it has to. t.mu is held.
func (t *Table) begin(u *user) *attempt {
	ctx, end := context.WithCancel(t.ctx)
	a := &attempt{done: make(chan struct{}), end: end}
	u.at = a
	t.work.Go(func() {
		defer end()
		m, err := t.settle(ctx, u)
		t.mu.Lock()
		defer t.mu.Unlock()
		u.at, u.looked = nil, t.c.Now()
		a.m, a.err = m, err
		if m != nil {
			m.used.Store(u.looked.UnixNano())
		}
		if err != nil {
			t.stats.Refusals += int64(a.waiting)
		}
		close(a.done)
	})
	return a
}

// settle answers the session that goes with the credential of now. Only one
// runs for a user at a time, so that u is its own but for what t.mu guards.
func (t *Table) settle(ctx context.Context, u *user) (*member, error) {
	stamp := t.c.Stamp(u.uid)
	t.mu.Lock()
	m, was, refused, until := u.now, u.stamp, u.refused, u.until
	t.mu.Unlock()
	switch {
	case stamp == "":
		t.retire(u)
		return nil, t.refuse(u, "", posix.E("session", posix.EACCES,
			fmt.Errorf("user %d has %w on this host: %s", u.uid, ErrNone, t.c.Hint(u.uid))))
	case m != nil && stamp == was:
		return m, nil
	case m != nil:
		return t.renew(ctx, u, m, stamp)
	case refused != nil && stamp == was && t.c.Now().Before(until):
		return nil, refused
	}
	return t.open(ctx, u, stamp)
}

// renew shows the server another credential. If it is another principal's, the
// session is that one's no more; if there is no server, it is shown later.
func (t *Table) renew(ctx context.Context, u *user, m *member, stamp string) (*member, error) {
	err := m.s.Renew(ctx)
	if err == nil {
		t.mu.Lock()
		u.stamp = stamp
		t.mu.Unlock()
	}
	if e := (*posix.Error)(nil); !errors.As(err, &e) || e.Errno != posix.EACCES {
		return m, nil // without a server, or a good credential, it goes on as it is
	}
	t.retire(u)
	return t.open(ctx, u, stamp)
}

// open shakes hands, again and again while no server is there and somebody
// waits.
func (t *Table) open(ctx context.Context, u *user, stamp string) (*member, error) {
	if m := t.back(ctx, u, stamp); m != nil {
		return m, nil
	}
	if err := t.room(); err != nil {
		return nil, err
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		s, err := t.c.Open(ctx, u.uid)
		t.count(err)
		var no *posix.Error
		switch {
		case err == nil:
			return t.opened(u, s, stamp)
		case errors.As(err, &no):
			return nil, t.refuse(u, stamp, posix.E("session", no.Errno, fmt.Errorf("user %d: %w", u.uid, err)))
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		t.c.Log.Debug("no server for a user's session, trying on", "uid", u.uid, "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (t *Table) count(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Handshakes++
	if err != nil {
		t.stats.Failures++
	}
}

func (t *Table) opened(u *user, s Session, stamp string) (*member, error) {
	m := &member{uid: u.uid, s: s}
	m.used.Store(t.c.Now().UnixNano())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.work.Go(func() { s.Close() })
		return nil, context.Canceled
	}
	t.members[m] = struct{}{}
	u.now, u.stamp, u.refused, u.wait = m, stamp, nil, 0
	t.c.Log.Info("a user's session is open", "uid", u.uid, "principal", s.State().Principal, "mechanism", s.State().Mechanism)
	return m, nil
}

// back takes the session up again whose credential was gone, if that is back:
// the files and locks that it holds are the same user's.
func (t *Table) back(ctx context.Context, u *user, stamp string) *member {
	t.mu.Lock()
	m := u.past
	t.mu.Unlock()
	if m == nil || m.s.Renew(ctx) != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, still := t.members[m]; !still {
		return nil
	}
	u.now, u.past, u.stamp, u.refused, u.wait = m, nil, stamp, nil, 0
	t.c.Log.Info("a user's credential is back", "uid", u.uid, "principal", m.s.State().Principal)
	return m
}

// refuse remembers why a user has no session, for a while that grows, and logs
// it when it is news.
func (t *Table) refuse(u *user, stamp string, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.refused == nil || u.refused.Error() != err.Error() {
		t.c.Log.Warn("a user is refused", "uid", u.uid, "err", err)
	}
	u.wait = min(max(2*u.wait, t.c.Retry/8), t.c.Retry)
	u.stamp, u.refused, u.until = stamp, err, t.c.Now().Add(u.wait)
	return err
}

// retire takes a session from its user. It lives on while something is open in
// it, for whoever has that open, and as long as the server lets it.
func (t *Table) retire(u *user) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := u.now
	if m == nil {
		return
	}
	u.now, u.past = nil, m
	t.c.Log.Info("a user's credential is gone, or another's", "uid", u.uid, "principal", m.s.State().Principal)
	if !inUse(m) {
		t.drop(m)
	}
}
