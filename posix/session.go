package posix

import "sync/atomic"

// Life is that of one session of a mount, for who keeps what the session owns:
// each time the server has forgotten it, what was opened before is stale.
type Life struct{ lost atomic.Uint64 }

// Lose notes that the server has forgotten the session.
func (l *Life) Lose() { l.lost.Add(1) }

// Lost is how often it has.
func (l *Life) Lost() uint64 { return l.lost.Load() }

// Bound is a Namespace of a mount that has several sessions.
type Bound interface {
	// Life answers whose handles it opens, and how often that session had been
	// lost when the namespace was bound to it; nil before its first call, and
	// where the mount has one session.
	Life() (*Life, uint64)
}

// LifeOf asks ns, if it can say.
func LifeOf(ns Namespace) (*Life, uint64) {
	if b, ok := ns.(Bound); ok {
		return b.Life()
	}
	return nil, 0
}
