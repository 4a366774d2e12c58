package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// grace is the time after a restart in which sessions come back for what they
// had: files without a name are not deleted, and no lock is given that may be
// somebody's. It ends when Recovered was called and no session is in the
// middle of coming back.
type grace struct {
	on        bool
	recovered bool
	over      chan struct{} // closed at its end
	returning map[SessionID]*returning
}

// returning is a session that has come back.
type returning struct {
	tries int  // that are under way
	done  bool // it has all that it wants
}

func newGrace(on bool) grace {
	g := grace{on: on, over: make(chan struct{}), returning: map[SessionID]*returning{}}
	if !on {
		close(g.over)
	}
	return g
}

// settle ends the grace if it can end. opens.mu is held.
func (g *grace) settle() {
	if !g.on || !g.recovered {
		return
	}
	for _, r := range g.returning {
		if r.tries > 0 && !r.done {
			return
		}
	}
	g.on, g.returning = false, nil
	close(g.over)
}

// Recovered says that no more sessions are expected back after a restart: when
// those that are under way have Returned, what nobody reopened and has no name
// may go, and locks are given again.
func (t *Tree) Recovered() {
	t.opens.mu.Lock()
	defer t.opens.mu.Unlock()
	t.opens.grace.recovered = true
	t.opens.grace.settle()
}

// Returning says that session s is coming back, and will reopen what it had
// unless it has done so since the restart. Returned follows, or cancel if it
// was not the session after all.
func (t *Tree) Returning(s SessionID) (cancel func()) {
	t.opens.mu.Lock()
	defer t.opens.mu.Unlock()
	g := &t.opens.grace
	if !g.on {
		return func() {}
	}
	r := g.returning[s]
	if r == nil {
		r = &returning{}
		g.returning[s] = r
	}
	r.tries++
	return func() {
		t.opens.mu.Lock()
		defer t.opens.mu.Unlock()
		if r.tries--; r.tries == 0 && !r.done {
			delete(g.returning, s)
		}
		g.settle()
	}
}

// Returned says that session s wants nothing more back.
func (t *Tree) Returned(s SessionID) {
	t.opens.mu.Lock()
	defer t.opens.mu.Unlock()
	if g := &t.opens.grace; g.on {
		if r := g.returning[s]; r != nil {
			r.done = true
		}
		g.settle()
	}
}

func (o *opens) inGrace() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grace.on
}

// pastGrace waits for the end of the grace: EINTR.
func (t *Tree) pastGrace(ctx context.Context) error {
	select {
	case <-t.opens.grace.over: // never replaced, so it needs no lock
		return nil
	default:
	}
	select {
	case <-t.opens.grace.over:
		return nil
	case <-ctx.Done():
		return posix.EINTR
	}
}
