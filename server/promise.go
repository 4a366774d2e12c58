package server

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/namespace"
	"github.com/wardfs/wardfs/server/session"
)

// A mount may serve an open for reading out of one that it has had before, if
// it is promised word of whatever would make that wrong: who changes the bytes,
// the mode, the owner or the ACL of a file, or takes its last name, gets his
// answer only when every mount that was promised has heard of it, or can't rely
// on the promise any more.
//
// A mount relies on promises for as long as promiseTerm after it sent the last
// question that was answered on this stream. So one that is frozen, or cut off,
// holds up others for that long and not longer: it hears nothing, and so gets no
// answer that was given after the change either. If it does not say that it has
// heard, its stream is ended, so that no answer is given any more, and what it
// was promised has lapsed promiseTerm after the last one.
//
// A server that starts knows of no promise that it made before; until those
// have lapsed, or the sessions of before are back, changes wait.

// defaultPromiseTerm is long beside a round trip and short beside a patience.
const defaultPromiseTerm = 3 * time.Second

// reopenAge is for how long an open may serve others: rights that end without
// anybody's word, such as a capability's, are asked for anew by then.
const reopenAge = 5 * time.Minute

// promises are what the server must remember of streams that have ended.
type promises struct {
	mu    sync.Mutex
	until map[session.ID]time.Time // when what a session was promised has lapsed
}

func (p *promises) lapses(id session.ID, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for s, t := range p.until {
		if t.Before(now) {
			delete(p.until, s)
		}
	}
	if p.until == nil {
		p.until = map[session.ID]time.Time{}
	}
	p.until[id] = at
}

func (p *promises) lapse(id session.ID) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until[id]
}

// asked is when the last question of a stream came, since the server's start.
type asked struct{ last atomic.Int64 }

func (t *talk) asks() { t.asked.last.Store(int64(time.Since(t.s.started))) }

// relies is until when the mount may rely on what it was promised: no answer
// that it has got, or may get, is to a question that it sent later.
func (t *talk) relies() time.Time {
	return t.s.started.Add(time.Duration(t.asked.last.Load()) + t.s.c.PromiseTerm)
}

// breaks reports whether c ends what an open of before tells.
func breaks(c namespace.Change) bool {
	return c.Ino != 0 && c.Kind&(namespace.ChangeAttr|namespace.ChangeData|namespace.ChangeGone) != 0
}

// owed answers who was promised word of these changes.
func (t *talk) owed(changes []namespace.Change) map[session.ID][]namespace.Promise {
	var all map[session.ID][]namespace.Promise
	for _, c := range changes {
		if !breaks(c) {
			continue
		}
		for _, p := range t.s.tree.Promises(c.Ino, namespace.SessionID(t.sess.ID)) {
			if all == nil {
				all = map[session.ID][]namespace.Promise{}
			}
			all[session.ID(p.Session)] = append(all[session.ID(p.Session)], p)
		}
	}
	return all
}

// place is that of a call among those that run at once. A call that waits for
// other mounts moves to those that wait: what the others say must always get in.
type place struct {
	t    *talk
	room chan struct{}
}

func (p *place) leave() {
	if p.room != p.t.room {
		return
	}
	select {
	case p.t.waits <- struct{}{}:
		<-p.room
		p.room = p.t.waits
	default:
	}
}

// keepPromises returns when all who were promised word of a call's changes have
// it; they have been put into the recalls of each by now. False if the server
// shuts down before: then nobody may be answered.
func (t *talk) keepPromises(c *proto.Call, changes []namespace.Change, p *place) bool {
	if !slices.ContainsFunc(changes, breaks) {
		return c.GetSeq() == 0 || t.waitOlder(p) // it may have been applied on an older stream, and waits there
	}
	if !t.awaitReturn(p) {
		return false
	}
	owed := t.owed(changes)
	if len(owed) == 0 {
		return true
	}
	p.leave()
	var all sync.WaitGroup
	for id, list := range owed {
		all.Go(func() {
			if t.s.tell(id) {
				t.s.tree.Kept(list)
			}
		})
	}
	all.Wait()
	return !t.s.isStopping()
}

// tell returns when the session has heard of all that its recalls are now, or
// can't rely on anything it was promised; false if the server shuts down.
func (s *Server) tell(id session.ID) bool {
	t := s.talkOf(id)
	if t == nil {
		return s.sleep(s.promises.lapse(id))
	}
	heard := t.recalls.ask()
	late := time.NewTimer(s.c.PromiseTerm)
	defer late.Stop()
	select {
	case <-heard:
		return true
	case <-s.stopping:
		return false
	case <-t.ctx.Done():
	case <-late.C:
		s.c.Log.Warn("a mount does not say that it has heard of a change, its stream is ended", "session", uint64(id), "client", t.sess.Client)
		t.end()
	}
	return s.sleep(t.relies())
}

// talkOf is the newest stream of a session, nil if it has none.
func (s *Server) talkOf(id session.ID) *talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	var newest *talk
	for t := range s.talks {
		if t.sess.ID == id && (newest == nil || t.epoch > newest.epoch) {
			newest = t
		}
	}
	return newest
}

// sleep returns at that time, or false if the server shuts down before.
func (s *Server) sleep(until time.Time) bool {
	wait := time.NewTimer(time.Until(until))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-s.stopping:
		return false
	}
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// waitOlder waits for the calls of the session's streams that were overtaken.
func (t *talk) waitOlder(p *place) bool {
	for _, idle := range t.older {
		select {
		case <-idle:
			continue
		default:
		}
		p.leave()
		select {
		case <-idle:
		case <-t.s.stopping:
			return false
		}
	}
	return true
}

// awaitReturn waits, after a start, until no mount can rely on what a server
// promised that was here before.
func (t *talk) awaitReturn(p *place) bool {
	const often = 20 * time.Millisecond
	for time.Since(t.s.started) < t.s.c.PromiseTerm && t.s.sessions.Away() > 0 {
		p.leave()
		if !t.s.sleep(time.Now().Add(often)) {
			return false
		}
	}
	return true
}
