package file

import (
	"errors"
	"slices"

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
// life is the session's, where the mount has several: then the others' handles
// are as good as before, and so is what can be committed through them. Nil is
// the only one.
//
// It takes no lock that is held over a call of the server.
func (f *Files) Lost(life *posix.Life) {
	if life == nil {
		life = &f.life
		life.Lose()
	}
	for _, i := range f.all() {
		i.lose(life)
	}
}

// lose is Lost for one file. A flush that is under way finds nothing left.
func (i *inode) lose(life *posix.Life) {
	i.mu.Lock()
	defer i.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(i.writers), func(h *Handle) bool { return h.life == life })
	if i.writers != nil && len(others) > 0 {
		i.writers = others
		i.suspect()
		return
	}
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
func (h *Handle) stale() bool { return h.era != h.life.Lost() }

// as is as for what went through h: whatever a call of a lost session answered,
// the reason is that.
func (h *Handle) as(op string, err error) error {
	if err != nil && h.stale() {
		return posix.E(op, posix.ESTALE, errLost)
	}
	return as(op, err)
}
