package session

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// began is what moments are counted from, by the clock that is never set.
var began = time.Now()

// promise is what the server has promised on the stream that is up: whoever
// changes a file that is open here for reading has his answer only when we have
// heard of it. The server keeps that for term after it got a question; so what
// may be relied on ends by itself, term after the last question was sent that
// it has answered. A mount that was frozen, or is cut off, relies on nothing.
type promise struct {
	term, age time.Duration
	heard     time.Duration // when the newest question was sent that was answered, since began
	reopened  bool          // the server wants to know of opens that it was not asked for
}

// promiseOf is what a welcome promises. A fifth of the term is left for clocks
// that don't run alike.
func promiseOf(w *proto.Welcome, asked time.Duration) promise {
	ms := func(n uint64) time.Duration { return time.Duration(min(n, 1<<40)) * time.Millisecond }
	return promise{term: ms(w.GetPromiseMs()) / 5 * 4, age: ms(w.GetReopenMs()), heard: asked, reopened: w.GetReopened()}
}

// Promised reports whether the server makes promises, and how old the answer to
// an open may be that serves another one now: 0 is that none may.
func (s *Session) Promised() (age time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.promise
	switch {
	case s.up == nil || p.term == 0:
		return 0, false
	case time.Since(began) >= p.heard+p.term:
		return 0, true
	}
	return p.age, true
}

// done notes that a recall was done. If the server waits for word of that, it is
// sent by another goroutine: this one receives, and must not wait.
func (st *stream) done(id uint64) {
	if id == 0 {
		return
	}
	select {
	case <-st.answers: // an older one, for which the newer serves too
	default:
	}
	st.answers <- id
}

// answer tells the server of recalls that were done, until the stream ends.
func (st *stream) answer() {
	for {
		select {
		case <-st.st.Context().Done():
			return
		case id := <-st.answers:
			st.send(&proto.ToServer{Id: id, Body: &proto.ToServer_Recalled{Recalled: &proto.Recalled{}}})
		}
	}
}

const (
	// reopenedAfter is how long the server may not know of an open that it was
	// not asked for,
	reopenedAfter = 500 * time.Millisecond
	// and reopenedMost how many of a caller's.
	reopenedMost = 256
)

// reopens are opens that were served by others, and that the server is told of.
type reopens struct {
	mu      sync.Mutex
	waiting map[closer][]reopened
	count   int
}

type reopened struct {
	h  posix.Handle
	at time.Time
}

// Reopened tells the server in a moment that a handle has served another open,
// if it wants to know.
func (s *Session) Reopened(cred posix.Cred, h posix.Handle) {
	s.mu.Lock()
	wanted := s.promise.reopened
	s.mu.Unlock()
	if !wanted {
		return
	}
	who := closer{cred.UID, cred.GID, cred.Super}
	r := &s.reopens
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[closer][]reopened{}
	}
	r.waiting[who] = append(r.waiting[who], reopened{h, time.Now()})
	r.count++
	switch {
	case r.count == 1:
		time.AfterFunc(reopenedAfter, s.tellReopened)
	case r.count%reopenedMost == 0:
		go s.tellReopened()
	}
}

// tellReopened tells of all there are, and waits for the answers.
func (s *Session) tellReopened() {
	s.reopens.mu.Lock()
	all := s.reopens.waiting
	s.reopens.waiting, s.reopens.count = nil, 0
	s.reopens.mu.Unlock()
	for who, list := range all {
		cred := posix.Cred{UID: who.uid, GID: who.gid, Super: who.super}
		for len(list) > 0 {
			n := min(len(list), proto.MaxCloses)
			m := new(proto.Reopened)
			for _, x := range list[:n] {
				ago := max(time.Since(x.at), 0)
				m.Opens = append(m.Opens, &proto.Reopen{Handle: uint64(x.h), AgoMs: uint32(ago.Milliseconds())})
			}
			list = list[n:]
			_, _ = s.Call(context.Background(), "reopened", cred, &proto.Call{Op: &proto.Call_Reopened{Reopened: m}}, false)
		}
	}
}
