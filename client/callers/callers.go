// Package callers decides which session a caller of a shared mount gets: each
// local user has one of its own, opened with its own credential at its first
// call, renewed when the credential is another, and given up when it is gone.
//
// It refuses to let anyone act in another's session, and so has no fallback: a
// user without a credential gets EACCES, and a log line that says what to do.
// How credentials are found and sessions opened it is told.
//
//	t := callers.New(callers.Config{Open: open, Stamp: find.Stamp})
//	ns := remote.As(t.Of(1000), posix.Cred{UID: 1000})
package callers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Session is what a table keeps for a user: a session of package session.
type Session interface {
	Call(ctx context.Context, op string, cred posix.Cred, m *proto.Call, change bool) (*proto.Reply, error)
	CloseSoon(cred posix.Cred, h posix.Handle)
	// Renew shows the credential of now. EACCES: it is not this principal's.
	Renew(ctx context.Context) error
	Life() *posix.Life
	State() session.State
	Close() error
}

// Config is what New needs. Open and Stamp are required.
type Config struct {
	// Open opens a session for a user with the credential of now. An error that
	// is a *posix.Error is final for this credential; any other means that no
	// server was there, and it is tried again.
	Open func(ctx context.Context, uid posix.UID) (Session, error)
	// Stamp tells one credential of a user from another without using it: "" is
	// none. It may block, as a file system may.
	Stamp func(uid posix.UID) string
	// Hint is what a user without a credential should do.
	Hint func(uid posix.UID) string

	Most  int           // sessions at once; default 4096
	Idle  time.Duration // a session that nobody has used for so long is closed; default 15 min
	Look  time.Duration // how often a user's credential is looked at while it is used; default 1 s
	Retry time.Duration // how long a refusal by the server is remembered at most; default 5 s
	// Soft and Timeout are those of package session.
	Soft    bool
	Timeout time.Duration // default 60 s

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: none
}

// Stats counts what the table did, and what it has.
type Stats struct {
	Sessions   int   `json:"sessions"` // now
	Handshakes int64 `json:"handshakes"`
	Failures   int64 `json:"failures"` // handshakes that failed
	Refusals   int64 `json:"refusals"` // calls of users without a session
	Evictions  int64 `json:"evictions"`
}

// Table is the sessions of a mount, by user. It is safe for concurrent use.
type Table struct {
	c    Config
	ctx  context.Context // of what is opened
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	users   map[posix.UID]*user
	members map[*member]struct{} // all sessions, those given up but still in use included
	stats   Stats
	closed  bool
}

// user is one local user. Guarded by Table.mu.
type user struct {
	uid    posix.UID
	now    *member   // its session; nil while it has none
	past   *member   // one whose credential has gone, with files still open
	stamp  string    // of the credential that now or refused came of
	looked time.Time // when it was last compared
	at     *attempt  // a look or a handshake under way
	used   time.Time

	refused error     // why there is no session
	until   time.Time // when to try again although the credential is the same
	wait    time.Duration
}

// attempt is one look at a credential, with a handshake if that is needed, for
// all who wait for it.
type attempt struct {
	done    chan struct{}
	end     context.CancelFunc
	waiting int
	m       *member // once done is closed
	err     error
}

// ErrNone is why a user is refused who has no credential.
var ErrNone = errors.New("no credential")

// New makes an empty table. Close ends it.
func New(c Config) *Table {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Idle, 15*time.Minute)
	def(&c.Look, time.Second)
	def(&c.Retry, 5*time.Second)
	def(&c.Timeout, time.Minute)
	if c.Most == 0 {
		c.Most = 4096
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Hint == nil {
		c.Hint = func(posix.UID) string { return "log in" }
	}
	t := &Table{c: c, users: map[posix.UID]*user{}, members: map[*member]struct{}{}}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.work.Go(t.sweeper)
	return t
}

// session answers the session of a user, opening it if need be.
func (t *Table) session(ctx context.Context, uid posix.UID) (*member, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, session.ErrClosed
	}
	u := t.users[uid]
	if u == nil {
		u = &user{uid: uid}
		t.users[uid] = u
	}
	now := t.c.Now()
	u.used = now
	if u.now != nil && (now.Sub(u.looked) < t.c.Look || u.at != nil) {
		defer t.mu.Unlock()
		u.now.used.Store(now.UnixNano())
		return u.now, nil
	}
	a := u.at
	switch {
	case a == nil:
		a = t.begin(u)
	case a.waiting == 0: // those who wanted it have given it up
		t.mu.Unlock()
		select {
		case <-a.done:
			return t.session(ctx, uid)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	a.waiting++
	t.mu.Unlock()
	return t.await(ctx, a)
}

// await waits for the end of an attempt. Who is the last to give up ends it.
func (t *Table) await(ctx context.Context, a *attempt) (*member, error) {
	var patience <-chan time.Time
	if t.c.Soft {
		timer := time.NewTimer(t.c.Timeout)
		defer timer.Stop()
		patience = timer.C
	}
	var err error
	select {
	case <-a.done:
		return a.m, a.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-patience:
		err = posix.E("session", posix.ETIMEDOUT, errors.New("no server (soft mount)"))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.waiting--; a.waiting == 0 {
		a.end()
	}
	return nil, err
}

// Stats answers the counts as they are now.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Sessions = len(t.members)
	return s
}

// Close ends all sessions, as far as there is a server to hear of it.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	all := t.members
	t.members, t.users = map[*member]struct{}{}, map[posix.UID]*user{}
	t.mu.Unlock()
	t.stop()
	t.work.Wait()
	var closing sync.WaitGroup
	for m := range all {
		closing.Go(func() { m.s.Close() })
	}
	closing.Wait()
}
