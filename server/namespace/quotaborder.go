package namespace

import (
	"github.com/wardfs/wardfs/posix"
)

// The tags of names obey one rule: the tag of an inode is that of the
// directory which its name is in, or of one of them if it has several. For a
// directory with a quota, which bears its own number, that holds of rule.up.
// The exceptions are what lies in a directory that has a record under keyRetag:
// its children are being tagged like itself, and whoever gives a directory
// another tag makes such a record.

// retag gives n another tag, and has all that is below follow.
func (x *txn) retag(n *inode, tag posix.Ino) {
	n.quota, n.dirty = tag, true
	if n.Mode.IsDir() && n.Size > 0 {
		x.tx.Put(retagKey(n.Ino), encodeCount(0))
	}
}

// outer is the tag of those above n, as far as n knows.
func (q *quotas) outer(n *inode) posix.Ino {
	if n.Mode.IsDir() && q.live(n.Ino) {
		return q.table[QuotaID{QuotaDir, uint64(n.Ino)}].up
	}
	return n.quota
}

// nearest is the directory with a quota that d is or is below of, 0 if none:
// what d's tag will be once all is counted.
func (s *snap) nearest(d *inode) (posix.Ino, error) {
	for !s.t.quotas.live(d.Ino) {
		if d.Ino == posix.RootIno {
			return 0, nil
		}
		up, err := s.inode(d.parent)
		if err != nil {
			return 0, err
		}
		d = up
	}
	return d.Ino, nil
}

// border answers EXDEV if a name can't go from directory from to directory to,
// which differ in their quotas.
func (x *txn) border(from, to *inode) error {
	if from.quota == to.quota {
		return nil
	}
	if !x.t.quotas.counting.Load() {
		return posix.EXDEV
	}
	a, err := x.nearest(from)
	if err != nil {
		return err
	}
	b, err := x.nearest(to)
	if err == nil && a != b {
		err = posix.EXDEV
	}
	return err
}

// settled gives n, which has just been named in d, a tag that it may have
// there: it brings another one along only while things are being counted. It
// may have been there before, and is then at another place, which the counting
// may have passed.
func (x *txn) settled(d, n *inode, before bool) error {
	q := &x.t.quotas
	switch {
	case !q.on || q.outer(n) == d.quota:
		return nil
	case n.Mode.IsDir() && q.live(n.Ino) && before:
		x.tx.Put(retagKey(d.Ino), encodeCount(0))
		return nil
	case n.Mode.IsDir() && q.live(n.Ino):
		return posix.EXDEV // what is below would have to be counted again
	case !n.Mode.IsDir() && n.Nlink > 1:
		return x.rehome(n)
	}
	x.free = true
	x.retag(n, d.quota)
	return nil
}

// mayLink asks whether n may get another name, in d.
func (x *txn) mayLink(d, n *inode) error {
	if !x.t.quotas.on || n.quota == d.quota || n.Nlink == 0 {
		return nil
	}
	dir, _, err := x.somewhere(n)
	if err != nil {
		return err
	}
	from, err := x.inode(dir)
	if err != nil {
		return err
	}
	return x.border(from, d)
}

// rehome gives n, which has or had several names, the tag of one of their
// directories, unless it has it already. It may have had names on both sides
// of a border before there was one.
func (x *txn) rehome(n *inode) error {
	if !x.t.quotas.on || n.Mode.IsDir() {
		return nil
	}
	if n.parent != 0 {
		d, err := x.inode(n.parent)
		if err == nil && d.quota != n.quota {
			x.free = true
			x.retag(n, d.quota)
		}
		return err
	}
	first, last, found := posix.Ino(0), posix.Ino(0), false
	var bad error
	err := x.links(n.Ino, func(k, _ []byte) bool {
		dir := posix.Ino(second(k))
		if dir == last {
			return true
		}
		var d *inode
		if d, bad = x.inode(dir); bad != nil {
			return false
		}
		if last == 0 {
			first = d.quota
		}
		last, found = dir, d.quota == n.quota
		return !found
	})
	if err == nil {
		err = bad
	}
	if err == nil && last != 0 && !found {
		x.free = true
		x.retag(n, first)
	}
	return err
}
