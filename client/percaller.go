package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wardfs/wardfs/client/callers"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
)

// Callers is what a mount needs to give each local user a session of its own.
type Callers struct {
	// Prover answers how a user proves who it is, or nil and for whom the mount
	// acts by its own proof. An error says that there is none, and what to do.
	Prover func(uid posix.UID) (p identity.Prover, impersonate string, err error)
	// Stamp and Hint are those of package callers.
	Stamp func(uid posix.UID) string
	Hint  func(uid posix.UID) string

	// Own says that the mount has a session of its own: Owner, the user who
	// mounted, acts in it. Nobody else does.
	Own   bool
	Owner posix.UID

	Most int           // sessions; default 4096
	Idle time.Duration // default 15 min
}

// CallersStatus is the local users' sessions for people and for --json.
type CallersStatus struct {
	callers.Stats
	Users []callers.Line `json:"users"`
}

func (m *Mount) callersStatus() *CallersStatus {
	return &CallersStatus{m.callers.Stats(), m.callers.List()}
}

// openTable makes the table of sessions. Some server must be there, so that a
// mount which can't work says so.
func (m *Mount) openTable(ctx context.Context) error {
	c := m.c.Callers
	m.secret = make([]byte, 16)
	if _, err := rand.Read(m.secret); err != nil {
		return err
	}
	var tried error
	for _, server := range m.c.Servers {
		err := certs.Probe(ctx, server, m.c.TLS())
		if err == nil {
			tried = nil
			break
		}
		tried = errors.Join(tried, err)
	}
	if tried != nil {
		return tried
	}
	m.callers = callers.New(callers.Config{
		Open: m.openFor, Stamp: c.Stamp, Hint: c.Hint, Most: c.Most, Idle: c.Idle,
		Soft: m.c.Soft, Timeout: m.c.Timeout, Log: m.c.Log,
	})
	return nil
}

// of is the session of a local user.
func (m *Mount) of(uid posix.UID) remote.Calls {
	switch {
	case m.callers == nil:
		return m.session
	case m.session != nil && uid == m.c.Callers.Owner:
		return own{m.session, m.session.Life().Lost()}
	}
	return m.callers.Of(uid)
}

// own is the mount's own session beside its callers'.
type own struct {
	*session.Session
	era uint64
}

func (o own) Life() (*posix.Life, uint64) { return o.Session.Life(), o.era }

// self is the session for what the mount itself wants to know.
func (m *Mount) self() remote.Calls {
	if m.session != nil {
		return m.session
	}
	return m.callers.Of(m.c.Callers.Owner)
}

// TableOf is the table of names as a local user asks for it.
func (m *Mount) TableOf(c posix.Cred) remote.Table { return remote.Table{S: m.of(c.UID)} }

// openFor opens the session of a user.
func (m *Mount) openFor(ctx context.Context, uid posix.UID) (callers.Session, error) {
	p, impersonate, err := m.c.Callers.Prover(uid)
	if p == nil && err == nil {
		p, err = m.c.prover()
	}
	if err != nil {
		return nil, posix.E("hello", posix.EACCES, err)
	}
	whose := fmt.Sprint("user ", uid, " ", m.opened.Add(1))
	tracked := &tracked{Prover: p}
	s, err := m.open(ctx, whose, impersonate, tracked, m.c.Log.With("uid", uid))
	if err != nil {
		m.hangUpOn(whose)
		if why := tracked.why(); why != nil && ctx.Err() == nil && !errors.As(err, new(*posix.Error)) {
			// Nobody's server is away: this user can't prove who it is.
			err = posix.E("hello", posix.EACCES, err)
		}
		return nil, err
	}
	m.mu.Lock()
	m.last = s
	m.mu.Unlock()
	return &ofUser{s, m, whose}, nil
}

// tracked remembers why a proof could not be made.
type tracked struct {
	identity.Prover
	mu  sync.Mutex
	err error
}

func (t *tracked) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	p, err := t.Prover.Prove(ctx, c)
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
	return p, err
}

func (t *tracked) why() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// ofUser is a session with connections of its own.
type ofUser struct {
	*session.Session
	m     *Mount
	whose string
}

func (s *ofUser) Close() error {
	err := s.Session.Close()
	s.m.hangUpOn(s.whose)
	return err
}

// hangUpOn closes the connections of one session.
func (m *Mount) hangUpOn(whose string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, server := range m.c.Servers {
		key := whose + " " + server
		if c := m.conns[key]; c != nil {
			c.Close()
			delete(m.conns, key)
		}
	}
}

// recent is the mount's own session, or the one that was opened last: all have
// the same server. Nil before there is one.
func (m *Mount) recent() *session.Session {
	if m.session != nil {
		return m.session
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// server is the one that serves blocks.
func (m *Mount) server() string {
	if s := m.recent(); s != nil {
		return s.State().Server
	}
	return m.c.Servers[0]
}

// Connected reports whether some session has a server; true before there is one.
func (m *Mount) Connected() bool {
	if m.session != nil {
		return m.session.State().Connected
	}
	return m.callers.Connected()
}

// inline is how many bytes a commit may bring by itself.
func (m *Mount) inline() int {
	if s := m.recent(); s != nil {
		return s.Inline()
	}
	return 0
}

var _ callers.Session = (*ofUser)(nil)
