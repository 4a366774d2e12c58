package namespace

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/posix"
)

// firstExtents is how much of a file's layout comes with its open.
const firstExtents = 256

// Create opens what is there as Open does. The new inode is pinned before it
// exists, so that it is open from its first moment.
func (v View) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode,
	h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	for {
		found, res, err := v.create(ctx, dir, name, mode, umask, h, flags)
		if found == 0 || err != nil {
			return res, err
		}
		res, err = v.open(ctx, opCreate, found, h, flags)
		if !errors.Is(err, posix.ESTALE) {
			return res, err
		}
		// It was removed since the name was looked up: look again.
	}
}

// create makes and opens the file, or answers the inode that is there.
func (v View) create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode,
	h posix.Handle, flags posix.OpenFlags) (found posix.Ino, res posix.Opened, err error) {
	if err := v.openable(h, flags); err != nil {
		return 0, res, wrap("create", err)
	}
	ino, err := v.t.inos.next(ctx, v.t)
	if err != nil {
		return 0, res, wrap("create", err)
	}
	if err := v.t.opens.pin(ctx, ino); err != nil {
		return 0, res, wrap("create", err)
	}
	exists := errors.New("namespace: there is such a file")
	a, again, err := v.update(ctx, opCreate, func(x *txn) (*inode, error) {
		if dots(name) {
			return nil, posix.EISDIR
		}
		d, err := x.vacant(dir, name)
		if err == posix.EEXIST && flags&posix.OpenExcl == 0 {
			_, n, err := x.victim(v, dir, name)
			if err != nil {
				return nil, err
			}
			found = n.Ino
			return nil, exists
		}
		if err != nil {
			return nil, err
		}
		return x.create(d, name, ino, posix.TypeReg|mode.Perm(), umask, inode{})
	})
	switch {
	case errors.Is(err, exists):
		v.t.opens.unpin(ino)
		return found, res, nil
	case err != nil:
		v.t.opens.unpin(ino)
		return 0, res, err
	case again:
		v.t.opens.unpin(ino)
		res, err = v.adopt(ctx, a.Ino, h, flags)
	default:
		res = posix.Opened{Attr: a, LayoutEnd: posix.FileSizeMax}
		err = v.t.opens.add(v.sess, h, v.openFile(ino, flags), false, false)
	}
	if err != nil {
		return 0, posix.Opened{}, wrap("create", err)
	}
	return 0, res, nil
}

// openFile is ino as the view opens it. What flags do but once is left out.
func (v View) openFile(ino posix.Ino, flags posix.OpenFlags) openFile {
	return openFile{ino, flags &^ (posix.OpenTrunc | posix.OpenExcl | posix.OpenData), v.cred.UID}
}

// checkOpen answers EINVAL for an open that no client sends.
func checkOpen(h posix.Handle, flags posix.OpenFlags) error {
	if h == 0 || flags&(posix.OpenRead|posix.OpenWrite|posix.OpenExec|posix.OpenDir) == 0 {
		return posix.EINVAL
	}
	return nil
}

// openable is checkOpen, and whether the session may have another handle.
func (v View) openable(h posix.Handle, flags posix.OpenFlags) error {
	if err := checkOpen(h, flags); err != nil {
		return err
	}
	if v.t.opens.full(v.sess, h) {
		v.t.cfg.Limited("handles")
		return posix.EMFILE
	}
	return nil
}

// Tmpfile asks what a create in dir would. The inode is an orphan from its
// first moment, and pinned before it exists.
func (v View) Tmpfile(ctx context.Context, dir posix.Ino, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (res posix.Opened, err error) {
	if flags&posix.OpenWrite == 0 {
		return res, posix.E("tmpfile", posix.EINVAL, nil)
	}
	if err := v.openable(h, flags); err != nil {
		return res, wrap("tmpfile", err)
	}
	ino, err := v.t.inos.next(ctx, v.t)
	if err == nil {
		err = v.t.opens.pin(ctx, ino)
	}
	if err != nil {
		return res, wrap("tmpfile", err)
	}
	a, again, err := v.update(ctx, opTmpfile, func(x *txn) (*inode, error) {
		d, err := x.inode(dir)
		switch {
		case err != nil:
			return nil, err
		case !d.Mode.IsDir():
			return nil, posix.ENOTDIR
		case d.Nlink == 0:
			return nil, posix.ENOENT
		}
		if err := v.mayMake(d); err != nil {
			return nil, err
		}
		x.tx.Put(orphanKey(ino), []byte{recordVersion})
		n, err := x.born(d, ino, posix.TypeReg|mode.Perm(), umask, inode{tmp: flags&posix.OpenExcl == 0})
		if err == nil {
			n.Nlink = 0
		}
		return n, err
	})
	switch {
	case err != nil:
		v.t.opens.unpin(ino)
	case again:
		v.t.opens.unpin(ino)
		res, err = v.adopt(ctx, a.Ino, h, flags)
	default:
		res = posix.Opened{Attr: a, LayoutEnd: posix.FileSizeMax}
		err = v.t.opens.add(v.sess, h, v.openFile(ino, flags), false, false)
	}
	if err != nil {
		return posix.Opened{}, wrap("tmpfile", err)
	}
	return res, nil
}

// Open answers EBADF if h is open for another inode or in another way.
// ESTALE for an inode without a name, unless it is open.
func (v View) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	return v.open(ctx, opOpen, ino, h, flags)
}

// open is Open on behalf of o, under which the reply slot remembers the cut of
// O_TRUNC.
func (v View) open(ctx context.Context, o op, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (res posix.Opened, err error) {
	if err := v.openable(h, flags); err != nil {
		return res, wrap("open", err)
	}
	if f, err := v.t.opens.get(v.sess, h); err == nil && f == v.openFile(ino, flags) {
		return v.read(ctx, ino, flags, true)
	}
	if err := v.t.opens.pin(ctx, ino); err != nil {
		return res, wrap("open", err)
	}
	again := false
	if flags&posix.OpenTrunc != 0 {
		res.Attr, again, err = v.openTrunc(ctx, o, ino, flags)
		res.LayoutEnd = posix.FileSizeMax
	}
	if err == nil && (again || flags&posix.OpenTrunc == 0) {
		res, err = v.read(ctx, ino, flags, again)
	}
	if err != nil {
		v.t.opens.unpin(ino)
		return posix.Opened{}, err
	}
	err = v.t.opens.add(v.sess, h, v.openFile(ino, flags), res.Attr.Nlink == 0, again)
	if err != nil {
		return posix.Opened{}, wrap("open", err)
	}
	if v.promising && res.Attr.Mode.IsReg() && flags&(posix.OpenWrite|posix.OpenTrunc) == 0 {
		v.t.opens.promise(v.sess, ino)
	}
	return res, nil
}

// read answers what an open tells, if the caller may open ino or has done so.
func (v View) read(ctx context.Context, ino posix.Ino, flags posix.OpenFlags, asked bool) (res posix.Opened, err error) {
	err = v.view(ctx, "open", func(s *snap) error {
		n, err := s.inode(ino)
		if err != nil {
			return err
		}
		if !asked {
			if err := v.mayOpen(n, flags); err != nil {
				return err
			}
			if n.Mode.IsReg() && flags&(posix.OpenRead|posix.OpenExec) != 0 {
				v.t.accessed(n)
			}
		}
		res.Attr = n.Attr
		res.LayoutEnd = posix.FileSizeMax
		if n.Mode.IsReg() && n.Size > 0 {
			res.Extents, res.LayoutEnd, err = s.layout(ino, 0, posix.FileSizeMax, firstExtents)
		}
		return err
	})
	return res, err
}

// openTrunc asks for the open and cuts the file to nothing.
func (v View) openTrunc(ctx context.Context, o op, ino posix.Ino, flags posix.OpenFlags) (posix.Attr, bool, error) {
	check := func(s *snap) (*inode, error) {
		n, err := s.inode(ino)
		if err != nil {
			return nil, err
		}
		return n, v.mayOpen(n, flags)
	}
	if err := v.shrink(ctx, o, ino, 0, check); err != nil {
		return posix.Attr{}, false, err
	}
	return v.update(ctx, o, func(x *txn) (*inode, error) {
		n, err := check(&x.snap)
		if err != nil || !n.Mode.IsReg() { // O_TRUNC of a fifo or device does nothing
			return n, err
		}
		return n, x.setattr(n, posix.SetAttr{Set: posix.SetSize})
	})
}

// adopt opens again what the session had open before an answer, or the
// server, was lost. It asks no permission.
func (v View) adopt(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (res posix.Opened, err error) {
	if err := v.t.opens.pin(ctx, ino); err != nil {
		return res, err
	}
	if res, err = v.read(ctx, ino, flags, true); err != nil {
		v.t.opens.unpin(ino)
		return res, err
	}
	return res, v.t.opens.add(v.sess, h, v.openFile(ino, flags), res.Attr.Nlink == 0, true)
}

// Close forgets the handle, and with the session's last one of an inode its
// locks there. If it was the last of an inode without a name,
// Reclaim finds it.
func (v View) Close(_ context.Context, h posix.Handle) error {
	if ino := v.t.opens.close(v.sess, h); ino != 0 {
		v.t.releaseLocks(v.sess, ino)
	}
	return nil
}

// Handle answers which inode a session has open as h, 0 if none.
func (t *Tree) Handle(s SessionID, h posix.Handle) posix.Ino {
	f, err := t.opens.get(s, h)
	if err != nil {
		return 0
	}
	return f.ino
}

// Held answers how many handles a session has, and on how many inodes it has, or
// had, locks.
func (t *Tree) Held(s SessionID) (handles, locks int) {
	t.opens.mu.Lock()
	defer t.opens.mu.Unlock()
	own := t.opens.sessions[s]
	if own == nil {
		return 0, 0
	}
	for _, u := range own.uses {
		if u.locked {
			locks++
		}
	}
	return len(own.handles), locks
}

// Reopen gives session s back a handle that it had before the server was
// restarted, on behalf of uid, who had opened it. Nothing is asked: the server
// has proof that the session had it. Until Recovered, that holds for inodes
// without a name too.
func (t *Tree) Reopen(ctx context.Context, s SessionID, uid posix.UID, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) error {
	if err := checkOpen(h, flags); err != nil {
		return wrap("reopen", err)
	}
	_, err := t.As(posix.Cred{UID: uid}).In(s).adopt(ctx, ino, h, flags)
	return wrap("reopen", err)
}

// EndSession closes the session's handles, takes its locks and forgets its
// reply slots. The
// caller has seen to it that no request of the session is under way or comes
// later.
func (t *Tree) EndSession(ctx context.Context, s SessionID) error {
	t.opens.closeAll(s) // the locks next: see Setlk
	t.endLocks(s)
	t.Returned(s)
	_, err := t.As(posix.Cred{}).run(ctx, func(x *txn) error {
		var keys [][]byte
		err := x.r.Scan(key8(keyReply, uint64(s)), key8(keyReply, uint64(s)+1), func(k, _ []byte) bool {
			keys = append(keys, append([]byte(nil), k...))
			return true
		})
		for _, k := range keys {
			x.tx.Delete(k)
		}
		return err
	})
	return wrap("end session", err)
}
