package namespace

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// rename is one renameat2(2) under way: source s leaves fd/name for td/newName,
// where target t may be.
type rename struct {
	*txn
	fd, td        *inode
	name, newName string
	s, t          *inode // t is nil if nothing is there
	exchange      bool
}

// Rename follows renameat2(2). Two names of one inode stay as they are.
func (v View) Rename(ctx context.Context, from posix.Ino, name string, to posix.Ino, newName string, flags posix.RenameFlags) error {
	_, _, err := v.update(ctx, opRename, func(x *txn) (*inode, error) {
		r := rename{txn: x, name: name, newName: newName, exchange: flags&posix.RenameExchange != 0}
		if err := r.find(from, to, flags); err != nil {
			return nil, err
		}
		if r.s == r.t {
			return nil, nil
		}
		if err := r.ask(); err != nil {
			return nil, err
		}
		if r.exchange {
			return nil, r.swap()
		}
		return nil, r.move()
	})
	return err
}

// find reads what the names name, in the order in which Linux would complain:
// do_renameat2.
func (r *rename) find(from, to posix.Ino, flags posix.RenameFlags) (err error) {
	keep := flags&posix.RenameNoReplace != 0
	switch {
	case flags&^(posix.RenameNoReplace|posix.RenameExchange) != 0, keep && r.exchange:
		return posix.EINVAL
	case dots(r.name):
		return posix.EBUSY
	case dots(r.newName) && keep:
		return posix.EEXIST
	case dots(r.newName):
		return posix.EBUSY
	}
	if r.fd, err = r.step(r.v, from, r.name); err != nil {
		return err
	}
	if r.td, err = r.step(r.v, to, r.newName); err != nil {
		return err
	}
	if r.s, err = r.txn.find(r.fd, r.name); err != nil {
		return err
	}
	e, ok, err := r.entry(to, r.newName)
	if err != nil {
		return err
	}
	if ok {
		if r.t, err = r.named(e); err != nil {
			return err
		}
	}
	switch {
	case ok && keep:
		return posix.EEXIST
	case !ok && r.exchange:
		return posix.ENOENT
	}
	return r.loop()
}

// loop refuses to put a directory below itself, and to replace one that the
// source is below of. Both ways up are read in the transaction, so that two
// renames that would make a loop only together exclude each other.
func (r *rename) loop() error {
	if r.fd == r.td {
		return nil
	}
	if r.s.Mode.IsDir() {
		if above, err := r.above(r.s, r.td); above || err != nil {
			if above {
				err = posix.EINVAL
			}
			return err
		}
	}
	if r.t == nil || !r.t.Mode.IsDir() {
		return nil
	}
	above, err := r.above(r.t, r.fd)
	switch {
	case err != nil || !above:
		return err
	case r.exchange:
		return posix.EINVAL
	}
	return posix.ENOTEMPTY
}

// above reports whether a is d or one of the directories above it.
func (s *snap) above(a, d *inode) (bool, error) {
	for up := d; ; {
		if up == a {
			return true, nil
		}
		if up.Ino == posix.RootIno {
			return false, nil
		}
		next, err := s.inode(up.parent)
		if err != nil {
			return false, fmt.Errorf("%w: directory %d has no parent %d (%w)", errRecord, up.Ino, up.parent, err)
		}
		up = next
	}
}

// ask asks every permission: vfs_rename.
func (r *rename) ask() error {
	if err := r.v.mayRemove(r.fd, r.s, r.s.Mode.IsDir()); err != nil {
		return err
	}
	var err error
	switch {
	case r.t == nil:
		err = r.v.mayMake(r.td)
	case r.exchange:
		err = r.v.mayRemove(r.td, r.t, r.t.Mode.IsDir())
	default:
		err = r.v.mayRemove(r.td, r.t, r.s.Mode.IsDir())
	}
	if err != nil || r.fd == r.td {
		return err
	}
	if err := r.v.mayMove(r.s); err != nil {
		return err
	}
	if r.exchange {
		if err := r.v.mayMove(r.t); err != nil {
			return err
		}
	}
	return r.border(r.fd, r.td)
}

// move does it without exchange.
func (r *rename) move() error {
	isDir := r.s.Mode.IsDir()
	if isDir && r.t != nil {
		if err := r.empty(r.t); err != nil {
			return err
		}
	}
	if isDir && r.t == nil && r.fd != r.td && r.td.Nlink >= posix.LinkMax {
		return posix.EMLINK
	}
	if err := r.unname(r.fd, r.name, r.s); err != nil {
		return err
	}
	if isDir {
		r.fd.Nlink--
	}
	if r.t != nil {
		if err := r.unname(r.td, r.newName, r.t); err != nil {
			return err
		}
		if isDir {
			r.td.Nlink--
		}
		if err := r.unlinked(r.td, r.newName, r.t); err != nil {
			return err
		}
	}
	if err := r.settle(r.td, r.newName, r.s); err != nil {
		return err
	}
	r.toldEntry(0, r.fd, r.name, r.s)
	return nil
}

// swap exchanges two names, of whatever kinds.
func (r *rename) swap() error {
	for _, x := range []struct {
		d    *inode
		name string
		n    *inode
	}{{r.fd, r.name, r.s}, {r.td, r.newName, r.t}} {
		if err := r.unname(x.d, x.name, x.n); err != nil {
			return err
		}
		if x.n.Mode.IsDir() {
			x.d.Nlink--
		}
	}
	if err := r.settle(r.td, r.newName, r.s); err != nil {
		return err
	}
	return r.settle(r.fd, r.name, r.t)
}

// settle names n in d, as its new parent.
func (r *rename) settle(d *inode, name string, n *inode) error {
	if n.Mode.IsDir() {
		d.Nlink++
	}
	r.touch(n)
	r.toldEntry(ChangeAttr, d, name, n)
	if err := r.txn.name(d, name, n); err != nil {
		return err
	}
	return r.settled(d, n, r.fd == r.td)
}
