package namespace

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// This file finds what compaction should rewrite, and puts what was rewritten
// in its place. Overlap is resolved when it is committed, so what is left to
// compact is of two kinds: slices that are mostly covered by newer ones and
// still lie whole in the chunk store, and runs of extents so small that a read
// would ask for each.

const (
	smallExtent = 128 << 10 // bytes; runs of smaller ones are merged
	smallRun    = 16        // extents that a run of small ones has at least
	deadMin     = 1 << 20   // bytes that a rewriting gives back at least
	wornMost    = 1 << 15   // extents that are judged at once: twice a chunk of pages
	raggedMax   = 1 << 16   // files that are remembered
)

// ragged remembers which files were written in a way that may need compaction.
// It is a hint, lost at a restart: a file is noted again when it is written.
type ragged struct {
	mu   sync.Mutex
	last map[posix.Ino]time.Time // when it was last written so
}

// note remembers ino, unless too many are remembered.
func (r *ragged) note(ino posix.Ino, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[posix.Ino]time.Time{}
	}
	if _, ok := r.last[ino]; ok || len(r.last) < raggedMax {
		r.last[ino] = now
	}
}

// tellRagged notes the file that the transaction has worn. One that stores
// more in vain than it covers is due at once, for its owner is charged for it.
func (x *txn) tellRagged() {
	if x.ragged == 0 {
		return
	}
	now := x.v.t.cfg.Now()
	for _, n := range x.inodes {
		if n.Ino == x.ragged && n.dead > n.Alloc+deadMin {
			now = time.Time{}
		}
	}
	x.v.t.ragged.note(x.ragged, now)
}

// Ragged takes at most max files off the list of those that may need
// compaction and were not written since before: what is still being written
// would be rewritten in vain.
func (t *Tree) Ragged(before time.Time, max int) (list []posix.Ino) {
	r := &t.ragged
	r.mu.Lock()
	defer r.mu.Unlock()
	for ino, last := range r.last {
		if len(list) == max {
			break
		}
		if last.Before(before) {
			list = append(list, ino)
			delete(r.last, ino)
		}
	}
	return list
}

// Zeal is how much Worn thinks worth rewriting.
type Zeal uint8

// The grades of zeal, each of which finds what the one before does.
const (
	Usual Zeal = iota // slices that are dead by more than half, if that gives back deadMin in a chunk; runs of small extents
	Eager             // any slice that is dead by more than half
	Whole             // any that is not whole: afterwards the file stores what it covers, and no more
)

// Worn answers the extents of one chunk that are worth rewriting as one slice,
// in order of offset: of the first such chunk at or after from. next is where
// to look on; 0 is the end of the file, or of its life. A chunk of more extents
// than wornMost is judged in parts: who commits byte by byte must not make one
// answer, and the transaction that follows it, as large as he likes.
func (t *Tree) Worn(ctx context.Context, ino posix.Ino, from uint64, z Zeal) (worn []posix.Extent, next uint64, err error) {
	err = t.eng.View(ctx, func(r engine.Reader) error {
		s := &snap{t: t, r: r}
		n, err := s.inode(ino)
		if err == posix.ESTALE || err == nil && !n.Mode.IsReg() {
			worn, next = nil, 0
			return nil
		}
		if err != nil {
			return err
		}
		if n.dead > n.Alloc {
			z = max(z, Eager) // it is charged for that
		}
		for next = from; next < n.Size; {
			var found bool
			at := next
			// The first extent from here on says which chunk is next: a sparse
			// file has few.
			if err := s.extents(ino, next, n.Size, func(e posix.Extent) bool { at, found = e.Off, true; return false }); err != nil {
				return err
			}
			if !found {
				break
			}
			lo := max(at/posix.ChunkSize*posix.ChunkSize, next)
			if worn, next, err = s.worn(ino, lo, (lo/posix.ChunkSize+1)*posix.ChunkSize, z); err != nil || len(worn) > 0 {
				return err
			}
		}
		next = 0
		return nil
	})
	return worn, next, wrap("compact", err)
}

// worn judges the chunk [lo, hi), up to end.
func (s *snap) worn(ino posix.Ino, lo, hi uint64, z Zeal) (worn []posix.Extent, end uint64, err error) {
	var all []posix.Extent
	end = hi
	err = s.extents(ino, lo, hi, func(e posix.Extent) bool {
		if len(all) == wornMost {
			end = e.Off
			return false
		}
		all = append(all, e)
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	own := map[sliceName]uint64{}
	var slices []posix.Slice // each once
	for _, e := range all {
		name := nameOf(e.Slice)
		if own[name] == 0 {
			slices = append(slices, e.Slice)
		}
		own[name]++
	}
	// A slice that is named elsewhere too would not go away.
	for _, slice := range slices {
		b, ok, err := s.r.Get(sliceKey(keyRef, slice))
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		r, err := decodeRef(b)
		if err != nil {
			return nil, 0, err
		}
		if r.count != own[nameOf(slice)] {
			delete(own, nameOf(slice))
		}
	}
	return choose(all, z, func(s posix.Slice) bool { return own[nameOf(s)] > 0 }), end, nil
}

// choose picks from the extents of one chunk, which are in order, those to
// rewrite, as z says: all that is left of some slices, and runs of small
// extents.
func choose(all []posix.Extent, z Zeal, own func(posix.Slice) bool) (pick []posix.Extent) {
	live := map[posix.Slice]uint64{}
	for _, e := range all {
		live[e.Slice] += uint64(e.Len)
	}
	dead := map[posix.Slice]bool{}
	var gain uint64
	times := uint64(2)
	if z == Whole {
		times = 1
	}
	for s, n := range live {
		if own(s) && uint64(s.Len) > times*n {
			dead[s] = true
			gain += uint64(s.Len) - n
		}
	}
	if z == Usual && gain < deadMin {
		clear(dead)
	}
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].Len < smallExtent && own(all[j].Slice) && (j == i || all[j-1].End() == all[j].Off) {
			j++
		}
		whole := j-i >= smallRun
		for j = max(j, i+1); i < j; i++ {
			if whole || dead[all[i].Slice] {
				pick = append(pick, all[i])
			}
		}
	}
	return pick
}

// Pack is how the extents of a chunk become those of one slice whose bytes are
// theirs, one after the other: runs without a hole between become one.
func Pack(old []posix.Extent, s posix.Slice) (packed []posix.Extent) {
	var from uint32
	for _, e := range old {
		if k := len(packed) - 1; k >= 0 && packed[k].End() == e.Off {
			packed[k].Len += e.Len
		} else {
			packed = append(packed, posix.Extent{Off: e.Off, Len: e.Len, From: from, Slice: s})
		}
		from += e.Len
	}
	return packed
}

// Repack puts s, which holds the bytes of the extents old one after the other,
// in their place, if they are all still there: done says so. The file does not
// change by it: who has an older layout reads on for Config.FreedAge, and asks
// anew after that.
func (t *Tree) Repack(ctx context.Context, ino posix.Ino, old []posix.Extent, s posix.Slice) (done bool, err error) {
	if len(old) == 0 {
		return false, nil
	}
	_, err = t.As(posix.Cred{Super: true}).run(ctx, func(x *txn) error {
		done = false
		n, err := x.inode(ino)
		if err == posix.ESTALE {
			return nil
		}
		if err != nil {
			return err
		}
		var now []posix.Extent
		if err := x.extents(ino, old[0].Off, old[len(old)-1].End(), func(e posix.Extent) bool { now = append(now, e); return true }); err != nil {
			return err
		}
		for _, e := range old { // both are in order
			for len(now) > 0 && now[0].Off < e.Off {
				now = now[1:]
			}
			if len(now) == 0 || now[0] != e {
				return nil
			}
		}
		for _, e := range old {
			if err := x.cut(n, e, e.Off, e.End()); err != nil {
				return err
			}
		}
		for _, e := range Pack(old, s) {
			if _, err := x.slice(e.Slice); err != nil {
				return err
			}
			x.put(n, e)
		}
		n.dirty, done, x.ragged = true, true, 0
		return nil
	})
	return done, wrap("compact", err)
}

// Retry puts ino on the list again: not all of it was looked at.
func (t *Tree) Retry(ino posix.Ino) { t.ragged.note(ino, time.Time{}) }
