// Package session is one session of a mount with the server: the stream that
// carries its calls, and what it takes for the session to outlive the stream.
//
// A call is answered once and applied once, whatever happens to the connection
// or the server meanwhile: it waits, is sent again on the next stream, and the
// server knows a repeat by the call's slot. Open handles are reclaimed from a
// server that has restarted by the tickets it once gave for them.
//
// It refuses to know what a call means; package remote does.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// ErrClosed is the answer of a session that was closed.
var ErrClosed = errors.New("session: closed")

// Config is what a Session needs.
type Config struct {
	// Dial answers a connection to one of Servers and that server's name;
	// attempt counts up, so that they are tried in turn. The connection stays
	// Dial's.
	Dial func(ctx context.Context, attempt int) (*grpc.ClientConn, string, error)
	// Explain makes a plain error of one that came with that server.
	Explain func(ctx context.Context, err error, server string) error

	Servers int // how many Dial knows: Open tries each once

	Prover  identity.Prover
	Trusted bool // calls state their callers
	// Impersonate is the user for whom to act; empty: for whom Prover proves.
	Impersonate string
	Path        string // the server's directory that is inode 1; default /
	Client      string // for people: host and mount point
	Release     string
	// Mount is a secret that all sessions of a mount have in common: the server
	// tells none of them what another has changed. Empty: there is but one.
	Mount []byte

	// Soft makes a call fail with ETIMEDOUT after Timeout without a server.
	// Otherwise it waits for ever, or until its context ends.
	Soft    bool
	Timeout time.Duration // default 60 s

	// Recall is told what to forget; with everything, all. It must not wait
	// for a call of this session.
	Recall func(changes []posix.Change, everything bool)
	// Down is called when the stream has broken: until there is another, nobody
	// says what others change. It must not wait for a call of this session.
	Down func()
	// Up is called when there is another.
	Up func()
	// Lost is called when the server knows the session no more: every handle
	// is stale.
	Lost func(*posix.Life)
	Log  *slog.Logger
}

// Session is safe for concurrent use.
type Session struct {
	c     Config
	stop  context.CancelFunc
	ended chan struct{} // run has returned
	slots *slots

	mu      sync.Mutex
	up      *stream // nil while there is none
	changed chan struct{}
	calls   map[uint64]*call
	next    uint64
	tickets map[posix.Handle]ticket
	locks   locks
	undo    []undo
	state   State
	refused error         // why the server will not have the session now
	tries   int           // handshakes that failed
	again   chan struct{} // asks for the next one at once
	closed  bool

	// Of the session, set by its first handshake:
	id, boot uint64
	secret   []byte
	inline   int
	closes   bool // one call may close several handles
	soon     soon
	life     *posix.Life
	promise  promise
	reopens  reopens
}

// ticket is what reopens a handle after a restart of the server.
type ticket struct {
	ino     posix.Ino
	token   []byte
	closing bool
}

// State is a session for people.
type State struct {
	Server    string    `json:"server"`
	Principal string    `json:"principal"`
	Mechanism string    `json:"mechanism"`
	Via       string    `json:"via,omitempty"` // who acts for the principal
	Path      string    `json:"path"`
	ReadOnly  bool      `json:"read_only,omitempty"` // the server lets nothing be changed
	Session   uint64    `json:"session,string"`
	Epoch     uint64    `json:"epoch"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"` // of the stream
	Streams   int       `json:"streams"`
	Expires   time.Time `json:"expires,omitzero"`  // the credential that was shown last
	Refused   string    `json:"refused,omitempty"` // why calls fail
	LastError string    `json:"last_error,omitempty"`
	Handles   int       `json:"handles"`
	Calls     int       `json:"calls_waiting"`
	Release   string    `json:"server_release"`
}

// call is one that has no reply yet.
type call struct {
	id   uint64
	msg  *proto.Call  // without the epoch; never changed
	sent bool         // on some stream of this session
	quit atomic.Bool  // nobody wants it done any more
	at   atomic.Int64 // when it was sent last, since began
	done chan struct{}
	// Set before done is closed:
	reply *proto.Reply
	err   error
}

// Open shakes hands for the first time and answers why that failed.
func Open(ctx context.Context, c Config) (*Session, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Timeout == 0 {
		c.Timeout = 60 * time.Second
	}
	if c.Path == "" {
		c.Path = "/"
	}
	s := &Session{
		c: c, ended: make(chan struct{}), changed: make(chan struct{}),
		calls: map[uint64]*call{}, tickets: map[posix.Handle]ticket{}, locks: locks{},
		life: new(posix.Life), again: make(chan struct{}, 1),
	}
	var st *stream
	var tried error
	for attempt := range max(c.Servers, 1) {
		var err error
		if st, err = s.attach(ctx, attempt); err == nil || ctx.Err() != nil {
			break
		}
		tried = errors.Join(tried, err)
	}
	if st == nil {
		return nil, errors.Join(ctx.Err(), tried)
	}
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(run, st)
	return s, nil
}

// run keeps a stream up until the session is closed.
func (s *Session) run(ctx context.Context, st *stream) {
	defer close(s.ended)
	const least, most = 20 * time.Millisecond, time.Second
	wait := least
	for attempt := 0; ; attempt++ {
		if st != nil {
			err := s.receive(ctx, st)
			s.down(st, err)
			wait = least
		}
		if ctx.Err() != nil || s.isClosed() {
			return
		}
		var err error
		if st, err = s.attach(ctx, attempt); err == nil {
			continue
		}
		s.refuse(err)
		s.tried(err)
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		case <-time.After(wait):
		}
		wait = min(2*wait, most)
	}
}

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Session) tried(err error) {
	s.mu.Lock()
	changed := s.state.LastError != err.Error()
	s.state.LastError = err.Error()
	s.tries++
	s.wake()
	s.mu.Unlock()
	if changed { // once for each cause, not for each try
		s.c.Log.Warn("no connection to the server, trying on", "err", err)
	}
}

// down says that st is no more; calls under way wait for the next.
func (s *Session) down(st *stream, err error) {
	st.end()
	s.mu.Lock()
	if s.up == st {
		s.up = nil
		s.state.Connected = false
		s.wake()
	}
	closed := s.closed
	s.mu.Unlock()
	if s.c.Down != nil && !closed {
		s.c.Down()
	}
	if !closed {
		s.c.Log.Warn("connection lost, reconnecting", "server", st.server, "err", err)
	}
}

// wake tells who waits for a change of s.up; s.mu is held.
func (s *Session) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Call does op for cred and answers its reply, whose errno may be an error.
// change says that it changes something, and so must be applied once. When ctx
// ends while a server is there, the answer is still awaited, since it tells
// what has happened; without one it is EINTR.
func (s *Session) Call(ctx context.Context, op string, cred posix.Cred, m *proto.Call, change bool) (*proto.Reply, error) {
	if err := ctx.Err(); err != nil { // before anything could have happened
		return nil, posix.E(op, posix.EINTR, err)
	}
	if s.c.Trusted {
		m.Cred = proto.ToCred(cred)
	}
	if change {
		slot, err := s.slots.take(ctx)
		if err != nil {
			return nil, posix.E(op, posix.EINTR, err)
		}
		defer s.slots.give(slot)
		m.Slot, m.Seq = slot.number, slot.seq
	}
	c, st, err := s.begin(m)
	if errors.Is(err, ErrClosed) {
		return nil, posix.E(op, posix.EHOSTDOWN, err)
	} else if e := (*posix.Error)(nil); errors.As(err, &e) {
		return nil, posix.E(op, e.Errno, e.Err)
	}
	if st != nil {
		st.call(c) // should it fail, the next stream sends it again
	}
	defer s.forget(c)
	if err := s.wait(ctx, c); err != nil {
		return nil, posix.E(op, posix.ErrnoOf(err), err)
	}
	if e := (*posix.Error)(nil); errors.As(c.err, &e) {
		return nil, posix.E(op, e.Errno, e.Err)
	} else if c.err != nil {
		return nil, posix.E(op, posix.ErrnoOf(c.err), c.err)
	}
	return c.reply, proto.Failure(op, c.reply.GetErrno(), c.reply.GetMessage())
}

// begin enters a call, so that this stream or a later one sends it.
func (s *Session) begin(m *proto.Call) (*call, *stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	if s.refused != nil {
		return nil, nil, s.refused
	}
	s.next++
	c := &call{id: s.next, msg: m, done: make(chan struct{}), sent: s.up != nil}
	s.calls[c.id] = c
	return c, s.up, nil
}

func (s *Session) forget(c *call) {
	s.mu.Lock()
	delete(s.calls, c.id)
	s.mu.Unlock()
}

// wait returns nil when the call has its end.
func (s *Session) wait(ctx context.Context, c *call) error {
	select {
	case <-c.done: // the common case needs no lock
		return nil
	default:
	}
	interrupt := ctx.Done()
	var told *stream // of the interrupt
	var patience <-chan time.Time
	for {
		s.mu.Lock()
		st, changed := s.up, s.changed
		s.mu.Unlock()
		switch {
		case st != nil && ctx.Err() != nil && st != told:
			st.cancel(c)
			interrupt, told, patience = nil, st, nil
		case st != nil:
			patience = nil
		case ctx.Err() != nil:
			if s.abandon(c) {
				return ctx.Err()
			}
			continue // there is a stream again
		case s.c.Soft && patience == nil:
			patience = time.After(s.c.Timeout)
		}
		select {
		case <-c.done:
			return nil
		case <-interrupt:
			interrupt = nil // and go round
		case <-changed:
		case <-patience:
			return fmt.Errorf("%w: no server for %v (soft mount)", posix.ETIMEDOUT, s.c.Timeout)
		}
	}
}

// Life tells how often the server has forgotten the session.
func (s *Session) Life() *posix.Life { return s.life }

// Inline is how many bytes the server lets a commit bring by itself.
func (s *Session) Inline() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inline
}

// State answers how the session stands.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	if s.refused != nil {
		st.Refused = s.refused.Error()
	}
	st.Handles, st.Calls = len(s.tickets), len(s.calls)
	return st
}

// Close ends the session on the server, as far as there is one, and every call
// under way.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	st := s.up
	calls := s.calls
	s.calls = map[uint64]*call{}
	s.mu.Unlock()
	if st != nil {
		st.bye()
	}
	s.stop()
	<-s.ended
	for _, c := range calls {
		c.err = ErrClosed
		close(c.done)
	}
	return nil
}
