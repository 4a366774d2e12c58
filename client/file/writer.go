package file

import (
	"context"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// Where a mount has several sessions, a file may be open for writing in more
// than one. What is buffered is then committed through a handle of the session
// that wrote last, and what another wrote before is committed before that one's
// first bytes are taken: so each commit is by who wrote what is in it. Only
// what can't be committed so, because that session is refused by now, goes
// through another that has the file open for writing too: the bytes were
// written by one who had the right, and the others must not wait for him.

// handover has what another session wrote committed before h writes. How that
// ends is told by a flush, as always.
func (h *Handle) handover(ctx context.Context) {
	i := h.i
	i.mu.RLock()
	same := i.wroteBy == h.life
	i.mu.RUnlock()
	if same { // as almost always
		return
	}
	i.mu.Lock()
	clean := i.end == 0
	if clean {
		i.wroteBy = h.life
	}
	i.mu.Unlock()
	if clean {
		return
	}
	_ = i.kick(true, false).wait(ctx)
	i.mu.Lock()
	i.wroteBy = h.life
	i.mu.Unlock()
}

// writer is the handle through which the file is committed: the newest of the
// session that wrote, or of another that is not shunned; nil if there is none.
func (i *inode) writer() *Handle {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var best *Handle
	for _, h := range slices.Backward(i.writers) {
		switch {
		case slices.Contains(i.shunned, h.life):
		case h.life == i.wroteBy:
			return h
		case best == nil:
			best = h
		}
	}
	if best == nil && len(i.writers) > 0 {
		return i.writers[len(i.writers)-1]
	}
	return best
}

// shun notes, for this round, that the session of h is refused, and reports
// whether there is another to try.
func (i *inode) shun(h *Handle, err error) bool {
	switch posix.ErrnoOf(err) {
	case posix.EACCES, posix.EKEYEXPIRED, posix.EKEYREVOKED, posix.ESTALE, posix.EBADF, posix.EHOSTDOWN:
	default:
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.Contains(i.shunned, h.life) {
		i.shunned = append(i.shunned, h.life)
	}
	return slices.ContainsFunc(i.writers, func(x *Handle) bool { return !slices.Contains(i.shunned, x.life) })
}

// shunNone begins a round.
func (i *inode) shunNone() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.shunned = nil
}
