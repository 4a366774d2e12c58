// Package gate counts the transactions that are inside an engine, so that
// Close can turn newcomers away and wait for the rest. It knows nothing of
// what they do.
package gate

import (
	"sync"

	"github.com/wardfs/wardfs/server/engine"
)

// Gate is open until Close. The zero Gate is ready for use.
type Gate struct {
	mu     sync.Mutex
	inside int
	empty  chan struct{} // not nil once the gate is shut; closed when inside is 0
}

// Enter answers engine.ErrClosed once the gate is shut. Whoever it let in must
// call Leave.
func (g *Gate) Enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty != nil {
		return engine.ErrClosed
	}
	g.inside++
	return nil
}

// Leave undoes one Enter.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.empty != nil && g.inside == 0 {
		close(g.empty)
	}
}

// Shut lets nobody in any more and waits until all have left. A second Shut
// answers engine.ErrClosed at once.
func (g *Gate) Shut() error {
	g.mu.Lock()
	if g.empty != nil {
		g.mu.Unlock()
		return engine.ErrClosed
	}
	g.empty = make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	<-g.empty
	return nil
}
