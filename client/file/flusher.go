package file

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// noteDirty notes since when, at most, i has had dirty data.
func (f *Files) noteDirty(i *inode, since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty[i] = since
}

func (f *Files) noteClean(i *inode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.dirty, i)
}

// dirtySince answers the files that have been dirty since t or longer, oldest
// first.
func (f *Files) dirtySince(t time.Time) []*inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*inode, 0, len(f.dirty))
	for i, since := range f.dirty {
		if !since.After(t) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b *inode) int {
		return cmp.Or(f.dirty[a].Compare(f.dirty[b]), cmp.Compare(a.ino, b.ino))
	})
	return out
}

// hurry wakes the flusher because memory is short.
func (f *Files) hurry() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flusher commits what has been dirty for long, and closes what has been parked
// for long.
func (f *Files) flusher() {
	tick := time.NewTicker(max(f.age/4, time.Millisecond))
	defer tick.Stop()
	var idle trimmer
	for {
		select {
		case <-tick.C:
			if idle.due(f.memory.state()) {
				// Twice: a pool forgets what nobody asked for between two collections.
				runtime.GC()
				debug.FreeOSMemory()
			}
			for _, i := range f.dirtySince(f.now().Add(-f.age)) {
				i.nudge(true)
			}
			f.unparkAll(f.now().Add(-parkedFor))
		case <-f.ctx.Done():
			return
		}
	}
}

// trimAfter is how many bytes of buffers must have been used, at least, for
// their memory to be worth giving back to the system, and trimLooks how often
// nothing must have been buffered since: half a minute, at the default. Memory
// that is taken anew costs far more than memory that was kept.
const (
	trimAfter = 32 << 20
	trimLooks = 24
)

// trimmer finds out when a burst of writes is over.
type trimmer struct {
	given   int64 // bytes given back to the budget, at the last look
	trimmed int64 // and when the memory was last given back to the system
	quiet   int   // looks since something was buffered
}

// due is asked now and then, and answers true once after each burst.
func (t *trimmer) due(used, given int64) bool {
	if used != 0 || given != t.given {
		t.given, t.quiet = given, 0
		return false
	}
	if t.quiet++; t.quiet < trimLooks || given-t.trimmed < trimAfter {
		return false
	}
	t.trimmed = given
	return true
}

// reliever commits what takes the memory that others wait for.
func (f *Files) reliever() {
	for {
		select {
		case <-f.wake:
			f.relieve()
		case <-f.ctx.Done():
			return // Shutdown has told those who wait for memory
		}
	}
}

// relieve flushes files, the oldest first, while someone waits for memory. If
// all of them are refused those who wait are answered with the reason: it may
// pass, but they can't wait for ever.
func (f *Files) relieve() {
	for {
		waits, before := f.memory.waiting()
		if !waits || f.ctx.Err() != nil {
			return
		}
		var rounds []*round
		for _, i := range f.dirtySince(f.now()) {
			rounds = append(rounds, i.kick(true, false))
		}
		if len(rounds) == 0 {
			return // what is taken is on its way and belongs to no file any more
		}
		failed, over := f.await(rounds)
		if !over {
			continue
		}
		if _, after := f.memory.waiting(); failed != nil && after == before {
			f.memory.fail(failed)
		}
	}
}

// await waits for the end of the rounds and answers an error of theirs. It is
// over sooner if more memory is asked for: while one file hangs others may have
// got something to flush.
func (f *Files) await(rounds []*round) (failed error, over bool) {
	for _, r := range rounds {
		select {
		case <-r.done:
			failed = cmp.Or(r.err, failed)
		case <-f.wake:
			return nil, false
		case <-f.ctx.Done():
			return nil, false
		}
	}
	return failed, true
}
