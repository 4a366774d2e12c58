package namespace

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

const (
	// layoutExtents bounds one answer of Layout: about 200 KiB on the wire.
	layoutExtents = 4096
	// CommitExtents is how many extents one Commit may have (E2BIG): the
	// client splits what is more.
	CommitExtents = 1 << 16
)

// sliceName is what is unique of a slice.
type sliceName struct {
	file posix.Ino
	id   posix.SliceID
}

func nameOf(s posix.Slice) sliceName { return sliceName{s.File, s.ID} }

// slice is what a transaction knows of one slice's references.
type slice struct {
	posix.Slice
	ref
	was ref // before the transaction
}

// extents calls f for those of ino that reach beyond lo, in order, until one
// begins at or after hi or f answers false.
func (s *snap) extents(ino posix.Ino, lo, hi uint64, f func(posix.Extent) bool) error {
	var bad error
	err := s.r.Scan(extentsAfter(ino, lo), key8(keyExtent, uint64(ino)+1), func(k, v []byte) bool {
		e, err := decodeExtent(second(k), v)
		if err != nil {
			bad = fmt.Errorf("inode %d: %w", ino, err)
			return false
		}
		return e.Off < hi && f(e)
	})
	if err == nil {
		err = bad
	}
	return err
}

// layout answers at most n extents of [lo, hi), and where the answer ends.
func (s *snap) layout(ino posix.Ino, lo, hi uint64, n int) (m []posix.Extent, end uint64, err error) {
	end = hi
	err = s.extents(ino, lo, hi, func(e posix.Extent) bool {
		if len(m) == n {
			end = e.Off
			return false
		}
		m = append(m, e.Cut(lo, hi))
		return true
	})
	return m, end, err
}

// Layout may be asked through any handle of a file: writing part of a sealed
// block means reading it. Which bytes may be read, a capability says.
func (v View) Layout(ctx context.Context, h posix.Handle, off, length uint64) (m []posix.Extent, end uint64, err error) {
	f, err := v.t.opens.get(v.sess, h)
	if err != nil {
		return nil, 0, wrap("layout", err)
	}
	if off > posix.FileSizeMax {
		return nil, 0, posix.E("layout", posix.EINVAL, nil)
	}
	err = v.view(ctx, "layout", func(s *snap) error {
		n, err := s.inode(f.ino)
		if err != nil {
			return err
		}
		if !n.Mode.IsReg() {
			return posix.EINVAL
		}
		m, end, err = s.layout(f.ino, off, off+min(length, posix.FileSizeMax), layoutExtents)
		return err
	})
	return m, end, err
}

// Commit checks everything before it changes anything. A slice that another
// extent names with another length, that was written for another file, or
// that was named once and is no more, is EINVAL: its blocks may be gone.
func (v View) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	f, err := v.t.opens.get(v.sess, h)
	switch {
	case err != nil:
	case !f.may(posix.OpenWrite):
		err = posix.EBADF
	case len(c.Extents) > CommitExtents:
		err = posix.E2BIG
	case c.Mtime.Nsec >= 1e9:
		err = posix.EINVAL
	}
	for _, e := range c.Extents {
		if err != nil {
			break
		}
		if bad := e.Check(); bad != 0 {
			err = bad
		} else if !e.Hole() && e.Slice.File != f.ino {
			err = posix.EINVAL
		}
	}
	if err == nil {
		err = checkInline(c)
	}
	if err != nil {
		return posix.Attr{}, wrap("commit", err)
	}
	a, _, err := v.update(ctx, opCommit, func(x *txn) (*inode, error) {
		n, err := x.inode(f.ino)
		if err != nil {
			return nil, err
		}
		if !n.Mode.IsReg() {
			return nil, posix.EINVAL
		}
		return n, x.commit(n, c)
	})
	return a, err
}

// Wasteful answers whether the file of h stores what it does not cover: then
// compacting it may make room.
func (v View) Wasteful(ctx context.Context, h posix.Handle) (ino posix.Ino, wasteful bool) {
	f, err := v.t.opens.get(v.sess, h)
	if err != nil {
		return 0, false
	}
	err = v.view(ctx, "commit", func(s *snap) error {
		n, err := s.inode(f.ino)
		wasteful = err == nil && n.dead > 0
		return err
	})
	return f.ino, err == nil && wasteful
}

func (x *txn) commit(n *inode, c posix.Commit) error {
	if c.Append && (len(c.Extents) == 0 || c.Extents[0].Off != n.Size) {
		return posix.ERANGE
	}
	for _, e := range c.Extents {
		if err := x.lay(n, e); err != nil {
			return err
		}
	}
	if err := x.bring(n, c.Inline); err != nil {
		return err
	}
	x.wrote(n)
	if c.Mtime != (posix.Time{}) {
		n.Mtime = c.Mtime
	}
	return nil
}

// wrote does to n what goes with every change of its bytes by a write.
func (x *txn) wrote(n *inode) {
	n.Mtime = x.now
	n.Mode = x.v.written(n)
	x.dropCaps(n)
	x.touch(n)
	x.told(ChangeAttr|ChangeData, n)
}

// lay puts e over what the file is made of. What lies at or beyond the size
// is nothing, so that an append reads no extent.
func (x *txn) lay(n *inode, e posix.Extent) error {
	if e.Off < n.Size {
		if err := x.clear(n, e.Off, e.End()); err != nil {
			return err
		}
	}
	n.Size = max(n.Size, e.End())
	if e.Hole() {
		return nil
	}
	if e.Len < smallExtent && n.Size > smallExtent || e.Slice.Len-e.Len >= deadMin {
		x.ragged = n.Ino // the latter is stored and not charged
	}
	s, err := x.slice(e.Slice)
	if err != nil {
		return err
	}
	if s.was.count == 0 {
		// It is new, or it was named earlier in this very commit.
		if _, ok, err := x.r.Get(sliceKey(keyFreed, e.Slice)); ok || err != nil {
			if ok {
				err = posix.EINVAL
			}
			return err
		}
	}
	x.put(n, e)
	return nil
}

// put names e's slice by an extent where nothing is.
func (x *txn) put(n *inode, e posix.Extent) {
	x.tx.Put(extentKey(n.Ino, e.End()), encodeExtent(e))
	n.Alloc += uint64(e.Len)
	s := x.refs[nameOf(e.Slice)]
	x.grew = x.grew || s.was.count == 0
	s.count++
	s.cover(n, int64(e.Len))
}

// cover counts bytes of s that its own file covers, or does no more, and what
// is dead by it. Other files that share s change neither.
func (s *slice) cover(n *inode, by int64) {
	if s.File == n.Ino {
		n.dead -= s.dead()
		s.own += uint64(by)
		n.dead += s.dead()
	}
}

// clear makes [lo, hi) a hole. An extent that reaches beyond on both sides
// becomes two.
func (x *txn) clear(n *inode, lo, hi uint64) error {
	var over []posix.Extent
	err := x.extents(n.Ino, lo, hi, func(e posix.Extent) bool {
		over = append(over, e)
		return true
	})
	for _, e := range over {
		if err != nil {
			break
		}
		err = x.cut(n, e, lo, hi)
	}
	return err
}

// cut takes [lo, hi) out of extent e.
func (x *txn) cut(n *inode, e posix.Extent, lo, hi uint64) error {
	s, err := x.slice(e.Slice)
	if err != nil {
		return err
	}
	if s.count == 0 {
		return fmt.Errorf("%w: slice %s is named and not counted", errRecord, e.Slice.ID)
	}
	x.tx.Delete(extentKey(n.Ino, e.End()))
	n.Alloc -= uint64(e.Len)
	s.count--
	s.cover(n, -int64(e.Len))
	if e.Off < lo || e.End() > hi || s.count > 0 {
		x.ragged = n.Ino // some of the slice stays, and some is dead
	}
	if e.Off < lo {
		x.put(n, e.Cut(e.Off, lo))
	}
	if e.End() > hi {
		x.put(n, e.Cut(hi, e.End()))
	}
	return nil
}

// slice reads how often s is named; EINVAL if that is with another length.
func (x *txn) slice(s posix.Slice) (*slice, error) {
	if r := x.refs[nameOf(s)]; r != nil {
		if r.Len != s.Len {
			return nil, posix.EINVAL
		}
		return r, nil
	}
	b, ok, err := x.r.Get(sliceKey(keyRef, s))
	if err != nil {
		return nil, err
	}
	r := &slice{Slice: s, ref: ref{len: s.Len, kept: true}}
	if ok {
		was, err := decodeRef(b)
		if err != nil {
			return nil, err
		}
		if was.len != s.Len {
			return nil, posix.EINVAL
		}
		r.was, r.ref = was, was
	}
	if x.refs == nil {
		x.refs = map[sliceName]*slice{}
	}
	x.refs[nameOf(s)] = r
	return r, nil
}

// flushRefs writes back the counts that changed. A slice that lost its last
// name is queued for the collector, also when it had none before.
func (x *txn) flushRefs() {
	for _, s := range x.refs {
		switch {
		case s.count > 0 && s.ref != s.was:
			x.tx.Put(sliceKey(keyRef, s.Slice), s.ref.encode())
		case s.count == 0:
			x.tx.Delete(sliceKey(keyRef, s.Slice))
			x.freed += int64(s.Len)
			x.tx.Put(sliceKey(keyFreed, s.Slice), freed{s.Len, uint64(max(x.now.Sec, 1))}.encode())
		}
	}
}

// resize cuts the file at size, or extends it by a hole.
func (x *txn) resize(n *inode, size uint64) error {
	if size < n.Size {
		if err := x.clear(n, size, n.Size); err != nil {
			return err
		}
	}
	n.Size = size
	if size == 0 {
		n.origins = nil
	}
	return nil
}

// shrink prepares the cutting of ino to size: if there are more extents beyond
// than one transaction should delete, all but the last of them are cut here,
// from the end backwards. check reads the inode if the caller may do so; it is
// asked in each transaction, and nothing happens to what is no file.
func (v View) shrink(ctx context.Context, o op, ino posix.Ino, size uint64, check func(*snap) (*inode, error)) error {
	var at []uint64 // where to cut: each leaves a step of extents less
	err := v.view(ctx, o.String(), func(s *snap) error {
		n, err := check(s)
		if err != nil || !n.Mode.IsReg() || n.Size <= size {
			return nil // the transaction that follows answers the error, unless it replays
		}
		count := 0
		return s.extents(ino, size, n.Size, func(e posix.Extent) bool {
			if count++; count%v.t.step == 0 && e.End() > size {
				at = append(at, e.End())
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	for i := len(at) - 1; i >= 0; i-- {
		done, err := v.cutBack(ctx, o, at[i], check)
		if done || err != nil {
			return wrap(o.String(), err)
		}
	}
	return nil
}

// cutBack cuts the file to at, if it is longer. done says that the operation
// was applied before.
func (v View) cutBack(ctx context.Context, o op, at uint64, check func(*snap) (*inode, error)) (done bool, err error) {
	_, err = v.run(ctx, func(x *txn) error {
		if done, err = x.replay(o); done || err != nil {
			return err
		}
		n, err := check(&x.snap)
		if err != nil || n.Size <= at {
			return err
		}
		return x.setattr(n, posix.SetAttr{Set: posix.SetSize, Size: at})
	})
	return done, err
}
