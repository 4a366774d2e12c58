package disk

import (
	"context"
	"sync"
	"time"
)

// worker runs what can wait: index files, holes, compaction.
type worker struct {
	kick, kickCompact chan struct{}
	ctx               context.Context // ends with the store
	cancel            context.CancelFunc
	done              sync.WaitGroup
}

// lull is how long the worker lets work pile up before it begins, and retry
// how long it waits when the disk had no room or failed.
const (
	lull  = 50 * time.Millisecond
	retry = 10 * time.Second
)

func (w *worker) init() {
	w.kick, w.kickCompact = make(chan struct{}, 1), make(chan struct{}, 1)
	w.ctx, w.cancel = context.WithCancel(context.Background())
}

// wake tells the worker that there is something to do.
func (w *worker) wake() { poke(w.kick) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stop ends the worker and waits for it.
func (w *worker) stop() {
	w.cancel()
	w.done.Wait()
}

// pause waits, and answers false if the store is closed meanwhile.
func (w *worker) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// start runs the worker's two loops: compaction may take minutes, and the
// room of what is deleted meanwhile is wanted at once.
func (s *Store) start() {
	s.work.done.Go(func() {
		for s.waitFor(s.work.kick) && s.work.pause(lull) {
			if !s.maintain(s.work.ctx) {
				time.AfterFunc(retry, s.work.wake)
			}
			poke(s.work.kickCompact)
		}
	})
	s.work.done.Go(func() {
		for s.waitFor(s.work.kickCompact) {
			s.compact()
		}
	})
	s.work.wake()
}

func (s *Store) waitFor(c chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-s.work.ctx.Done():
		return false
	}
}

// maintain does what has piled up, and answers whether all of it worked.
func (s *Store) maintain(ctx context.Context) bool {
	s.chores.Lock()
	defer s.chores.Unlock()
	sealed := s.sealFull()
	err := s.bury(ctx)
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("room of deleted blocks not given back yet", "err", err)
	}
	return sealed && err == nil
}
