package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// shakeTime bounds one attempt at a handshake.
const shakeTime = 20 * time.Second

// stream is one gRPC stream of the session, under one epoch.
type stream struct {
	st     grpc.ClientStream
	epoch  uint64
	server string
	end    context.CancelFunc

	expires time.Time               // when the server ends it, by the credential that was shown; zero: never
	renewal atomic.Pointer[renewal] // the one whose answer is awaited
	showing sync.Mutex              // held by the one who renews

	answers chan uint64   // the newest recall that was done and is to be answered
	shaken  time.Duration // when its hello was sent, since began

	sending sync.Mutex // gRPC allows one sender at a time
}

func (st *stream) send(m *proto.ToServer) error {
	st.sending.Lock()
	defer st.sending.Unlock()
	return st.st.SendMsg(m)
}

// call sends c under this stream's epoch.
func (st *stream) call(c *call) error {
	c.at.Store(int64(time.Since(began)))
	m := &proto.Call{Cred: c.msg.Cred, Slot: c.msg.Slot, Seq: c.msg.Seq, Op: c.msg.Op, Epoch: st.epoch}
	err := st.send(&proto.ToServer{Id: c.id, Body: &proto.ToServer_Call{Call: m}})
	if c.quit.Load() { // its cancel may have gone before
		st.cancel(c)
	}
	return err
}

func (st *stream) cancel(c *call) {
	c.quit.Store(true)
	st.send(&proto.ToServer{Id: c.id, Body: &proto.ToServer_Cancel{Cancel: &proto.Cancel{}}})
}

// bye ends the session and waits, not for long, until the server has seen it.
func (st *stream) bye() {
	st.send(&proto.ToServer{Body: &proto.ToServer_Bye{Bye: &proto.Bye{}}})
	st.sending.Lock() // a renewal may be on its way
	st.st.CloseSend()
	st.sending.Unlock()
	select {
	case <-st.st.Context().Done(): // receive has seen the end
	case <-time.After(2 * time.Second):
	}
}

// attach opens a stream, shakes hands, takes back the handles and sends again
// what waits. From then on the stream is s.up.
func (s *Session) attach(ctx context.Context, attempt int) (*stream, error) {
	conn, server, err := s.c.Dial(ctx, attempt)
	if err != nil {
		return nil, err
	}
	streamCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	late := time.AfterFunc(shakeTime, end)
	defer late.Stop()
	defer context.AfterFunc(ctx, end)()
	st := &stream{server: server, end: end}
	st.answers = make(chan uint64, 1)
	if st.st, err = conn.NewStream(streamCtx, &proto.SessionStream, proto.SessionMethod); err == nil {
		err = s.shake(ctx, st)
	}
	if err != nil {
		end()
		return nil, s.c.Explain(ctx, err, server)
	}
	return st, nil
}

// shake does the handshake and what follows from it.
func (s *Session) shake(ctx context.Context, st *stream) error {
	proof, err := s.c.Prover.Prove(ctx, channel(st.st.Context()))
	if errors.Is(err, identity.ErrCredential) {
		return posix.E("hello", posix.EKEYEXPIRED, err)
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	hello := &proto.Hello{
		Version: proto.Version, Mechanism: s.c.Prover.Mechanism(), Proof: proof.Bytes, Trusted: s.c.Trusted,
		Session: s.id, Secret: s.secret, Client: s.c.Client, Release: s.c.Release,
		Path: s.c.Path, Impersonate: s.c.Impersonate, Mount: s.c.Mount, Recalled: s.c.Recall != nil,
	}
	s.mu.Unlock()
	st.shaken = time.Since(began)
	if err := st.st.SendMsg(&proto.ToServer{Body: &proto.ToServer_Hello{Hello: hello}}); err != nil {
		return receiveError(st, err)
	}
	m := new(proto.ToClient)
	if err := st.st.RecvMsg(m); err != nil {
		return err
	}
	w := m.GetWelcome()
	switch {
	case w == nil:
		return posix.E("hello", posix.EPROTO, errors.New("the first answer is no welcome"))
	case w.GetErrno() != 0:
		err := proto.Failure("hello", w.GetErrno(), w.GetMessage())
		if errors.Is(err, posix.ESTALE) && hello.Session != 0 {
			s.lost()
		}
		return err
	case w.GetVersion() != proto.Version:
		return posix.E("hello", posix.EPROTO, fmt.Errorf("the server speaks version %d of the protocol, this client %d", w.GetVersion(), proto.Version))
	}
	if proof.Confirm != nil {
		if err := proof.Confirm(w.GetProof()); err != nil {
			return posix.E("hello", posix.EACCES, err)
		}
	}
	if err := s.understood(w); err != nil {
		return err
	}
	st.epoch, st.expires = w.GetEpoch(), expiry(w.GetExpiresMs())
	return s.welcome(st, w)
}

// understood refuses a server that is older than what was asked of it: it would
// show the whole tree, or act as the wrong one.
func (s *Session) understood(w *proto.Welcome) error {
	old := func(what string) error {
		return posix.E("hello", posix.EPROTO, fmt.Errorf("the server (release %q) knows no %s", w.GetRelease(), what))
	}
	switch {
	case s.c.Path != "/" && w.GetPath() != s.c.Path:
		return old("mounts of a folder")
	case s.c.Impersonate != "" && (w.GetPrincipal() != s.c.Impersonate || w.GetVia() == ""):
		return old("impersonation")
	}
	return nil
}

// receiveError finds what the server said when it broke off a stream that was
// being sent to.
func receiveError(st *stream, sent error) error {
	if err := st.st.RecvMsg(new(proto.ToClient)); err != nil {
		return err
	}
	return sent
}

func channel(ctx context.Context) identity.Channel {
	var c identity.Channel
	if p, ok := peer.FromContext(ctx); ok {
		c.Remote = p.Addr
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			c.TLS = info.State
		}
	}
	return c
}

// welcome takes the session over to st.
func (s *Session) welcome(st *stream, w *proto.Welcome) error {
	s.mu.Lock()
	restarted := s.id != 0 && s.boot != w.GetBoot()
	s.id, s.secret = w.GetSession(), w.GetSecret()
	if s.slots == nil {
		s.slots = newSlots(max(w.GetSlots(), 1))
	}
	s.mu.Unlock()
	if restarted {
		s.c.Log.Info("the server has restarted, taking the open files back", "server", st.server)
		for _, step := range []func(*stream) error{s.reclaim, s.relock, s.reclaimed} {
			if err := step(st); err != nil {
				return err // the next stream begins anew with it
			}
		}
	}
	if err := s.undoLocks(st); err != nil {
		return err
	}
	s.mu.Lock()
	s.boot, s.inline, s.closes, s.refused = w.GetBoot(), int(w.GetInlineMax()), w.GetCloses(), nil
	var again []*call
	for _, c := range s.calls {
		c.sent = true
		again = append(again, c)
	}
	s.up = st
	s.promise = promiseOf(w, st.shaken)
	s.state = State{
		Server: st.server, Principal: w.GetPrincipal(), Mechanism: s.c.Prover.Mechanism(), Session: s.id, Epoch: st.epoch,
		Via: w.GetVia(), Path: s.c.Path, ReadOnly: w.GetReadOnly(),
		Connected: true, Since: time.Now(), Streams: s.state.Streams + 1, Release: w.GetRelease(), Expires: st.expires,
	}
	back := s.state.Streams > 1
	s.wake()
	s.mu.Unlock()
	if back && s.c.Up != nil {
		s.c.Up()
	}
	slices.SortFunc(again, func(a, b *call) int { return int(a.id) - int(b.id) })
	// In the background: nobody receives yet, and a long queue could fill the windows.
	go func() {
		for _, c := range again {
			st.call(c)
		}
	}()
	return nil
}

// reclaim opens every handle again on a server that has forgotten them. One
// that it refuses is gone: later calls answer EBADF.
func (s *Session) reclaim(st *stream) error {
	s.mu.Lock()
	var handles []posix.Handle
	var ops []*proto.Call
	for h, t := range s.tickets {
		if t.closing && !s.locks.any(t.ino) {
			continue // its close is on its way
		}
		handles = append(handles, h)
		ops = append(ops, &proto.Call{Cred: &proto.Cred{}, Op: &proto.Call_Reclaim{Reclaim: &proto.Reclaim{Ticket: t.token}}})
	}
	s.mu.Unlock()
	return s.before(st, ops, func(i int, err error) {
		s.c.Log.Error("an open file could not be taken back", "handle", uint64(handles[i]), "err", err)
		s.mu.Lock()
		s.handleClosed(handles[i])
		s.mu.Unlock()
	})
}

// reclaimed says that nothing more is to be taken back.
func (s *Session) reclaimed(st *stream) error {
	done := &proto.Call{Cred: &proto.Cred{}, Op: &proto.Call_Reclaimed{Reclaimed: &proto.Reclaimed{}}}
	return s.before(st, []*proto.Call{done}, func(_ int, err error) {
		s.c.Log.Warn("the server does not know that all is taken back", "err", err)
	})
}

// before does calls on a stream that is not up yet, ahead of all others, and
// waits for their answers; refused is told of each that was an error.
func (s *Session) before(st *stream, ops []*proto.Call, refused func(i int, err error)) error {
	waiting := map[uint64]int{}
	msgs := make([]*proto.ToServer, len(ops))
	s.mu.Lock()
	for i, op := range ops {
		s.next++
		waiting[s.next] = i
		op.Epoch = st.epoch
		msgs[i] = &proto.ToServer{Id: s.next, Body: &proto.ToServer_Call{Call: op}}
	}
	s.mu.Unlock()
	go func() {
		for _, m := range msgs {
			st.send(m)
		}
	}()
	for len(waiting) > 0 {
		m := new(proto.ToClient)
		if err := st.st.RecvMsg(m); err != nil {
			return err
		}
		if r := m.GetRecall(); r != nil {
			s.recall(r)
			st.done(m.Id)
		}
		i, ok := waiting[m.GetId()]
		if r := m.GetReply(); ok && r != nil {
			delete(waiting, m.GetId())
			if err := proto.Failure("reclaim", r.GetErrno(), r.GetMessage()); err != nil {
				refused(i, err)
			}
		}
	}
	return nil
}

// lost forgets a session that the server knows no more. Calls that may have
// been applied can't be sent to another session: they fail.
func (s *Session) lost() {
	s.mu.Lock()
	s.c.Log.Error("the server knows the session no more: open files are stale and locks are gone", "session", s.id, "files", len(s.tickets),
		"owners_of_locks", len(s.locks))
	s.id, s.boot, s.secret = 0, 0, nil
	clear(s.tickets)
	clear(s.locks)
	s.undo = nil
	var failed []*call
	for id, c := range s.calls {
		if c.sent && c.msg.GetSeq() != 0 {
			failed = append(failed, c)
			delete(s.calls, id)
		}
	}
	s.mu.Unlock()
	s.life.Lose()
	for _, c := range failed {
		c.err = fmt.Errorf("%w: the session was lost, and whether this was done is unknown", posix.EIO)
		close(c.done)
	}
	if s.c.Lost != nil {
		s.c.Lost(s.life)
	}
}

// receive delivers what comes until the stream ends.
func (s *Session) receive(ctx context.Context, st *stream) error {
	defer context.AfterFunc(ctx, st.end)()
	go st.answer()
	if !st.expires.IsZero() {
		go s.renew(st)
	}
	for {
		m := new(proto.ToClient)
		if err := st.st.RecvMsg(m); err != nil {
			return err
		}
		switch b := m.Body.(type) {
		case *proto.ToClient_Reply:
			s.deliver(m.Id, b.Reply)
		case *proto.ToClient_Recall:
			s.recall(b.Recall)
			st.done(m.Id)
		case *proto.ToClient_Renewed:
			st.renewal.Load().answered(m.Id, b.Renewed)
		case *proto.ToClient_Ended:
			err := proto.Failure("session", b.Ended.GetErrno(), b.Ended.GetMessage())
			s.c.Log.Error("the server has ended the session", "server", st.server, "err", err)
			return err
		}
	}
}

// said is whether err is a server's no to this session, or to the certificate
// that was shown for it, and which.
func said(err error) (posix.Errno, bool) {
	var no interface{ Refused() bool }
	if errors.As(err, &no) {
		return posix.ErrnoOf(err), no.Refused()
	}
	var e *posix.Error
	if !errors.As(err, &e) || e.Op != "hello" {
		return 0, false
	}
	return e.Errno, e.Errno == posix.EACCES || e.Errno == posix.EKEYEXPIRED
}

// refuse fails the calls that wait, and those that come, when the server has
// refused the session: who has lost the right to a mount is told so, and does
// not wait for a server that is there. It holds until the server takes the
// session again.
func (s *Session) refuse(err error) {
	errno, no := said(err)
	if !no {
		return
	}
	cause := errors.New(err.Error())
	why := posix.E("session", errno, cause)
	s.mu.Lock()
	s.refused = why
	failed := s.calls
	s.calls = map[uint64]*call{}
	s.mu.Unlock()
	for _, c := range failed {
		c.err = why
		if c.sent && c.msg.GetSeq() != 0 {
			c.err = posix.E("session", posix.EIO, fmt.Errorf("the session was refused, and whether this was done is unknown: %w", cause))
		}
		close(c.done)
	}
}

// deliver ends a call. A file's ticket is kept from this moment on: the server
// may restart before the caller has looked at the reply.
func (s *Session) deliver(id uint64, r *proto.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.calls[id]
	if !ok {
		return // sent twice and answered twice, or given up
	}
	delete(s.calls, id)
	s.promise.heard = max(s.promise.heard, time.Duration(c.at.Load()))
	s.note(c.msg, r)
	c.reply = r
	close(c.done)
}

func (s *Session) recall(r *proto.Recall) {
	if s.c.Recall == nil {
		return
	}
	var changes []posix.Change
	for _, c := range r.GetChanges() {
		changes = append(changes, posix.Change{Ino: posix.Ino(c.GetIno()), Dir: posix.Ino(c.GetDir()), Name: string(c.GetName())})
	}
	s.c.Recall(changes, r.GetEverything())
}
