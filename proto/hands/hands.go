// Package hands keeps goroutines for the calls of both ends of the wire. It
// knows nothing of what they do, and bounds nothing: who must wait for room
// waits before.
package hands

import (
	"sync"
	"sync/atomic"
)

// Hands do work in goroutines that stay for more of it. What a call needs of
// stack is far more than a fresh goroutine has, and to grow it, in steps, takes
// longer than many a call does.
type Hands struct {
	work chan func()
	idle atomic.Int32
}

// mostIdle is how many wait for work at most.
const mostIdle = 32

// New has none yet.
func New() *Hands { return &Hands{work: make(chan func())} }

// Do runs f beside the caller, counted in running. Who waits for work ends with
// done.
func (h *Hands) Do(running *sync.WaitGroup, done <-chan struct{}, f func()) {
	select {
	case h.work <- f:
		return
	default:
	}
	running.Go(func() {
		for f != nil {
			f()
			f = h.next(done)
		}
	})
}

// next is more work, or nil.
func (h *Hands) next(done <-chan struct{}) (f func()) {
	defer h.idle.Add(-1)
	if h.idle.Add(1) > mostIdle {
		return nil
	}
	select {
	case f = <-h.work:
	case <-done:
	}
	return f
}
