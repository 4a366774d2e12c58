package session

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

const (
	// soonAfter is how long a close may wait for others to go with it,
	soonAfter = 5 * time.Millisecond
	// and soonMost how many go together.
	soonMost = 256
)

// soon are handles to be closed for which nobody waits.
type soon struct {
	mu      sync.Mutex
	waiting map[closer][]uint64
}

// closer is for whom a handle is closed, as far as the audit log wants to know.
type closer struct {
	uid   posix.UID
	gid   posix.GID
	super bool
}

// CloseSoon closes a handle in a moment, together with others. Whoever reads
// many small files closes as often as he opens, and waits for the opens alone.
func (s *Session) CloseSoon(cred posix.Cred, h posix.Handle) {
	who := closer{cred.UID, cred.GID, cred.Super}
	s.mu.Lock()
	if t, ok := s.tickets[h]; ok {
		t.closing = true
		s.tickets[h] = t
	}
	s.mu.Unlock()
	s.soon.mu.Lock()
	defer s.soon.mu.Unlock()
	if s.soon.waiting == nil {
		s.soon.waiting = map[closer][]uint64{}
	}
	list := append(s.soon.waiting[who], uint64(h))
	s.soon.waiting[who] = list
	switch len(list) {
	case 1:
		time.AfterFunc(soonAfter, func() { s.closeWaiting(who) })
	case soonMost:
		go s.closeWaiting(who)
	}
}

// closeWaiting closes what waits for who. What a closed or lost session had
// open is closed with it.
func (s *Session) closeWaiting(who closer) {
	s.soon.mu.Lock()
	list := s.soon.waiting[who]
	delete(s.soon.waiting, who)
	s.soon.mu.Unlock()
	s.mu.Lock()
	together := s.closes
	s.mu.Unlock()
	s.tellReopened() // of which the server must know the handles yet
	cred := posix.Cred{UID: who.uid, GID: who.gid, Super: who.super}
	for len(list) > 0 {
		m := &proto.Close{Handle: list[0]}
		list = list[1:]
		if together {
			n := min(len(list), proto.MaxCloses)
			m.More, list = list[:n], list[n:]
		}
		_, _ = s.Call(context.Background(), "close", cred, &proto.Call{Op: &proto.Call_Close{Close: m}}, false)
	}
}
