package namespace

import (
	"context"
	"strings"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// step reads directory dir for a step to name in it. ESTALE if it is gone,
// ENOENT if it was removed and is held open, ENOTDIR, EACCES without search,
// ENAMETOOLONG.
func (s *snap) step(v View, dir posix.Ino, name string) (*inode, error) {
	d, err := s.inode(dir)
	if err != nil {
		return nil, err
	}
	if !d.Mode.IsDir() {
		return nil, posix.ENOTDIR
	}
	if err := v.maySearch(d); err != nil {
		return nil, err
	}
	if d.Nlink == 0 {
		return nil, posix.ENOENT
	}
	if e := posix.CheckName(name); e != 0 && e != posix.EEXIST {
		return nil, e
	}
	return d, nil
}

// dots reports whether name is one that every directory has.
func dots(name string) bool { return name == "." || name == ".." }

// entry looks name up, which is none of the dots.
func (s *snap) entry(dir posix.Ino, name string) (e entry, ok bool, err error) {
	b, ok, err := s.r.Get(entryKey(dir, s.t.hash(name), name))
	if !ok || err != nil {
		return entry{}, false, err
	}
	e, err = decodeEntry(b)
	return e, err == nil, err
}

// find answers what name in d names: ENOENT if it names nothing.
func (s *snap) find(d *inode, name string) (*inode, error) {
	e, ok, err := s.entry(d.Ino, name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, posix.ENOENT
	}
	return s.named(e)
}

// victim is step to a name that is there, and what it names.
func (s *snap) victim(v View, dir posix.Ino, name string) (d, n *inode, err error) {
	if d, err = s.step(v, dir, name); err != nil {
		return nil, nil, err
	}
	n, err = s.find(d, name)
	return d, n, err
}

// vacant is step to a name that may be made.
func (x *txn) vacant(dir posix.Ino, name string) (*inode, error) {
	d, err := x.step(x.v, dir, name)
	if err != nil {
		return nil, err
	}
	if dots(name) {
		return nil, posix.EEXIST
	}
	if _, ok, err := x.entry(dir, name); ok || err != nil {
		if ok {
			err = posix.EEXIST
		}
		return nil, err
	}
	return d, x.v.mayMake(d)
}

// Lookup asks for search permission on dir.
func (v View) Lookup(ctx context.Context, dir posix.Ino, name string) (a posix.Attr, err error) {
	err = v.view(ctx, "lookup", func(s *snap) error {
		d, err := s.step(v, dir, name)
		if err != nil {
			return err
		}
		var n *inode
		switch name {
		case ".":
			n = d
		case "..":
			n, err = s.named(entry{ino: d.parent})
		default:
			n, err = s.find(d, name)
		}
		if err == nil {
			a = n.Attr
		}
		return err
	})
	return a, err
}

// Mkdir drops the set-id bits of mode, as mkdir(2) on Linux.
func (v View) Mkdir(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode) (posix.Attr, error) {
	mode = posix.TypeDir | mode&(0o777|posix.Sticky)
	return v.make(ctx, opMkdir, dir, name, mode, umask, inode{}, func(d *inode) error {
		if d.Nlink >= posix.LinkMax {
			return posix.EMLINK
		}
		return nil
	})
}

// Mknod makes anything but directories and symbolic links. No type means a
// regular file.
func (v View) Mknod(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, rdev uint32) (posix.Attr, error) {
	typ := mode.Type()
	switch typ {
	case posix.TypeBlock, posix.TypeChar:
	case posix.TypeFIFO, posix.TypeSock, posix.TypeReg:
		rdev = 0
	case 0:
		typ, rdev = posix.TypeReg, 0
	case posix.TypeDir:
		return posix.Attr{}, posix.E("mknod", posix.EPERM, nil)
	default:
		return posix.Attr{}, posix.E("mknod", posix.EINVAL, nil)
	}
	var as inode
	as.Rdev = rdev
	return v.make(ctx, opMknod, dir, name, typ|mode.Perm(), umask, as, func(*inode) error {
		return v.mayMknod(typ, rdev)
	})
}

// Symlink answers ENOENT for an empty target, ENAMETOOLONG for one that with
// its zero is over PathMax.
func (v View) Symlink(ctx context.Context, dir posix.Ino, name, target string) (posix.Attr, error) {
	switch {
	case target == "":
		return posix.Attr{}, posix.E("symlink", posix.ENOENT, nil)
	case len(target) >= posix.PathMax:
		return posix.Attr{}, posix.E("symlink", posix.ENAMETOOLONG, nil)
	case strings.ContainsRune(target, 0):
		return posix.Attr{}, posix.E("symlink", posix.EINVAL, nil)
	}
	as := inode{target: target}
	as.Size = uint64(len(target))
	return v.make(ctx, opSymlink, dir, name, posix.TypeLink|0o777, 0, as, nil)
}

// make makes an inode like as and names it. more is asked once the name may
// be made; nil asks nothing.
func (v View) make(ctx context.Context, o op, dir posix.Ino, name string, mode, umask posix.Mode,
	as inode, more func(d *inode) error) (posix.Attr, error) {
	ino, err := v.t.inos.next(ctx, v.t)
	if err != nil {
		return posix.Attr{}, wrap(o.String(), err)
	}
	a, _, err := v.update(ctx, o, func(x *txn) (*inode, error) {
		d, err := x.vacant(dir, name)
		if err != nil {
			return nil, err
		}
		if more != nil {
			if err := more(d); err != nil {
				return nil, err
			}
		}
		return x.create(d, name, ino, mode, umask, as)
	})
	return a, err
}

// create makes inode ino like as, and names it in d.
func (x *txn) create(d *inode, name string, ino posix.Ino, mode, umask posix.Mode, as inode) (*inode, error) {
	n, err := x.born(d, ino, mode, umask, as)
	if err != nil {
		return nil, err
	}
	if n.Mode.IsDir() {
		n.Nlink = 2
		d.Nlink++
	}
	x.toldEntry(0, d, name, n)
	return n, x.name(d, name, n)
}

// born makes inode ino like as, with the rights that d hands down.
func (x *txn) born(d *inode, ino posix.Ino, mode, umask posix.Mode, as inode) (*inode, error) {
	n := &as
	n.Ino, n.Gen, n.Nlink = ino, x.t.gen, 1
	n.Mode, n.GID = x.v.fresh(d, mode)
	n.UID = x.v.cred.UID
	if err := x.inherit(d, n, umask); err != nil {
		return nil, err
	}
	n.quota, n.counted = d.quota, x.t.quotas.owners
	n.Atime, n.Mtime, n.Btime = x.now, x.now, x.now
	x.touch(n)
	x.inodes = append(x.inodes, n)
	x.made++
	return n, x.addFile(ino, +1)
}

// name puts an entry that is not there. The link counts are the caller's to
// set, n's before.
func (x *txn) name(d *inode, name string, n *inode) error {
	hash := x.t.hash(name)
	x.tx.Put(entryKey(d.Ino, hash, name), entry{n.Ino, n.Mode.Type()}.encode())
	d.Size++
	d.Mtime = x.now
	x.touch(d)
	return x.placed(n, d.Ino, hash)
}

// unname takes away an entry of n that is there. The link counts are the
// caller's to set, n's afterwards.
func (x *txn) unname(d *inode, name string, n *inode) error {
	hash := x.t.hash(name)
	x.tx.Delete(entryKey(d.Ino, hash, name))
	d.Size--
	d.Mtime = x.now
	x.touch(d)
	return x.displaced(n, d.Ino, hash)
}

// Link answers ENOENT for an inode that lives on without a name, but for one
// that Tmpfile made and somebody has open: that has never had a name. It is
// pinned meanwhile as by an open, lest the sweep begins with it.
func (v View) Link(ctx context.Context, ino, dir posix.Ino, name string) (posix.Attr, error) {
	if err := v.t.opens.pin(ctx, ino); err != nil {
		return posix.Attr{}, wrap("link", err)
	}
	defer v.t.opens.unpin(ino)
	held := v.t.opens.held(ino)
	a, _, err := v.update(ctx, opLink, func(x *txn) (*inode, error) {
		n, err := x.inode(ino)
		if err != nil {
			return nil, err
		}
		d, err := x.vacant(dir, name)
		switch {
		case err != nil:
			return nil, err
		case n.Mode.IsDir():
			return nil, posix.EPERM
		case n.Nlink == 0 && !(n.tmp && held):
			return nil, posix.ENOENT
		case n.Nlink >= posix.LinkMax:
			return nil, posix.EMLINK
		}
		if err := v.mayName(n); err != nil {
			return nil, err
		}
		if err := x.mayLink(d, n); err != nil {
			return nil, err
		}
		switch n.Nlink {
		case 0:
			x.tx.Delete(orphanKey(ino))
			n.quota = d.quota
		case 1:
			err = x.spread(n)
		}
		n.Nlink++
		n.tmp = false
		x.touch(n)
		x.toldEntry(ChangeAttr, d, name, n)
		if err == nil {
			err = x.name(d, name, n)
		}
		if err == nil {
			err = x.settled(d, n, false)
		}
		return n, err
	})
	return a, err
}

// Unlink answers EISDIR for the dots too.
func (v View) Unlink(ctx context.Context, dir posix.Ino, name string) error {
	_, _, err := v.update(ctx, opUnlink, func(x *txn) (*inode, error) {
		if dots(name) {
			return nil, posix.EISDIR
		}
		d, n, err := x.victim(v, dir, name)
		if err != nil {
			return nil, err
		}
		if err := v.mayRemove(d, n, false); err != nil {
			return nil, err
		}
		if err := x.unname(d, name, n); err != nil {
			return nil, err
		}
		return nil, x.unlinked(d, name, n)
	})
	return err
}

// Rmdir answers ENOTEMPTY for "..".
func (v View) Rmdir(ctx context.Context, dir posix.Ino, name string) error {
	_, _, err := v.update(ctx, opRmdir, func(x *txn) (*inode, error) {
		switch name {
		case ".":
			return nil, posix.EINVAL
		case "..":
			return nil, posix.ENOTEMPTY
		}
		d, n, err := x.victim(v, dir, name)
		if err != nil {
			return nil, err
		}
		if err := v.mayRemove(d, n, true); err != nil {
			return nil, err
		}
		if err := x.empty(n); err != nil {
			return nil, err
		}
		if err := x.unname(d, name, n); err != nil {
			return nil, err
		}
		d.Nlink--
		return nil, x.unlinked(d, name, n)
	})
	return err
}

// empty answers ENOTEMPTY for a directory that has an entry. The size tells:
// a look for the first entry could go through many that were removed.
func (s *snap) empty(d *inode) error {
	if d.Size > 0 {
		return posix.ENOTEMPTY
	}
	return nil
}

// unlinked counts a name of n less. The last one takes the inode with it: at
// once where that is little work and nobody has it open (see opens), else it
// becomes an orphan that Reclaim ends.
func (x *txn) unlinked(d *inode, name string, n *inode) error {
	x.touch(n)
	n.Nlink--
	if n.Mode.IsDir() {
		n.Nlink = 0
	}
	if n.Nlink > 0 {
		x.toldEntry(ChangeAttr, d, name, n)
		if n.Nlink == 1 {
			if err := x.gather(n); err != nil {
				return err
			}
		}
		return x.rehome(n)
	}
	x.toldEntry(ChangeAttr|ChangeGone, d, name, n)
	if !n.Mode.IsReg() || !x.t.opens.lingers(n.Ino) {
		light, err := x.light(n)
		if err != nil {
			return err
		}
		if light && x.doom(n.Ino) {
			return x.erase(n)
		}
	}
	x.tx.Put(orphanKey(n.Ino), []byte{recordVersion})
	return nil
}

// doom asks the table of open files whether n may be deleted, and makes those
// who would open it wait for the end of the transaction.
func (x *txn) doom(ino posix.Ino) bool {
	if !x.t.opens.doom(ino) {
		return false
	}
	x.doomed = append(x.doomed, ino)
	return true
}

// light reports whether n has no extents and few xattrs.
func (s *snap) light(n *inode) (bool, error) {
	const few = 16
	light, xattrs := true, 0
	err := s.r.Scan(extentsAfter(n.Ino, 0), key8(keyExtent, uint64(n.Ino)+1), func(_, _ []byte) bool {
		light = false
		return false
	})
	if err != nil || !light {
		return false, err
	}
	err = s.r.Scan(key8(keyXattr, uint64(n.Ino)), key8(keyXattr, uint64(n.Ino)+1), func(_, _ []byte) bool {
		xattrs++
		return xattrs <= few
	})
	return xattrs <= few, err
}

// erase deletes an inode that has no extents, with its xattrs. Its number is
// not used again.
func (x *txn) erase(n *inode) error {
	prefix := key8(keyXattr, uint64(n.Ino))
	var keys [][]byte
	err := x.r.Scan(prefix, engine.Successor(prefix), func(k, _ []byte) bool {
		keys = append(keys, append([]byte(nil), k...))
		return true
	})
	for _, k := range keys {
		x.tx.Delete(k)
	}
	x.tx.Delete(inodeKey(n.Ino))
	if n.Mode.IsDir() && x.t.quotas.live(n.Ino) {
		x.t.quotas.busy.Store(true) // its quota goes too
	}
	n.gone = true
	x.erased++
	if err == nil {
		err = x.dropACLs(n)
	}
	if err == nil {
		err = x.addFile(n.Ino, -1)
	}
	return err
}

// addFile counts one inode more or less.
func (x *txn) addFile(ino posix.Ino, n int64) error {
	files, err := count(x.r, filesKey(ino))
	if err == nil {
		x.tx.Put(filesKey(ino), encodeCount(files+uint64(n)))
	}
	return err
}
