package file

import (
	"sync"
	"sync/atomic"
)

// hands do work in goroutines that stay for more of it, as the server has them. What a call needs of
// stack is far more than a fresh goroutine has, and to grow it, in steps, takes
// longer than many a call does.
type hands struct {
	work chan func()
	idle atomic.Int32
}

// mostIdle is how many wait for work at most.
const mostIdle = 32

func newHands() *hands { return &hands{work: make(chan func())} }

// do runs f beside the caller, counted in running. Who waits for work ends with
// done.
func (h *hands) do(running *sync.WaitGroup, done <-chan struct{}, f func()) {
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
func (h *hands) next(done <-chan struct{}) (f func()) {
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
