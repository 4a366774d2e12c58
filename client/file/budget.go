package file

import (
	"container/list"
	"context"
	"sync"
)

// budget is the memory that buffered writes may take, in bytes. It is
// overdrawn by force only. Who finds too little waits in line, so that no file that is
// written fast starves the others.
type budget struct {
	limit int64
	short func() // called, without locks, when someone begins to wait

	mu     sync.Mutex
	used   int64
	given  int64     // bytes ever given back
	queue  list.List // of *claim, in order of arrival
	counts int64     // how often someone had to wait
	ended  error     // why there is nothing to wait for any more
}

// claim is one who waits.
type claim struct {
	n    int64
	done chan struct{} // closed when granted or failed
	err  error
}

// try takes n bytes if they are there and nobody waits.
func (b *budget) try(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.Len() > 0 || b.used+n > b.limit || b.ended != nil {
		return false
	}
	b.used += n
	return true
}

// force takes n bytes for one who must not wait, whether they are there or not.
func (b *budget) force(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
}

// take waits for n bytes, at most limit. It answers ctx's error, or the reason
// why no memory can come free.
func (b *budget) take(ctx context.Context, n int64) error {
	if b.try(n) {
		return nil
	}
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	c := &claim{n: n, done: make(chan struct{})}
	e := b.queue.PushBack(c)
	b.counts++
	b.grant()
	b.mu.Unlock()
	b.short()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.done: // granted meanwhile: hand it on
		if c.err == nil {
			b.used -= n
			b.grant()
		}
	default:
		b.queue.Remove(e)
		b.grant() // a smaller claim may stand behind it
	}
	return ctx.Err()
}

// give returns n bytes.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.given += n
	if b.used < 0 {
		panic("file: more memory given back than was taken")
	}
	b.grant()
}

// grant serves the line as far as the memory goes.
func (b *budget) grant() {
	for e := b.queue.Front(); e != nil; e = b.queue.Front() {
		c := e.Value.(*claim)
		if b.used+c.n > b.limit {
			return
		}
		b.used += c.n
		b.queue.Remove(e)
		close(c.done)
	}
}

// fail answers all who wait with err.
func (b *budget) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := b.queue.Front(); e != nil; e = b.queue.Front() {
		c := b.queue.Remove(e).(*claim)
		c.err = err
		close(c.done)
	}
}

// end fails all who wait and who would wait from now on.
func (b *budget) end(err error) {
	b.mu.Lock()
	b.ended = err
	b.mu.Unlock()
	b.fail(err)
}

// waiting reports whether someone waits, and how much was ever given back.
func (b *budget) waiting() (bool, int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Len() > 0, b.given
}

// taken is how much is in use.
func (b *budget) taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// state is how much is in use, and how much was ever given back.
func (b *budget) state() (used, given int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.given
}
