package server

import (
	"slices"
	"sync"

	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/namespace"
)

const (
	// recallQueue is how many changes wait for one mount before it is told to
	// forget everything instead.
	recallQueue = 4096
	// recallBatch is how many are told in one message.
	recallBatch = 256
)

// recalls are what a mount is to be told to forget.
type recalls struct {
	wake chan struct{} // there may be some

	mu      sync.Mutex
	waiting []namespace.Change
	all     bool // too many to say them one by one

	// Recalls that are to be answered are numbered: the newest, and the newest
	// that was sent.
	asked, sent uint64
	hearings    []hearing // in order of their numbers
}

// hearing is someone who waits for the answer to a recall, or a later one.
type hearing struct {
	n     uint64
	heard chan struct{}
}

// add notes a change. It never blocks.
func (r *recalls) add(c namespace.Change) {
	r.mu.Lock()
	if len(r.waiting) >= recallQueue {
		r.waiting, r.all = nil, true
	}
	if !r.all {
		r.waiting = append(r.waiting, c)
	}
	r.mu.Unlock()
	r.rouse()
}

// everything makes the mount forget all.
func (r *recalls) everything() {
	r.mu.Lock()
	r.waiting, r.all = nil, true
	r.mu.Unlock()
	r.rouse()
}

func (r *recalls) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take answers what is to be told, and under which number if the mount is to
// say that it has heard.
func (r *recalls) take() (changes []namespace.Change, all bool, ask uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes, all = r.waiting, r.all
	r.waiting, r.all = nil, false
	if r.asked > r.sent {
		r.sent, ask = r.asked, r.asked
	}
	return changes, all, ask
}

// ask has the mount say that it has heard all that is waiting now. What it
// answers is closed then.
func (r *recalls) ask() <-chan struct{} {
	defer r.rouse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == r.sent { // else one that is not sent yet serves
		r.asked++
	}
	h := hearing{r.asked, make(chan struct{})}
	r.hearings = append(r.hearings, h)
	return h.heard
}

// hears notes the mount's answer to the recall of that number, and so to all
// before it. What was not asked is no answer.
func (r *recalls) hears(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.hearings) > 0 && r.hearings[0].n <= min(n, r.sent) {
		close(r.hearings[0].heard)
		r.hearings = r.hearings[1:]
	}
}

// recall tells this mount what others have changed, if no answer comes that
// tells it before.
func (t *talk) recall() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.recalls.wake:
		}
		t.sending.Lock()
		err := t.sendRecalls()
		t.sending.Unlock()
		if err != nil {
			return
		}
	}
}

// sendRecalls sends all that waits; t.sending is held.
func (t *talk) sendRecalls() error {
	changes, all, ask := t.recalls.take()
	tell := func(id uint64, r *proto.Recall) error {
		return t.st.SendMsg(&proto.ToClient{Id: id, Body: &proto.ToClient_Recall{Recall: r}})
	}
	if all {
		return tell(ask, &proto.Recall{Everything: true})
	}
	for batch := range slices.Chunk(changes, recallBatch) {
		r := new(proto.Recall)
		for _, c := range batch {
			t.seen(r, c)
		}
		if len(r.Changes) == 0 && !r.Everything {
			continue // outside of what the mount sees
		}
		if err := tell(0, r); err != nil {
			return err
		}
	}
	if ask != 0 {
		return tell(ask, new(proto.Recall)) // what came before it has been heard too
	}
	return nil
}

// changed passes a change on to every mount but the one that made it: in any of
// its sessions, for these share what they know.
func (s *Server) changed(c namespace.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mount := ""
	for t := range s.talks {
		if namespace.SessionID(t.sess.ID) == c.By {
			mount = t.mount
		}
	}
	for t := range s.talks {
		if namespace.SessionID(t.sess.ID) != c.By && (mount == "" || t.mount != mount) {
			t.recalls.add(c)
		}
	}
}
