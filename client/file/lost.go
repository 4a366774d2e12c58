package file

import (
	"errors"

	"github.com/wardfs/wardfs/posix"
)

// errLost is why a handle is stale.
var errLost = errors.New("the server has forgotten the session in which the file was opened")

// Lost notes that the server knows the session no more, so that every handle is
// stale from now on: reads and writes through it answer ESTALE. What was not
// committed is dropped, for others may have changed the file and the locks are
// gone; each handle that was open then is told once, by its next Flush, Sync or
// Close, with EIO. What is known of attributes and layouts is forgotten. Files
// that are opened afterwards are as good as ever.
//
// It takes no lock that is held over a call of the server.
func (f *Files) Lost() {
	f.era.Add(1)
	for _, i := range f.all() {
		i.lose()
	}
}

// lose is Lost for one file. A flush that is under way finds nothing left.
func (i *inode) lose() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.era++
	i.writers, i.failing = nil, nil
	if i.end != 0 {
		err := posix.E("flush", posix.EIO, errLost)
		i.errs.record(err)
		i.discard(err)
	}
	i.suspect()
}

// stale reports whether the handle is one of a session that was lost.
func (h *Handle) stale() bool { return h.era != h.i.f.era.Load() }

// as is as for what went through h: whatever a call of a lost session answered,
// the reason is that.
func (h *Handle) as(op string, err error) error {
	if err != nil && h.stale() {
		return posix.E(op, posix.ESTALE, errLost)
	}
	return as(op, err)
}
