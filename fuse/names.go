package fuse

import (
	"context"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// Lookup finds a name. A name that is not there may be remembered, if so
// configured: then the answer is the node 0 with a timeout.
func (s *server) Lookup(cancel <-chan struct{}, h *raw.InHeader, name string, out *raw.EntryOut) raw.Status {
	return s.meta("lookup", h, cancel, func(ctx context.Context, ns posix.Namespace) error {
		if e := posix.CheckName(name); e != 0 && e != posix.EEXIST { // the dots, which exports of NFS look up
			return posix.E("lookup", e, nil)
		}
		q := s.question()
		a, err := ns.Lookup(ctx, posix.Ino(h.NodeId), name)
		if t := s.Options.NegativeTimeout; t > 0 && err != nil && posix.ErrnoOf(err) == posix.ENOENT {
			out.NodeId = 0
			out.SetEntryTimeout(q.entryTimeout(posix.Ino(h.NodeId), name, t))
			return nil
		}
		if err == nil {
			err = s.reachable(ctx, ns, a)
		}
		return q.made(h.NodeId, name, out, a, err)
	})
}

// reachable refuses a fifo or a socket to who may not use it, where nobody else
// would: the kernel opens them without asking. Who may only read or only write
// has no use of one that way.
func (s *server) reachable(ctx context.Context, ns posix.Namespace, a posix.Attr) error {
	if t := a.Mode.Type(); !s.PerCaller || t != posix.TypeFIFO && t != posix.TypeSock {
		return nil
	}
	return ns.Access(ctx, a.Ino, posix.MayRead|posix.MayWrite)
}

// Mkdir and the others that follow carry the umask beside the mode, because
// of CAP_DONT_MASK: the server applies it, unless a default ACL forbids.
func (s *server) Mkdir(cancel <-chan struct{}, in *raw.MkdirIn, name string, out *raw.EntryOut) raw.Status {
	mode, umask := modes(in.Mode, in.Umask)
	return s.named("mkdir", &in.InHeader, cancel, name, mode&posix.SetGID != 0, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Mkdir(ctx, posix.Ino(in.NodeId), name, mode.Perm(), umask)
		return q.made(in.NodeId, name, out, a, err)
	})
}

func (s *server) Mknod(cancel <-chan struct{}, in *raw.MknodIn, name string, out *raw.EntryOut) raw.Status {
	mode, umask := modes(in.Mode, in.Umask)
	return s.named("mknod", &in.InHeader, cancel, name, mode&posix.SetGID != 0, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Mknod(ctx, posix.Ino(in.NodeId), name, mode, umask, in.Rdev)
		return q.made(in.NodeId, name, out, a, err)
	})
}

func (s *server) Symlink(cancel <-chan struct{}, h *raw.InHeader, target, name string, out *raw.EntryOut) raw.Status {
	return s.named("symlink", h, cancel, name, false, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Symlink(ctx, posix.Ino(h.NodeId), name, target)
		return q.made(h.NodeId, name, out, a, err)
	})
}

func (s *server) Link(cancel <-chan struct{}, in *raw.LinkIn, name string, out *raw.EntryOut) raw.Status {
	return s.named("link", &in.InHeader, cancel, name, false, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		a, err := ns.Link(ctx, posix.Ino(in.Oldnodeid), posix.Ino(in.NodeId), name)
		return q.made(in.NodeId, name, out, a, err)
	})
}

func (s *server) Unlink(cancel <-chan struct{}, h *raw.InHeader, name string) raw.Status {
	return s.named("unlink", h, cancel, name, false, func(ctx context.Context, ns posix.Namespace) error {
		return ns.Unlink(ctx, posix.Ino(h.NodeId), name)
	})
}

func (s *server) Rmdir(cancel <-chan struct{}, h *raw.InHeader, name string) raw.Status {
	return s.named("rmdir", h, cancel, name, false, func(ctx context.Context, ns posix.Namespace) error {
		return ns.Rmdir(ctx, posix.Ino(h.NodeId), name)
	})
}

// Rename answers EINVAL for flags that it does not know, RENAME_WHITEOUT
// among them, and for the two that exclude each other.
func (s *server) Rename(cancel <-chan struct{}, in *raw.RenameIn, name, newName string) raw.Status {
	return s.named("rename", &in.InHeader, cancel, name, false, func(ctx context.Context, ns posix.Namespace) error {
		const both = posix.RenameNoReplace | posix.RenameExchange
		flags := posix.RenameFlags(in.Flags)
		if flags&^both != 0 || flags == both {
			return posix.E("rename", posix.EINVAL, nil)
		}
		if e := posix.CheckName(newName); e != 0 {
			return posix.E("rename", e, nil)
		}
		return ns.Rename(ctx, posix.Ino(in.NodeId), name, posix.Ino(in.Newdir), newName, flags)
	})
}

// modes reads the mode and umask of a request.
func modes(mode, umask uint32) (posix.Mode, posix.Mode) {
	return posix.Mode(mode) & (posix.TypeMask | posix.PermMask), posix.Mode(umask) & 0o777
}
