package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// recheckEvery is how often a session's groups are looked at again unless Auth
// says otherwise: the source remembers, so that this costs little.
const recheckEvery = time.Second

// errNoAccount is that of a name which nobody knows.
var errNoAccount = errors.New("no account on the server")

// account answers whom a principal acts as that states no callers: the ids of
// its name and of its groups' names, those of m among them.
func (s *Server) account(ctx context.Context, p identity.Principal, m identity.Membership) (posix.Cred, error) {
	a := s.c.Auth
	if a.Resolve != nil {
		c, err := a.Resolve(ctx, p)
		if err != nil {
			return c, fmt.Errorf("%s: %w", p, err)
		}
		c.Super = a.super(p, nil)
		return c, nil
	}
	names, err := a.groupsOf(ctx, p, m)
	if err != nil {
		return posix.Cred{}, err
	}
	c := posix.Cred{Super: a.super(p, names) || a.super(p, m.Groups)}
	users, err := s.ids.IDs(ctx, idmap.User, []string{p.Name}, true)
	if err != nil {
		return posix.Cred{}, fmt.Errorf("%s: %w", p, err)
	}
	c.UID = posix.UID(users[0])
	// What can't be a name of the table can't be the group of anything.
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return idmap.CheckName(name) != nil })
	if len(names) == 0 {
		names = []string{p.Name} // a group of one's own, as most hosts give
	}
	for _, g := range m.Groups { // behind the primary one: the order of a proof says nothing
		if idmap.CheckName(g) == nil && !slices.Contains(names, g) {
			names = append(names, g)
		}
	}
	gids, err := s.ids.IDs(ctx, idmap.Group, names, true)
	if err != nil {
		return posix.Cred{}, fmt.Errorf("groups of %s: %w", p, err)
	}
	c.GID = posix.GID(gids[0])
	for _, g := range gids[1:] {
		c.Groups = append(c.Groups, posix.GID(g))
	}
	return c, nil
}

// groupsOf asks the source, unless the proof is all that counts. The superuser
// needs no account there.
func (a Auth) groupsOf(ctx context.Context, p identity.Principal, m identity.Membership) ([]string, error) {
	if m.Alone {
		return nil, nil
	}
	if a.Groups == nil {
		if p.Name == a.Superuser {
			return nil, nil
		}
		return nil, fmt.Errorf("%s has %w", p, errNoAccount)
	}
	names, err := a.Groups.Groups(ctx, p.Name)
	switch {
	case err == nil, p.Name == a.Superuser:
		return names, nil
	case errors.Is(err, groups.ErrUnknown):
		return nil, fmt.Errorf("%s has %w: its source of groups does not know the name", p, errNoAccount)
	}
	return nil, fmt.Errorf("the groups of %s can't be had: %w", p, err)
}

// super reports whether permissions do not bind a principal. A name that
// nothing proves is nobody's superuser.
func (a Auth) super(p identity.Principal, groups []string) bool {
	if p.Mechanism == identity.Simple {
		return false
	}
	return p.Name == a.Superuser || a.Supergroup != "" && slices.Contains(groups, a.Supergroup)
}

// standing is whom a session that states no callers acts as, for now.
type standing struct {
	now   atomic.Pointer[stand]
	again sync.Mutex // held by the one who asks again
}

type stand struct {
	cred  posix.Cred
	err   error // it has lost its account
	until time.Time
	known time.Time // when the groups were last told
}

// keepGroups is for how long a session keeps groups that its source does not
// tell any more.
const keepGroups = time.Minute

// alone is c without any group but that of p's own name, as of one who is in
// none; where that can't be had, nobody's.
func (s *Server) alone(ctx context.Context, p identity.Principal, c posix.Cred) posix.Cred {
	own := posix.Cred{UID: c.UID, GID: nobodysGroup, Super: s.c.Auth.super(p, nil)}
	if gids, err := s.ids.IDs(ctx, idmap.Group, []string{p.Name}, true); err == nil {
		own.GID = posix.GID(gids[0])
	}
	return own
}

// nobodysGroup is Linux's overflow group.
const nobodysGroup = 65534

// stands begins with what the handshake found.
func (t *talk) stands(cred posix.Cred) {
	t.standing.now.Store(&stand{cred: cred, until: t.s.c.Now().Add(t.s.recheck()), known: t.s.c.Now()})
}

// asks makes the next call ask whom the session acts as.
func (st *standing) asks() {
	had := *st.now.Load()
	had.until = time.Time{}
	st.now.Store(&had)
}

func (s *Server) recheck() time.Duration {
	switch d := s.c.Auth.Recheck; {
	case d == 0:
		return recheckEvery
	default:
		return max(d, 0)
	}
}

// caller answers whom a call is done for.
func (t *talk) caller(ctx context.Context, op string, c *proto.Call) (posix.Cred, error) {
	switch {
	case !t.who.trusted:
		return t.acting(ctx)
	case c.GetCred() == nil:
		return posix.Cred{}, posix.E(op, posix.EPROTO, errors.New("a trusted session must state the caller"))
	}
	return proto.FromCred(c.GetCred()), nil
}

// acting answers whom the session acts as, asking again when that is due. Of
// many calls one asks and the others take what is known, unless every call is
// to ask. A source that can't be asked leaves it as it is for keepGroups, for the
// source itself has remembered for as long as it may; then it has no groups, and
// no power by one, until they are told again.
func (t *talk) acting(ctx context.Context) (posix.Cred, error) {
	st := t.standing.now.Load()
	if t.s.c.Now().Before(st.until) {
		return st.cred, st.err
	}
	if t.s.recheck() > 0 {
		if !t.standing.again.TryLock() {
			return st.cred, st.err
		}
		defer t.standing.again.Unlock()
	}
	cred, err := t.s.account(ctx, t.who.principal, t.proven.membership())
	cred.Super = cred.Super && !t.who.lent
	now := t.s.c.Now()
	fresh := &stand{cred: cred, until: now.Add(t.s.recheck()), known: now}
	switch {
	case err != nil && ctx.Err() != nil: // the call was given up: that says nothing of groups
		return posix.Cred{}, posix.E("session", posix.EINTR, ctx.Err())
	case errors.Is(err, errNoAccount):
		fresh.err = posix.E("session", posix.EACCES, err)
	case err != nil:
		fresh.cred, fresh.err, fresh.known = st.cred, st.err, st.known
		if now.Sub(st.known) < keepGroups {
			t.s.c.Log.Warn("a session keeps the groups that it had", "session", uint64(t.sess.ID), "err", err)
			break
		}
		t.s.c.Log.Warn("a session has lost its groups, which can't be asked for", "session", uint64(t.sess.ID), "err", err)
		fresh.cred = t.s.alone(ctx, t.who.principal, st.cred)
		fresh.cred.Super = fresh.cred.Super && !t.who.lent
	}
	t.standing.now.Store(fresh)
	if c := fresh.cred; (fresh.err == nil) != (st.err == nil) || c.UID != st.cred.UID || c.GID != st.cred.GID || c.Super != st.cred.Super || !slices.Equal(c.Groups, st.cred.Groups) {
		t.recalls.everything() // what it could open as the one it was
	}
	return fresh.cred, fresh.err
}
