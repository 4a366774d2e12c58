package file

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/wardfs/wardfs/posix"
)

const (
	// maxCommit is how many extents the server takes in one commit.
	maxCommit = 4096
	// tries is how often one flush tries where sending all anew may help.
	tries = 4
	// staleAfter is how old an upload may be when it is committed. The server
	// collects blocks that no file names after an hour.
	staleAfter = 30 * time.Minute
)

// round is one flush of a file. Those who ask for one while another is under
// way share the next.
type round struct {
	all    bool   // open slices too; else only those that are closed
	told   bool   // someone waits who will tell the error to his caller
	sealed bool   // it has been settled what belongs to it
	writes uint64 // i.writes at that moment,
	era    uint64 // and i.era
	done   chan struct{}
	err    error // once done is closed
}

// kick sees to it that what was written until now is flushed: all of it, or
// just the closed slices. told says that the caller waits and reports.
func (i *inode) kick(all, told bool) *round {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.running
	switch {
	case r == nil:
		r = &round{done: make(chan struct{})}
		i.running = r
		r.all = all
		if !i.f.spawn(func() { i.run(r) }) {
			i.running = nil
			r.finish(posix.E("flush", posix.ECANCELED, nil))
			return r
		}
	case !r.sealed || r.era == i.era && (r.all && r.writes == i.writes || !all):
	default:
		if i.next == nil {
			i.next = &round{done: make(chan struct{})}
		}
		r = i.next
	}
	if !r.sealed {
		r.all = r.all || all
	}
	r.told = r.told || told
	return r
}

// nudge starts a flush unless one is under way.
func (i *inode) nudge(all bool) {
	i.mu.RLock()
	idle := i.running == nil
	i.mu.RUnlock()
	if idle {
		i.kick(all, false)
	}
}

// wait answers the round's error, or EINTR; the round goes on in that case.
func (r *round) wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *round) finish(err error) {
	r.err = err
	close(r.done)
}

// run flushes round after round until nobody asks for more.
func (i *inode) run(r *round) {
	for r != nil {
		err := i.order.lock(i.f.ctx)
		if err == nil {
			err = i.turn(i.f.ctx, r)
			i.order.unlock()
		}
		i.mu.Lock()
		i.running, i.next = i.next, nil
		next := i.running
		i.mu.Unlock()
		r.finish(err)
		r = next
	}
}

// turn is one round, as soon as not too many are under way. i.order is held.
func (i *inode) turn(ctx context.Context, r *round) error {
	err := i.f.rounds.lock(ctx)
	if err == nil {
		i.shunNone()
		err = i.flush(ctx, r)
		i.f.rounds.unlock()
	}
	i.conclude(r, err)
	return err
}

// conclude takes note of how a round ended. An error is recorded for every
// open handle if someone is about to be told of it, or if it is final; one
// that is neither is only a delay. What was to be flushed before the session
// was lost is gone, and has an error of its own. i.order is held.
func (i *inode) conclude(r *round, err error) {
	waits, _ := i.f.memory.waiting()
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil || r.sealed && r.era != i.era {
		i.failing = nil
		return
	}
	i.f.log.Warn("flush failed", "ino", i.ino, "errno", posix.ErrnoOf(err), "err", err)
	if r.told || final(err) && i.failing == nil {
		i.errs.record(err)
	}
	if !final(err) {
		return
	}
	i.failing = err
	if waits {
		i.discard(err)
		i.lost = i.errs.seq
	}
}

// discard drops all dirty data for good. i.mu is held, and i.order unless the
// session was lost.
func (i *inode) discard(err error) {
	i.f.log.Error("delayed writes dropped", "ino", i.ino, "bytes", i.covered(), "errno", posix.ErrnoOf(err))
	i.cut(0, math.MaxUint64)
	i.failing = nil
}

// final reports whether it is no use to send the same again soon.
func final(err error) bool {
	switch posix.ErrnoOf(err) {
	case posix.ENOSPC, posix.EDQUOT, posix.EFBIG, posix.EBADF, posix.ESTALE, posix.EROFS,
		posix.EACCES, posix.EPERM, posix.EINVAL, posix.EIO, posix.EKEYEXPIRED, posix.EKEYREVOKED:
		return true
	}
	return false
}

// anew reports whether it may help to send the same bytes under other names at
// once: the store was restarted and has lost blocks that were not synced
// (EAGAIN of a commit), a disk has failed on one of them (EIO), another client
// has covered a slice between two commits and it was freed (EINVAL).
func anew(err error) bool {
	switch posix.ErrnoOf(err) {
	case posix.EAGAIN, posix.EIO, posix.EINVAL:
		return true
	}
	return false
}

// flush stores and commits what is dirty. Data that could not be committed
// stays dirty. i.order is held.
func (i *inode) flush(ctx context.Context, r *round) error {
	for try := 1; ; try++ {
		batch, since := i.seal(r)
		if len(batch) == 0 {
			return nil
		}
		h := i.writer()
		if h == nil {
			return posix.E("flush", posix.EBADF, nil)
		}
		err := i.give(ctx, h, batch)
		if err != nil && i.shun(h, err) {
			try = 0
			continue
		}
		switch err {
		case nil:
			i.aged(r, since)
			return nil
		case errMoved: // others make progress, and so will this one
			try = 0
			continue
		}
		if try == tries || ctx.Err() != nil || !anew(err) {
			return err
		}
	}
}

// give makes the batch part of the file.
func (i *inode) give(ctx context.Context, h *Handle, batch map[posix.SliceID]*slice) error {
	blocks, ok, err := i.bring(batch)
	if err == nil && !ok {
		err = i.store(ctx, h, batch)
	}
	if err != nil {
		return err
	}
	return i.commit(ctx, h, batch, blocks)
}

// seal settles what the round flushes: the slices that are closed, after it
// has closed the open ones if all are asked for. since is when.
func (i *inode) seal(r *round) (batch map[posix.SliceID]*slice, since time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep()
	r.all = r.all || i.tail.on
	r.sealed, r.writes, r.era = true, i.writes, i.era
	i.full = 0
	batch = make(map[posix.SliceID]*slice, len(i.slices))
	for key, s := range i.slices {
		if !s.closed && !r.all {
			continue
		}
		if !s.closed {
			s.closed, s.chunk.open = true, nil
			s.blocks[len(s.blocks)-1].sealed = true
		}
		batch[key] = s
	}
	i.sever()
	return batch, i.f.now()
}

// aged notes that what is still dirty after a whole round is younger than it.
func (i *inode) aged(r *round, since time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.all && i.end != 0 {
		i.f.noteDirty(i, since)
	}
}

// commit makes the stored slices part of the file, as far as newer writes have
// not covered them meanwhile, or brings their blocks itself. Where the outcome of a commit is not known its
// slices are renamed: the server may have named, covered and collected them by
// the time of the next attempt.
func (i *inode) commit(ctx context.Context, h *Handle, batch map[posix.SliceID]*slice, blocks []posix.Inline) error {
	inline := len(blocks) > 0
	all, appended := i.extentsOf(batch)
	for len(all) > 0 {
		c := posix.Commit{Extents: i.named(all[:min(len(all), maxCommit)], batch)}
		c.Inline, blocks = brought(c.Extents, blocks)
		i.mu.RLock()
		c.Mtime = i.wrote
		i.mu.RUnlock()
		a, err := h.ns.Commit(ctx, h.id, c)
		if err != nil {
			i.swept()
			i.rename(batch)
			return err
		}
		i.f.stats.commits.Add(1)
		i.committed(a, c.Extents, batch)
		all = all[len(c.Extents):]
	}
	err := i.commitTail(ctx, h, appended, batch, blocks)
	i.swept()
	if err != nil && (err != errMoved || inline) { // what was brought may be known by now
		i.rename(batch)
	}
	return err
}

func (i *inode) swept() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep()
}

// extentsOf answers the dirty extents of the batch, in order of offset, and
// apart from them those that were appended.
func (i *inode) extentsOf(batch map[posix.SliceID]*slice) (all, appended posix.Map) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, c := range i.chunks {
		for _, e := range c.dirty {
			if batch[e.Slice.ID] != nil {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, byOffset)
	n := len(all)
	if i.tail.on {
		n, _ = slices.BinarySearchFunc(all, i.tail.base, func(e posix.Extent, off uint64) int { return cmp.Compare(e.Off, off) })
	}
	return all[:n], all[n:]
}

// byOffset is the order of extents in a file.
func byOffset(a, b posix.Extent) int { return cmp.Compare(a.Off, b.Off) }

// named answers the extents as the server knows them: with the names under
// which the slices were stored, and their lengths.
func (i *inode) named(m posix.Map, batch map[posix.SliceID]*slice) posix.Map {
	out := slices.Clone(m)
	for k := range out {
		s := batch[out[k].Slice.ID]
		out[k].Slice = posix.Slice{File: i.ino, ID: s.id, Len: s.size}
	}
	return out
}

// committed moves extents from the dirty side to the layout.
func (i *inode) committed(a posix.Attr, done posix.Map, batch map[posix.SliceID]*slice) {
	lo, hi := done[0].Off, done[len(done)-1].End()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.adoptOwn(a, func(l *layout) { l.lay(done) })
	for index, c := range i.chunks {
		if start := index * posix.ChunkSize; start >= hi || start+posix.ChunkSize <= lo {
			continue
		}
		// What the batch still has within [lo, hi) was in done: its slices
		// are closed, so its extents can only have been cut since.
		c.dirty = slices.DeleteFunc(c.dirty, func(e posix.Extent) bool {
			return batch[e.Slice.ID] != nil && e.Off >= lo && e.Off < hi
		})
	}
	i.recount()
}

// damaged logs one line about a block that is damaged, once for each.
func (f *Files) damaged(id posix.BlockID, err error) {
	f.mu.Lock()
	known := f.bad[id]
	if len(f.bad) < maxBad {
		f.bad[id] = true
	}
	f.mu.Unlock()
	if !known {
		f.log.Error("block is damaged", "block", id.String(), "err", err)
	}
}
