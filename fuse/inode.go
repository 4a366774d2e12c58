package fuse

import (
	"context"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// GetAttr needs no handle: a file that is open can be asked for by its number
// even when it has no name left.
func (s *server) GetAttr(cancel <-chan struct{}, in *raw.GetAttrIn, out *raw.AttrOut) raw.Status {
	return s.meta("getattr", &in.InHeader, cancel, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Getattr(ctx, posix.Ino(in.NodeId))
		if err == nil {
			q.attr(a, out)
		}
		return err
	})
}

// Statx adds the time of birth. The kernel asks for the rest by GetAttr.
func (s *server) Statx(cancel <-chan struct{}, in *raw.StatxIn, out *raw.StatxOut) raw.Status {
	return s.meta("statx", &in.InHeader, cancel, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Getattr(ctx, posix.Ino(in.NodeId))
		if err == nil {
			statxTo(a, &out.Statx)
			out.SetTimeout(q.attrTimeout(a))
		}
		return err
	})
}

// SetAttr is chmod, chown, truncate and utimensat. Through an open handle the
// size is set by the handle's right.
//
// One that sets nothing is the kernel before a write to a file with set-id
// bits, and chown(2) to nobody new: both clear the bits. The writer may have
// lost the right to the file since it was opened; then the write itself, which
// names the handle, clears them.
func (s *server) SetAttr(cancel <-chan struct{}, in *raw.SetAttrIn, out *raw.AttrOut) raw.Status {
	set := setAttrOf(&in.SetAttrInCommon)
	hint := set.Set == 0
	if hint {
		set.Set = posix.SetKillPriv
	}
	return s.ask("setattr", &in.InHeader, cancel, groupsDecide(set), func(ctx context.Context, ns posix.Namespace) error {
		if e := checkSetAttr(set); e != 0 {
			return posix.E("setattr", e, nil)
		}
		if fh, ok := in.GetFh(); ok {
			f, err := s.files.get(fh, in.NodeId)
			if err != nil {
				return err
			}
			set.Handle = f.ID()
			ns = s.through(f, ns)
		}
		q := s.question()
		a, err := s.over(ns).Setattr(ctx, posix.Ino(in.NodeId), set)
		if hint && err != nil && refused(err) {
			a, err = s.over(ns).Getattr(ctx, posix.Ino(in.NodeId))
		}
		if err == nil {
			q.attr(a, out)
		}
		return err
	})
}

// Access is access(2) where the kernel does not judge by itself. The caller's
// ids in the request are the real ones.
func (s *server) Access(cancel <-chan struct{}, in *raw.AccessIn) raw.Status {
	return s.meta("access", &in.InHeader, cancel, func(ctx context.Context, ns posix.Namespace) error {
		return ns.Access(ctx, posix.Ino(in.NodeId), posix.Perm(in.Mask)&(posix.MayRead|posix.MayWrite|posix.MayExec))
	})
}

func (s *server) Readlink(cancel <-chan struct{}, h *raw.InHeader) (target []byte, st raw.Status) {
	st = s.meta("readlink", h, cancel, func(ctx context.Context, ns posix.Namespace) error {
		t, err := ns.Readlink(ctx, posix.Ino(h.NodeId))
		target = []byte(t)
		return err
	})
	return target, st
}

func (s *server) StatFs(cancel <-chan struct{}, h *raw.InHeader, out *raw.StatfsOut) raw.Status {
	return s.meta("statfs", h, cancel, func(ctx context.Context, ns posix.Namespace) error {
		st, err := ns.Statfs(ctx, posix.Ino(h.NodeId))
		if err == nil {
			statfsTo(st, out)
		}
		return err
	})
}
