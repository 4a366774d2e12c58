package namespace

import (
	"context"
	"fmt"
	"math"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// Reclaim deletes inodes that have no name and are not open, in one
// transaction that deletes about max records. It answers how many it did: 0
// means that there is nothing to do for now. It is meant to be called over
// and over by one goroutine; more do no harm. Before Recovered it does nothing.
func (t *Tree) Reclaim(ctx context.Context, max int) (did int, err error) {
	t.writeAtimes(ctx)
	if t.opens.inGrace() || max <= 0 {
		return 0, nil
	}
	idle, err := t.idle(ctx, max)
	if err != nil || len(idle) == 0 {
		return 0, wrap("reclaim", err)
	}
	_, err = t.As(posix.Cred{Super: true}).run(ctx, func(x *txn) error {
		did = 0
		for _, ino := range idle {
			if did >= max {
				break
			}
			n, err := x.reclaim(ino, max-did)
			if err != nil {
				return fmt.Errorf("orphan %d: %w", ino, err)
			}
			did += n
		}
		return nil
	})
	return did, wrap("reclaim", err)
}

// idle answers at most max orphans that were not open a moment ago, from where
// it stopped the last time.
func (t *Tree) idle(ctx context.Context, max int) (found []posix.Ino, err error) {
	from := posix.Ino(t.sweep.Load())
	end := from == 0
	err = t.eng.View(ctx, func(r engine.Reader) error {
		return r.Scan(orphanKey(from), []byte{keyOrphan + 1}, func(k, _ []byte) bool {
			ino := posix.Ino(first(k))
			if t.opens.idle(ino) {
				found = append(found, ino)
			}
			from = ino + 1
			return len(found) < max
		})
	})
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		t.sweep.Store(uint64(from))
		return found, nil
	}
	t.sweep.Store(0)
	if end {
		return nil, nil
	}
	return t.idle(ctx, max) // once more from the beginning
}

// reclaim deletes at most max records of an orphan, unless it is open now.
func (x *txn) reclaim(ino posix.Ino, max int) (did int, err error) {
	if _, ok, err := x.r.Get(orphanKey(ino)); !ok || err != nil {
		return 0, err
	}
	if !x.doom(ino) {
		return 0, nil
	}
	n, err := x.inode(ino)
	if err != nil {
		return 0, err
	}
	var cut []posix.Extent
	more := false
	err = x.extents(ino, 0, posix.FileSizeMax, func(e posix.Extent) bool {
		more = len(cut) >= max
		cut = append(cut, e)
		return !more
	})
	if err != nil {
		return 0, err
	}
	if more {
		cut = cut[:max]
		x.t.sweep.Store(uint64(ino)) // and go on with it
	}
	for _, e := range cut {
		if err := x.cut(n, e, e.Off, e.End()); err != nil {
			return 0, err
		}
	}
	n.dirty = true
	if more {
		return len(cut), nil
	}
	x.tx.Delete(orphanKey(ino))
	return len(cut) + 1, x.erase(n)
}

// Freed answers at most max slices that no file names any more, since
// Config.FreedAge at least, so that readers with an older layout could go on.
// They come in no order of time and stay listed until Forget.
func (t *Tree) Freed(ctx context.Context, max int) (list []posix.Slice, err error) {
	due := t.cfg.Now().Add(-t.cfg.FreedAge).Unix()
	if t.backlog.Load() > t.cfg.FreedMost {
		due = math.MaxInt64
	}
	err = t.eng.View(ctx, func(r engine.Reader) error {
		var bad error
		err := r.Scan([]byte{keyFreed}, []byte{keyFreed + 1}, func(k, v []byte) bool {
			if len(list) >= max {
				return false
			}
			f, err := decodeFreed(v)
			if bad = err; bad != nil {
				return false
			}
			if int64(f.at) > due {
				return true
			}
			s := posix.Slice{Len: f.len}
			s.File = posix.Ino(first(k))
			copy(s.ID[:], k[len(key8(0, 0)):])
			list = append(list, s)
			return true
		})
		if err == nil {
			err = bad
		}
		return err
	})
	if err != nil {
		return nil, wrap("freed", err)
	}
	return list, nil
}

// Forget takes slices off the list of Freed: their blocks are deleted, and
// here those that lie in the namespace.
func (t *Tree) Forget(ctx context.Context, list []posix.Slice) error {
	bytes := int64(0)
	err := t.eng.Update(ctx, func(tx engine.Tx) error {
		bytes = 0
		for _, s := range list {
			_, ok, err := tx.Get(sliceKey(keyFreed, s))
			if err != nil {
				return err
			}
			if ok {
				bytes += int64(s.Len)
			}
			tx.Delete(sliceKey(keyFreed, s))
			tx.Delete(sliceKey(keyInline, s))
		}
		return nil
	})
	if err == nil {
		t.backlog.Add(-bytes)
	}
	return wrap("forget", err)
}

// Backlog answers whether far more waits to be forgotten than Config.FreedMost:
// then whoever brings more should first see to some of it.
func (t *Tree) Backlog() bool { return t.backlog.Load() > 2*t.cfg.FreedMost }

// loadBacklog counts what waits to be forgotten. What is damaged the collector
// meets, and tells.
func (t *Tree) loadBacklog(r engine.Reader) error {
	return r.Scan([]byte{keyFreed}, []byte{keyFreed + 1}, func(_, v []byte) bool {
		if f, err := decodeFreed(v); err == nil {
			t.backlog.Add(int64(f.len))
		}
		return true
	})
}

// Named reports whether a file names the slice that the block is of, and the
// slice has such a block: what was put beside it under its name nobody can
// commit any more. A block that was uploaded and not committed is not named
// yet, so the caller spares the young.
func (t *Tree) Named(ctx context.Context, id posix.BlockID) (named bool, err error) {
	err = t.eng.View(ctx, func(r engine.Reader) error {
		b, ok, err := r.Get(sliceName{id.File, id.Slice}.key(keyRef))
		if !ok || err != nil {
			named = false
			return err
		}
		f, err := decodeRef(b)
		named = err == nil && id.Index < (posix.Slice{Len: f.len}).Blocks()
		return err
	})
	return named, wrap("named", err)
}
