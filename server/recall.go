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
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *recalls) take() (changes []namespace.Change, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes, all = r.waiting, r.all
	r.waiting, r.all = nil, false
	return changes, all
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
	changes, all := t.recalls.take()
	if all {
		return t.st.SendMsg(&proto.ToClient{Body: &proto.ToClient_Recall{Recall: &proto.Recall{Everything: true}}})
	}
	for batch := range slices.Chunk(changes, recallBatch) {
		r := new(proto.Recall)
		for _, c := range batch {
			t.seen(r, c)
		}
		if len(r.Changes) == 0 && !r.Everything {
			continue // outside of what the mount sees
		}
		if err := t.st.SendMsg(&proto.ToClient{Body: &proto.ToClient_Recall{Recall: r}}); err != nil {
			return err
		}
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
