package server

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/namespace"
	"github.com/wardfs/wardfs/server/session"
)

var (
	errNoSuperuser = errors.New("only the server's superuser may do that: auth.superuser, who must prove it by more than a name")
	errNoSession   = errors.New("there is no session of that number")
	errOwnSession  = errors.New("that is the session that asks")
	errEvicted     = errors.New("a superuser of the server has evicted the session; mount again")
)

// dispatchAdmin does the calls of superusers, and those about tokens, which ask
// the tree nothing. It answers false for any other.
func (t *talk) dispatchAdmin(ctx context.Context, cred posix.Cred, c *proto.Call) (*proto.Reply, bool) {
	var infos []*proto.SessionInfo
	var list []*proto.TokenInfo
	var err error
	switch op := c.Op.(type) {
	case *proto.Call_Sessions:
		if err = t.maySupervise(cred); err == nil {
			infos = t.s.sessionInfos()
		}
	case *proto.Call_Evict:
		if err = t.maySupervise(cred); err == nil && op.Evict.GetSession() == uint64(t.sess.ID) {
			err = posix.E("evict", posix.EINVAL, errOwnSession)
		}
		if err == nil {
			err = t.s.evict(ctx, session.ID(op.Evict.GetSession()))
		}
	default:
		var ok bool
		if list, ok, err = t.dispatchToken(ctx, cred, c); !ok {
			return nil, false
		}
	}
	if err != nil {
		return failed(posix.E("admin", posix.ErrnoOf(err), err)), true
	}
	return &proto.Reply{Sessions: infos, Tokens: list}, true
}

// maySupervise answers EPERM unless the session is a superuser's. One that
// states its callers is if its own principal is: whom it states counts for
// nothing here, for any host that may state callers could state root.
func (t *talk) maySupervise(cred posix.Cred) error {
	p := t.who.principal
	itself := p.Name == t.s.c.Auth.Superuser && p.Mechanism != identity.Simple && p.Via == ""
	if itself || !t.who.trusted && cred.Super {
		return nil
	}
	return posix.E("admin", posix.EPERM, errNoSuperuser)
}

// sessionInfos are all sessions, for people.
func (s *Server) sessionInfos() (all []*proto.SessionInfo) {
	peers := map[session.ID]string{}
	s.mu.Lock()
	for t := range s.talks {
		peers[t.sess.ID] = remote(t.st.Context())
	}
	s.mu.Unlock()
	for _, i := range s.sessions.List() {
		handles, locks := s.tree.Held(namespace.SessionID(i.ID))
		m := &proto.SessionInfo{
			Session: uint64(i.ID), Principal: i.Principal, Mechanism: i.Mechanism, Via: i.Via, Path: i.Path, Client: i.Client,
			Since: proto.ToTime(posix.TimeOf(i.Since)), Epoch: i.Epoch, Handles: uint32(handles), Locks: uint32(locks),
		}
		if i.Attached {
			m.Peer = peers[i.ID]
		}
		all = append(all, m)
	}
	return all
}

// evict ends a session for good: its mount is told, its handles and locks are
// given back, and its capabilities open nothing any more.
func (s *Server) evict(ctx context.Context, id session.ID) error {
	var victim *talk
	s.mu.Lock()
	for t := range s.talks {
		if t.sess.ID == id && t.sess.Current(t.epoch) {
			victim = t
		}
	}
	s.mu.Unlock()
	if victim != nil {
		victim.expel(ctx, errEvicted)
		return nil
	}
	s.expelled.add(uint64(id), s.c.Now().Add(s.c.CapabilityLife), s.c.Now())
	err := s.sessions.End(context.WithoutCancel(ctx), id)
	if errors.Is(err, session.ErrUnknown) {
		return posix.E("evict", posix.ENOENT, errNoSession)
	}
	return err
}
