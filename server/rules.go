package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
)

const (
	// lookupTime bounds the look-up of a host that a rule names.
	lookupTime = 5 * time.Second
	// farewellTime is how long a mount that does not read may delay its end.
	farewellTime = time.Second
)

// judge asks the rules whether who may do what it wants, and sets its cred and
// its rule. It is asked at each handshake, and again when the rules change.
func (s *Server) judge(ctx context.Context, rules export.Rules, who *admitted) (err error) {
	a := s.c.Auth
	var unknown error // why groups could not be told
	groupsOf := func(user string) func() []string {
		return func() []string {
			if a.Groups == nil || who.member.Alone {
				return who.member.Groups
			}
			names, err := a.Groups.Groups(ctx, user)
			if err != nil && !errors.Is(err, groups.ErrUnknown) {
				unknown = fmt.Errorf("the groups of %s can't be told: %w", user, err)
			}
			return slices.Concat(names, who.member.Groups)
		}
	}
	defer func() {
		if err != nil && unknown != nil {
			err = fmt.Errorf("%w; %w", err, unknown)
		}
	}()
	p := who.principal
	peer := export.Peer{Name: p.Name, Mechanism: p.Mechanism, Addr: address(who.channel), Groups: groupsOf(p.Name)}
	peer.Is = func(host string) bool { return hasAddress(ctx, host, peer.Addr) }
	named := true
	switch {
	case who.trusted && p.Via != "":
		return errors.New("a session states its callers or acts for one user, not both")
	case who.trusted && p.Mechanism == identity.Simple:
		return fmt.Errorf("%s may not state its callers (identity=trusted): SIMPLE has proven nothing", p)
	case who.trusted:
		err = rules.States(peer)
	case p.Via != "":
		named, err = a.impersonates(rules, peer, p, groupsOf(p.Name))
	}
	if err != nil {
		return err
	}
	if who.rule, err = rules.Export(who.path, peer); err != nil {
		return err
	}
	// A rule before this one might have been meant. The superuser gets in all
	// the same, to mend what is broken.
	if unknown != nil && (who.trusted || p.Name != a.Superuser) {
		return errors.New("the rules ask for groups")
	}
	if who.trusted {
		if !who.rule.Trusted {
			return fmt.Errorf("%s is not exported to mounts that state their callers (identity=trusted)", who.path)
		}
		return nil
	}
	who.cred, err = s.account(ctx, p, who.member)
	if who.up && !errors.Is(err, errNoAccount) {
		err = nil // it keeps the groups that it had: see talk.acting
	}
	// The superuser's power is lent to nobody who was not told so by its name.
	who.lent = !named
	who.cred.Super = who.cred.Super && named
	return err
}

// impersonates asks whether p.Via may act for p.Name. named is as in
// [export.Rules.Impersonate].
func (a Auth) impersonates(rules export.Rules, peer export.Peer, p identity.Principal, groups func() []string) (named bool, err error) {
	refused := &export.Refusal{Client: p.Via, User: p.Name}
	if err := identity.CheckName(p.Name); err != nil {
		refused.Why = "asks for what is no user: " + err.Error() + "."
		return false, refused
	}
	if p.Mechanism == identity.Simple {
		refused.Why = "has proven nothing by SIMPLE, and acts for nobody else."
		return false, refused
	}
	peer.Name = p.Via
	if named, err = rules.Impersonate(peer, p.Name, groups); err == nil && p.Name == a.Superuser && !named {
		refused.Why = "acts for the superuser only where a rule names it."
		return false, refused
	}
	return named, err
}

func address(c identity.Channel) netip.Addr {
	if a, ok := c.Remote.(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// hasAddress looks host up. One that can't be looked up has none.
func hasAddress(ctx context.Context, host string, addr netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false
	}
	for _, a := range all {
		if a.Unmap().WithZone("") == addr.WithZone("") {
			return true
		}
	}
	return false
}

// SetRules puts other rules in force. A session that they refuse is ended and
// told why; what they say to the others holds from their next call on. It
// answers how many were ended.
func (s *Server) SetRules(ctx context.Context, r export.Rules) int {
	s.rules.Store(&r)
	var ended atomic.Int64
	var all sync.WaitGroup
	s.mu.Lock()
	for t := range s.talks {
		all.Go(func() {
			if err := t.judge(ctx); err != nil {
				t.expel(ctx, err)
				ended.Add(1)
			}
		})
	}
	s.mu.Unlock()
	all.Wait()
	return int(ended.Load())
}

// judge asks the rules in force about a session that is up, unless they are
// those that were asked last.
func (t *talk) judge(ctx context.Context) error {
	t.judging.Lock()
	defer t.judging.Unlock()
	for rules := t.s.rules.Load(); rules != t.judged; rules = t.s.rules.Load() {
		who := t.who
		who.up, who.member = true, t.proven.membership()
		if err := t.s.judge(ctx, *rules, &who); err != nil {
			return err
		}
		t.gate.Store(newGate(t, who))
		t.judged = rules
		t.recalls.everything() // what the rules of before let it open
	}
	return nil
}

// expel ends a session that has lost its right, and what its capabilities open.
func (t *talk) expel(ctx context.Context, why error) {
	t.s.c.Log.Warn("session lost its right and is ended", "session", uint64(t.sess.ID), "principal", t.who.principal.String(), "err", why)
	t.s.expelled.add(uint64(t.sess.ID), t.s.c.Now().Add(t.s.c.CapabilityLife), t.s.c.Now())
	t.farewell(posix.E("session", posix.EACCES, why))
	if err := t.s.sessions.End(context.WithoutCancel(ctx), t.sess.ID); err != nil {
		t.s.c.Log.Warn("session could not be ended", "session", uint64(t.sess.ID), "err", err)
	}
}

// farewell tells the mount why its stream ends, if it reads.
func (t *talk) farewell(why error) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		e := new(proto.Ended)
		e.Errno, e.Message = proto.Failed(why)
		t.send(&proto.ToClient{Body: &proto.ToClient_Ended{Ended: e}})
	}()
	select {
	case <-told:
	case <-time.After(farewellTime):
	}
}

// expelled are the sessions whose capabilities open nothing any more, until
// these would have expired.
type expelled struct {
	mu    sync.RWMutex
	until map[uint64]time.Time
}

func (x *expelled) add(session uint64, until, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.until == nil {
		x.until = map[uint64]time.Time{}
	}
	for s, t := range x.until {
		if t.Before(now) {
			delete(x.until, s)
		}
	}
	x.until[session] = until
}

// remove is for a session that has its right again.
func (x *expelled) remove(session uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.until, session)
}

func (x *expelled) has(session uint64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, ok := x.until[session]
	return ok
}
