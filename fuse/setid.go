package fuse

import (
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// setids are the files that the kernel was last told have a set-id bit. There
// are few, and only they need a look before a stranger's write. A node that
// the kernel forgets goes. The zero value is empty and ready; it is safe for
// concurrent use.
type setids struct {
	mu  sync.RWMutex
	set map[posix.Ino]struct{}
}

// see is told of all attributes that go to the kernel.
func (s *setids) see(a posix.Attr) {
	is := a.Mode.IsReg() && a.Mode&(posix.SetUID|posix.SetGID) != 0
	if is == s.has(a.Ino) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !is:
		delete(s.set, a.Ino)
	case s.set == nil:
		s.set = map[posix.Ino]struct{}{a.Ino: {}}
	default:
		s.set[a.Ino] = struct{}{}
	}
}

func (s *setids) has(ino posix.Ino) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.set[ino]
	return ok
}

func (s *setids) forget(ino posix.Ino) {
	if !s.has(ino) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, ino)
}
