package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/hands"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/export"
	"github.com/wardfs/wardfs/server/namespace"
	"github.com/wardfs/wardfs/server/session"
)

const (
	// slots is how many calls of a session run at once, and how many
	// exactly-once slots it has.
	slots = 256
	// lockWaits is how many calls of a stream may wait for locks, beside the
	// slots: an unlock must always get in.
	lockWaits = 4096
	// reclaimTimeout is how long a session that is back may take to reclaim
	// what it had; the grace of all waits for it.
	reclaimTimeout = 30 * time.Second
	// helloTimeout is how long a fresh stream may stay silent.
	helloTimeout = 30 * time.Second
)

// wire is the server as package proto sees it.
type wire struct{ *Server }

var _ proto.Server = wire{}

// talk is one stream of one session.
type talk struct {
	s         *Server
	st        grpc.ServerStream
	promising bool // its mount answers recalls; see promise.go
	who       admitted
	standing  standing // of a session that states no callers
	sess      *session.Session
	mount     string // what the sessions of one mount have in common; a secret of theirs
	epoch     uint64
	acts      audit.Who            // for the audit log
	gate      atomic.Pointer[gate] // nil lets every call through as it is
	proven    credential

	ctx context.Context // of the calls: ends with the stream
	end context.CancelFunc

	sending sync.Mutex // gRPC allows one sender at a time

	judging sync.Mutex
	judged  *export.Rules // those that let the session in, under judging

	mu    sync.Mutex
	calls map[uint64]context.CancelFunc
	over  bool // the stream is at its end

	room  chan struct{}     // of calls
	waits chan struct{}     // of calls that may wait for others; see mayWait
	asked asked             // see promise.go
	older []<-chan struct{} // idle of the streams of this session that were overtaken
	idle  chan struct{}     // closed when no call is under way any more
	hands *hands.Hands

	recalls recalls
}

// Session serves one stream: a handshake, then calls until either side ends it.
func (w wire) Session(st grpc.ServerStream) error {
	ctx, end := context.WithCancel(st.Context())
	defer end()
	t := &talk{
		s: w.Server, st: st, ctx: ctx, end: end, calls: map[uint64]context.CancelFunc{},
		recalls: recalls{wake: make(chan struct{}, 1)},
		room:    make(chan struct{}, slots), waits: make(chan struct{}, lockWaits), idle: make(chan struct{}),
		proven: credential{moved: make(chan struct{}, 1)}, hands: hands.New(),
	}
	start := time.Now()
	welcome, err := t.handshake()
	t.attached(start, err)
	if err != nil {
		errno, message := proto.Failed(err)
		w.c.Log.Warn("session refused", "peer", remote(ctx), "err", err)
		return st.SendMsg(&proto.ToClient{Body: &proto.ToClient_Welcome{Welcome: &proto.Welcome{
			Version: proto.Version, Errno: errno, Message: message, Release: w.c.Release,
		}}})
	}
	defer t.detached()
	defer t.sess.Detach(t.epoch)
	if err := t.send(&proto.ToClient{Body: &proto.ToClient_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	w.c.Log.Info("session attached", "session", uint64(t.sess.ID), "epoch", t.epoch,
		"principal", t.who.principal.String(), "path", t.who.path, "client", t.sess.Client, "peer", remote(ctx))
	return t.serve()
}

func remote(ctx context.Context) string {
	ch, err := channel(ctx)
	if err != nil {
		return "unknown"
	}
	return ch.Remote.String()
}

func (t *talk) handshake() (*proto.Welcome, error) {
	first := make(chan error, 1)
	m := new(proto.ToServer)
	go func() { first <- t.st.RecvMsg(m) }()
	select {
	case err := <-first:
		if err != nil {
			return nil, err
		}
	case <-time.After(helloTimeout):
		return nil, posix.E("hello", posix.ETIMEDOUT, errors.New("no hello came"))
	}
	t.asks()
	h := m.GetHello()
	if h == nil {
		return nil, posix.E("hello", posix.EPROTO, errors.New("the first message is no hello"))
	}
	t.judged = t.s.rules.Load()
	who, err := t.s.admit(t.st.Context(), h, *t.judged)
	if err != nil {
		return nil, posix.E("hello", posix.EACCES, err)
	}
	t.who = who
	t.mount = clip(string(h.GetMount()))
	t.stands(who.cred)
	root, err := t.s.resolve(t.st.Context(), who.path)
	if err != nil {
		return nil, err
	}
	bond := session.Bond{Principal: who.principal, Path: who.path, Root: root}
	t.proven.set(who.expires, who.member)
	w := &proto.Welcome{
		ExpiresMs: expiresMs(who.expires),
		Version:   proto.Version, Boot: t.s.boot, Principal: who.principal.Name, Via: who.principal.Via, Trusted: who.trusted,
		Proof: who.reply, InlineMax: posix.InlineMax, Closes: true, Slots: slots, TimeoutMs: uint64(t.s.c.SessionTimeout.Milliseconds()), Release: t.s.c.Release,
		Path: who.path, ReadOnly: who.rule.ReadOnly,
	}
	if t.promising = h.GetRecalled(); t.promising {
		w.PromiseMs, w.ReopenMs = uint64(t.s.c.PromiseTerm.Milliseconds()), uint64(reopenAge.Milliseconds())
		w.Reopened = t.s.audit.Wants("open", 0)
	}
	if h.GetSession() != 0 {
		if err := t.resume(h, bond); err != nil {
			return nil, err
		}
		w.Secret = h.GetSecret()
	} else {
		var secret session.Secret
		if t.sess, secret, t.epoch, err = t.s.sessions.Start(t.st.Context(), bond, clip(h.GetClient()), t.end); errors.Is(err, session.ErrTooMany) {
			return nil, t.s.limited("hello", "sessions", posix.EDQUOT, "%s has %d sessions here: unmount some", bond.Principal.Prover(), t.s.c.Limits.Sessions)
		} else if err != nil {
			return nil, posix.E("hello", posix.ErrnoOf(err), err)
		}
		w.Secret = secret[:]
	}
	t.gate.Store(newGate(t, who))
	w.Session, w.Epoch = uint64(t.sess.ID), t.epoch
	return w, nil
}

// resume goes on with a session. The grace after a restart lasts until it has
// said what it had, or does not for reclaimTimeout.
func (t *talk) resume(h *proto.Hello, b session.Bond) (err error) {
	id := namespace.SessionID(h.GetSession())
	// Before the session counts as back, for then the grace may end.
	cancel := t.s.tree.Returning(id)
	defer func() {
		if err != nil {
			cancel()
			return
		}
		time.AfterFunc(reclaimTimeout, func() { t.s.tree.Returned(id) })
	}()
	t.sess, t.epoch, err = t.s.sessions.Resume(t.st.Context(), session.ID(h.GetSession()), h.GetSecret(), b, t.end)
	switch {
	case errors.Is(err, session.ErrUnknown):
		return posix.E("hello", posix.ESTALE, err)
	case errors.Is(err, session.ErrRefused):
		return posix.E("hello", posix.EACCES, err)
	case err != nil:
		return posix.E("hello", posix.ErrnoOf(err), err)
	}
	t.s.expelled.remove(h.GetSession())
	return nil
}

// clip bounds what a client says of itself.
func clip(s string) string { return s[:min(len(s), 256)] }

// enter makes the stream one that changes are told to, until leave.
func (t *talk) enter() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for o := range t.s.talks {
		if o.sess == t.sess {
			t.older = append(t.older, o.idle)
		}
	}
	t.s.talks[t] = struct{}{}
	// A mount that comes back has forgotten what it knew before.
	t.s.tree.Forgive(namespace.SessionID(t.sess.ID))
}

func (t *talk) leave() {
	t.s.promises.lapses(t.sess.ID, t.relies())
	t.s.mu.Lock()
	delete(t.s.talks, t)
	t.s.mu.Unlock()
	close(t.idle)
}

func (t *talk) serve() error {
	t.enter()
	var running sync.WaitGroup
	defer t.part(&running)
	if err := t.stillGood(t.ctx); err != nil {
		t.expel(t.ctx, err)
		return nil
	}
	if err := t.judge(t.ctx); err != nil { // the rules have changed since the handshake
		t.expel(t.ctx, err)
		return nil
	}
	// gRPC waits on the stream alone, so the calls are received beside this
	// goroutine, which returns when it is told to, and that ends the stream.
	heard := make(chan error, 1)
	go func() { heard <- t.listen(&running) }()
	running.Go(t.recall)
	running.Go(t.lapse)
	var err error
	select {
	case <-t.ctx.Done():
	case err = <-heard:
	}
	t.end()
	return err
}

// part waits for the calls under way, but not long: a mount that does not read
// holds up the answers, and only the end of the stream frees them. They are
// under way until then, which leave says.
func (t *talk) part(running *sync.WaitGroup) {
	t.mu.Lock()
	t.over = true // no call begins any more
	t.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		running.Wait()
		t.leave()
	}()
	select {
	case <-gone:
	case <-time.After(farewellTime):
	}
}

// listen begins each call that comes, until the stream ends or says bye.
func (t *talk) listen(running *sync.WaitGroup) error {
	for {
		m := new(proto.ToServer)
		if err := t.st.RecvMsg(m); err != nil || t.ctx.Err() != nil {
			return nil // the mount has gone, or was overtaken
		}
		switch b := m.Body.(type) {
		case *proto.ToServer_Call:
			room := t.admit(b.Call)
			if room == nil {
				t.s.metrics.limited.WithLabelValues("waits").Inc()
				t.send(&proto.ToClient{Id: m.Id, Body: &proto.ToClient_Reply{Reply: failed(
					posix.E("setlk", posix.ENOLCK, errors.New("too many of the mount's processes wait for locks")))}})
				continue
			}
			t.asks()
			t.begin(m.Id, running, func(ctx context.Context) {
				p := place{t, room}
				defer func() { <-p.room }()
				t.answer(ctx, m.Id, b.Call, &p)
			})
		case *proto.ToServer_Recalled:
			t.recalls.hears(m.Id)
		case *proto.ToServer_Cancel:
			t.finish(m.Id)
		case *proto.ToServer_Renew:
			// As a call: no more at once, and none after the end.
			t.room <- struct{}{}
			t.begin(m.Id, running, func(ctx context.Context) {
				defer func() { <-t.room }()
				t.send(&proto.ToClient{Id: m.Id, Body: &proto.ToClient_Renewed{Renewed: t.renew(ctx, b.Renew)}})
			})
		case *proto.ToServer_Bye:
			t.s.c.Log.Info("session ended", "session", uint64(t.sess.ID))
			return t.s.sessions.End(context.WithoutCancel(t.ctx), t.sess.ID)
		default:
			return fmt.Errorf("wire: message %d is neither call, cancel nor bye", m.Id)
		}
	}
}

// admit takes a place for a call and answers where to give it back. Calls that
// end by themselves are waited for; those that may not have a room of their
// own, and nil is the answer when that is full.
func (t *talk) admit(c *proto.Call) chan struct{} {
	if !mayWait(c) {
		t.room <- struct{}{}
		return t.room
	}
	select {
	case t.waits <- struct{}{}:
		return t.waits
	default:
		return nil
	}
}

// begin runs a call beside the others, unless the stream is over.
func (t *talk) begin(id uint64, running *sync.WaitGroup, f func(context.Context)) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		cancel()
		return
	}
	t.calls[id] = cancel
	t.hands.Do(running, t.ctx.Done(), func() {
		defer cancel() // finish may find the call that took its id
		defer t.finish(id)
		f(ctx)
	})
}

// finish ends the context of a call: it is answered, or the client wants no answer.
func (t *talk) finish(id uint64) {
	t.mu.Lock()
	cancel := t.calls[id]
	delete(t.calls, id)
	t.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// send sends what is to be recalled, and then m: whatever was changed before an
// answer was made, the mount has been told of when it gets the answer.
func (t *talk) send(m *proto.ToClient) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	if err := t.sendRecalls(); err != nil {
		return err
	}
	return t.st.SendMsg(m)
}

// answer does a call and sends its reply.
func (t *talk) answer(ctx context.Context, id uint64, c *proto.Call, p *place) {
	more := c.GetClose().GetMore()
	if len(more) > proto.MaxCloses { // a handle is a byte of the message, and far more work than that
		t.send(&proto.ToClient{Id: id, Body: &proto.ToClient_Reply{Reply: failed(
			posix.E("close", posix.E2BIG, fmt.Errorf("%d handles at once, %d are allowed", len(more), proto.MaxCloses)))}})
		return
	}
	var changes []namespace.Change
	reply := t.do(ctx, c, &changes)
	for _, h := range more {
		t.do(ctx, &proto.Call{Cred: c.Cred, Epoch: c.Epoch, Op: &proto.Call_Close{Close: &proto.Close{Handle: h}}}, &changes)
	}
	if !t.keepPromises(c, changes, p) {
		return // the server is shutting down
	}
	// A stream that is gone needs no reply: the client asks again. That it was
	// interrupted by the end of the stream it must not even hear.
	if t.ctx.Err() != nil && posix.ErrnoOf(proto.Failure(opName(c), reply.Errno, "")) == posix.EINTR {
		return
	}
	t.send(&proto.ToClient{Id: id, Body: &proto.ToClient_Reply{Reply: reply}})
}

// do does a call, counted and written down. A bug in a handler is that call's
// EIO, not the end of everybody's server.
func (t *talk) do(ctx context.Context, c *proto.Call, changes *[]namespace.Change) *proto.Reply {
	start := time.Now()
	op, reply := opName(c), (*proto.Reply)(nil)
	record := t.about(op, c)
	func() {
		defer func() {
			if p := recover(); p != nil {
				t.s.c.Log.Error("a call panicked", "op", op, "panic", p, "stack", string(debug.Stack()))
				reply = failed(posix.E(op, posix.EIO, errors.New("bug in the server, see its log")))
			}
		}()
		reply = t.call(ctx, op, c, changes)
	}()
	took := time.Since(start)
	t.s.metrics.rpc(op, reply.Errno, took)
	t.audited(record, reply, start, took)
	return reply
}

func failed(err error) *proto.Reply {
	r := new(proto.Reply)
	r.Errno, r.Message = proto.Failed(err)
	return r
}
