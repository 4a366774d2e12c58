package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// credential is what a session has proven, and until when that is good.
type credential struct {
	until  atomic.Int64                        // nanoseconds since the epoch; 0: without end
	member atomic.Pointer[identity.Membership] // nil: of none
	moved  chan struct{}                       // gets a value when until has moved on
	mu     sync.Mutex                          // held by who changes them
}

// set is for the handshake, before anyone else looks.
func (c *credential) set(until time.Time, m identity.Membership) {
	c.until.Store(nanos(until))
	c.member.Store(&m)
}

// extend moves the end on, never back: proofs may be checked in another order
// than they came in, and what was proven holds for as long as it did. The
// groups are those of the proof that holds longest. It reports whether this is
// the one.
func (c *credential) extend(until time.Time, m identity.Membership) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, old := nanos(until), c.until.Load()
	if old == 0 || n != 0 && n < old {
		return false
	}
	c.member.Store(&m)
	if n == old { // some issuers end all tokens at one hour of the day
		return true
	}
	c.until.Store(n)
	select {
	case c.moved <- struct{}{}:
	default:
	}
	return true
}

// membership is what the session has proven of its groups.
func (c *credential) membership() identity.Membership {
	if m := c.member.Load(); m != nil {
		return *m
	}
	return identity.Membership{}
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// cap is t, or the credential's end if that is sooner: nothing that was given
// on its strength outlives it.
func (c *credential) cap(t time.Time) time.Time {
	if n := c.until.Load(); n != 0 && n < t.UnixNano() {
		return time.Unix(0, n)
	}
	return t
}

// expiresMs is t on the wire.
func expiresMs(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixMilli(), 1))
}

// lapse ends the stream when the credential has, unless it is renewed before.
// The session is left to its time-out: its mount comes back with a new proof.
func (t *talk) lapse() {
	for {
		var over <-chan time.Time
		if n := t.proven.until.Load(); n != 0 {
			left := time.Unix(0, n).Sub(t.s.c.Now())
			if left <= 0 {
				break
			}
			// The clock that counts is Now's, which a test or an administrator moves.
			over = time.After(min(left, time.Minute))
		}
		select {
		case <-t.ctx.Done():
			return
		case <-t.proven.moved:
		case <-over:
		}
	}
	t.s.c.Log.Warn("the credential of a session has expired", "session", uint64(t.sess.ID), "principal", t.who.principal.String())
	t.farewell(posix.E("session", posix.EKEYEXPIRED, fmt.Errorf("the credential of %s has expired", t.who.principal)))
	t.end()
}

// renew takes another proof of the same principal.
func (t *talk) renew(ctx context.Context, r *proto.Renew) *proto.Renewed {
	out := new(proto.Renewed)
	err := func() error {
		who, err := t.s.c.Auth.verify(ctx, t.who.channel, t.who.principal.Mechanism, r.GetProof())
		if err != nil {
			return err
		}
		proven := t.who.principal.Name
		if t.who.principal.Via != "" {
			proven = t.who.principal.Via
		}
		if who.Credential != t.who.credential {
			return errors.New("the session came by another delegation token; mount anew with this one")
		}
		if who.Name != proven {
			return errors.New("the session is of " + proven + ", and the proof of " + who.Name + "; mount anew for another user")
		}
		if t.who.principal.Via != "" {
			who.Membership = identity.Membership{} // they are not those of the user for whom it acts
		}
		if t.proven.extend(who.Expires, who.Membership) {
			t.standing.asks()
		}
		out.Proof, out.ExpiresMs = who.Reply, expiresMs(who.Expires)
		return nil
	}()
	if err != nil {
		t.s.c.Log.Warn("a session was not renewed", "session", uint64(t.sess.ID), "principal", t.who.principal.String(), "err", err)
		out.Errno, out.Message = proto.Failed(posix.E("renew", posix.EACCES, err))
	}
	return out
}
