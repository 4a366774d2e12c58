package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// Getattr asks for no permission, as stat(2) by a path that was walked.
func (v View) Getattr(ctx context.Context, ino posix.Ino) (a posix.Attr, err error) {
	err = v.view(ctx, "getattr", func(s *snap) error {
		n, err := s.inode(ino)
		if err == nil {
			a = n.Attr
		}
		return err
	})
	return a, err
}

// Access follows access(2), for the caller's own ids.
func (v View) Access(ctx context.Context, ino posix.Ino, want posix.Perm) error {
	return v.view(ctx, "access", func(s *snap) error {
		n, err := s.inode(ino)
		if err != nil {
			return err
		}
		return v.may(n, want)
	})
}

// Readlink asks for no permission, as readlink(2).
func (v View) Readlink(ctx context.Context, ino posix.Ino) (target string, err error) {
	err = v.view(ctx, "readlink", func(s *snap) error {
		n, err := s.inode(ino)
		if err != nil {
			return err
		}
		if !n.Mode.IsLink() {
			return posix.EINVAL
		}
		target = n.target
		v.t.accessed(n)
		return nil
	})
	return target, err
}

// Setattr changes all of set or nothing; only a long truncation is seen to
// happen bit by bit.
func (v View) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	if set.Set&posix.SetSize != 0 && set.Size > posix.FileSizeMax {
		return posix.Attr{}, posix.E("setattr", posix.EFBIG, nil)
	}
	check := func(s *snap) (*inode, error) { return v.settable(s, ino, set) }
	if set.Set&posix.SetSize != 0 {
		if err := v.shrink(ctx, opSetattr, ino, set.Size, check); err != nil {
			return posix.Attr{}, err
		}
	}
	a, _, err := v.update(ctx, opSetattr, func(x *txn) (*inode, error) {
		n, err := check(&x.snap)
		if err != nil {
			return nil, err
		}
		return n, x.setattr(n, set)
	})
	return a, err
}

// settable reads ino if set may be done to it.
func (v View) settable(s *snap, ino posix.Ino, set posix.SetAttr) (*inode, error) {
	n, err := s.inode(ino)
	if err != nil {
		return nil, err
	}
	var f *openFile
	if set.Handle != 0 {
		h, err := v.t.opens.get(v.sess, set.Handle)
		if err != nil {
			return nil, err
		}
		if h.ino != ino {
			return nil, posix.EBADF
		}
		f = &h
	}
	if set.Set&posix.SetSize != 0 {
		switch {
		case n.Mode.IsDir():
			return nil, posix.EISDIR
		case !n.Mode.IsReg(), f != nil && !f.may(posix.OpenWrite):
			return nil, posix.EINVAL
		}
	}
	if set.Set&posix.SetMode != 0 && n.Mode.IsLink() {
		return nil, posix.EOPNOTSUPP
	}
	if set.Set&(posix.SetAtime|posix.SetMtime) != 0 && (set.Atime.Nsec >= 1e9 || set.Mtime.Nsec >= 1e9) {
		return nil, posix.EINVAL
	}
	return n, v.maySet(n, set, f)
}

// setattr does what settable allowed.
func (x *txn) setattr(n *inode, set posix.SetAttr) error {
	has := func(m posix.SetMask) bool { return set.Set&m != 0 }
	if set.Set == 0 {
		return nil
	}
	kind := ChangeAttr
	mode := n.Mode
	if has(posix.SetSize) {
		if err := x.resize(n, set.Size); err != nil {
			return err
		}
		mode = x.v.written(n)
		x.dropCaps(n)
		kind |= ChangeData
	}
	if has(posix.SetMode) {
		g := n.GID
		if has(posix.SetGroup) {
			g = set.GID
		}
		mode = x.v.modeSet(n, set.Mode, g)
	}
	if has(posix.SetOwner|posix.SetGroup|posix.SetKillPriv) && !n.Mode.IsDir() {
		mode = x.v.killed(n, mode) // the superuser's chown too
		x.dropCaps(n)
	}
	n.Mode = mode
	if has(posix.SetMode) {
		if err := x.chmodACL(n); err != nil {
			return err
		}
	}
	if has(posix.SetOwner) {
		n.UID = set.UID
	}
	if has(posix.SetGroup) {
		n.GID = set.GID
	}
	x.setTimes(n, set)
	x.touch(n)
	x.told(kind, n)
	return nil
}

func (x *txn) setTimes(n *inode, set posix.SetAttr) {
	has := func(m posix.SetMask) bool { return set.Set&m != 0 }
	switch {
	case has(posix.SetAtimeNow):
		n.Atime = x.now
	case has(posix.SetAtime):
		n.Atime = set.Atime
	}
	switch {
	case has(posix.SetMtimeNow), has(posix.SetSize) && !has(posix.SetMtime):
		n.Mtime = x.now
	case has(posix.SetMtime):
		n.Mtime = set.Mtime
	}
}

// Statfs answers the bytes of the chunk store's disk and the number of
// inodes, those without a name included, or what is left of both to ino by the
// quotas of the directories that it is in.
func (v View) Statfs(ctx context.Context, ino posix.Ino) (posix.Statfs, error) {
	total, free, err := v.t.cfg.Usage(ctx)
	if err != nil {
		return posix.Statfs{}, wrap("statfs", err)
	}
	const room = 1 << 40 // inodes that may yet be made; numbers are no limit
	files := uint64(max(v.t.files.Load(), 1))
	st := posix.Statfs{
		Bytes: total, FreeBytes: free, AvailBytes: free,
		Files: files + room, FreeFiles: room,
	}
	var tag posix.Ino
	err = v.view(ctx, "statfs", func(s *snap) error {
		n, err := s.inode(ino)
		switch {
		case err == posix.ESTALE:
			return nil // as on Linux of a directory that is gone
		case err == nil:
			tag = n.quota
		}
		return err
	})
	v.t.narrow(&st, tag)
	return st, err
}
