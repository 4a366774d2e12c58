package fuse

import (
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// inoSet is a set of inodes: the few of which a mount remembers something. The
// zero value is empty and ready; it is safe for concurrent use.
type inoSet struct {
	mu  sync.RWMutex
	set map[posix.Ino]struct{}
}

func (s *inoSet) has(ino posix.Ino) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.set[ino]
	return ok
}

func (s *inoSet) add(ino posix.Ino) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = make(map[posix.Ino]struct{})
	}
	s.set[ino] = struct{}{}
}

func (s *inoSet) remove(ino posix.Ino) {
	if !s.has(ino) { // as almost always
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, ino)
}

// see is told of all attributes that go to the kernel: a write by a stranger
// has to look only at files that were last seen with a set-id bit.
func (s *server) see(a posix.Attr) {
	switch is := a.Mode.IsReg() && a.Mode&(posix.SetUID|posix.SetGID) != 0; {
	case !is:
		s.setid.remove(a.Ino)
	case !s.setid.has(a.Ino):
		s.setid.add(a.Ino)
	}
}
