package hands

import (
	"sync"
	"sync/atomic"
	"testing"
)

// All that is to be done is done, by few who stay, and they end when told to.
func TestHands(t *testing.T) {
	h, done := New(), make(chan struct{})
	var running, all sync.WaitGroup
	var did atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 500 {
				var one sync.WaitGroup
				one.Add(1)
				h.Do(&running, done, func() { did.Add(1); one.Done() })
				one.Wait()
			}
		})
	}
	all.Wait()
	if did.Load() != 4000 {
		t.Errorf("%d of 4000 were done", did.Load())
	}
	// Who waits while all are busy gets a hand of its own.
	busy, freed := make(chan struct{}), make(chan struct{})
	for range 2 * mostIdle {
		h.Do(&running, done, func() { busy <- struct{}{}; <-freed })
	}
	for range 2 * mostIdle {
		<-busy
	}
	close(freed)
	close(done)
	running.Wait()
	if n := h.idle.Load(); n != 0 {
		t.Errorf("%d are idle after the end", n)
	}
}
