package fuse

import (
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// known is the little that a mount remembers of the nodes the kernel holds.
// It is bounded by them: the kernel's FORGET removes a node. The zero known is
// ready; it is safe for concurrent use.
type known struct {
	mu sync.Mutex
	// pages has the change attribute under which the pages that the kernel
	// may hold of a file were read.
	pages map[posix.Ino]uint64
	// setid has the files that were last seen with a set-id bit. There are
	// few, and only they need a look before a stranger's write.
	setid map[posix.Ino]struct{}
}

// open is told of a file that is being opened and reports whether the pages
// that the kernel has of it are still right.
func (k *known) open(a posix.Attr) (keep bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	had, ok := k.pages[a.Ino]
	if k.pages == nil {
		k.pages = make(map[posix.Ino]uint64)
	}
	k.pages[a.Ino] = a.Change
	return ok && had == a.Change
}

// see is told of attributes that go to the kernel.
func (k *known) see(a posix.Attr) {
	is := a.Mode.IsReg() && a.Mode&(posix.SetUID|posix.SetGID) != 0
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !is:
		delete(k.setid, a.Ino)
	case k.setid == nil:
		k.setid = make(map[posix.Ino]struct{})
		fallthrough
	default:
		k.setid[a.Ino] = struct{}{}
	}
}

// mayBeSetID reports whether a write by a stranger has bits to clear.
func (k *known) mayBeSetID(ino posix.Ino) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.setid[ino]
	return ok
}

func (k *known) forget(ino posix.Ino) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pages, ino)
	delete(k.setid, ino)
}
