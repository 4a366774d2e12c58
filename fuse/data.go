package fuse

import (
	"context"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

// Create makes a file and opens it, in one request.
func (s *server) Create(cancel <-chan struct{}, in *raw.CreateIn, name string, out *raw.CreateOut) raw.Status {
	mode, umask := modes(in.Mode, in.Umask)
	return s.ask("create", &in.InHeader, cancel, mode&posix.SetGID != 0, func(ctx context.Context, ns posix.Namespace) error {
		if e := posix.CheckName(name); e != 0 {
			return posix.E("create", e, nil)
		}
		q := s.question()
		h, a, err := s.Files.Create(ctx, ns, posix.Ino(in.NodeId), name, mode.Perm(), umask, openFlagsOf(in.Flags))
		if err != nil {
			return err
		}
		if a.Ctime == a.Btime { // nothing has happened to it yet, and O_TRUNC has cut nothing
			s.bare.add(a.Ino)
		} else if in.OpenFlags&raw.OPEN_KILL_SUIDGID != 0 {
			a = s.killPriv(ctx, ns, h, a)
		}
		q.entry(posix.Ino(in.NodeId), name, a, &out.EntryOut)
		s.opened(h, in.Flags, &out.OpenOut)
		return nil
	})
}

// Open asks the server every question once. Reads and writes through the
// handle are the opener's, whoever makes them.
func (s *server) Open(cancel <-chan struct{}, in *raw.OpenIn, out *raw.OpenOut) raw.Status {
	return s.ask("open", &in.InHeader, cancel, false, func(ctx context.Context, ns posix.Namespace) error {
		h, a, err := s.Files.Open(ctx, ns, posix.Ino(in.NodeId), openFlagsOf(in.Flags))
		if err != nil {
			return err
		}
		if in.Mode&raw.OPEN_KILL_SUIDGID != 0 {
			a = s.killPriv(ctx, ns, h, a)
		}
		s.see(a)
		s.opened(h, in.Flags, out)
		return nil
	})
}

// opened gives the kernel the handle. It keeps its pages if nobody else has
// changed the file since it was last open here. Appends go past them: else the
// kernel would cut what one call writes at the borders of pages, and what other
// mounts append could come between. So do reads of a file that others may have
// cut: the kernel learns the size from a read that ends early, but not while it
// is being told to forget something of the file.
func (s *server) opened(h *file.Handle, flags uint32, out *raw.OpenOut) {
	out.Fh = s.files.add(&openFile{Handle: h, sync: flags&synced != 0})
	if h.Kept() {
		out.OpenFlags |= raw.FOPEN_KEEP_CACHE
	}
	past := flags&unix.O_APPEND != 0 || h.Shrunk()
	if past && (s.mapsDirect || flags&unix.O_ACCMODE == unix.O_WRONLY) {
		out.OpenFlags |= raw.FOPEN_DIRECT_IO
	}
}

// killPriv clears the set-id bits of a file that a stranger's open truncated,
// where the server has not done so itself. It answers the attributes after
// that. The file is open already, so that a refusal is only logged.
func (s *server) killPriv(ctx context.Context, ns posix.Namespace, h *file.Handle, a posix.Attr) posix.Attr {
	if a.Mode&(posix.SetUID|posix.SetGID) == 0 {
		return a
	}
	b, err := s.over(ns).Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetKillPriv, Handle: h.ID()})
	if err != nil {
		s.Log.Warn("set-id bits not cleared", "ino", a.Ino, "err", err)
		return a
	}
	return b
}

// Read fills the library's own buffer: no copy is made on the way.
func (s *server) Read(cancel <-chan struct{}, in *raw.ReadIn, buf []byte) (res raw.ReadResult, st raw.Status) {
	st = s.answer("read", &in.InHeader, cancel, func(ctx context.Context) error {
		f, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		if in.Offset > posix.FileSizeMax {
			return posix.E("read", posix.EINVAL, nil)
		}
		n, err := f.Read(ctx, buf[:min(len(buf), int(in.Size))], in.Offset)
		if n > 0 {
			err = nil // the reader meets the error where it is
		}
		res = raw.ReadResultData(buf[:n])
		return err
	})
	if st != raw.OK {
		return nil, st
	}
	return res, st
}

// Write answers what was taken.
func (s *server) Write(cancel <-chan struct{}, in *raw.WriteIn, data []byte) (n uint32, st raw.Status) {
	st = s.answer("write", &in.InHeader, cancel, func(ctx context.Context) error {
		f, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		if in.Offset > posix.FileSizeMax || uint64(len(data)) > posix.FileSizeMax-in.Offset {
			return posix.E("write", posix.EFBIG, nil)
		}
		if in.WriteFlags&raw.WRITE_KILL_SUIDGID != 0 && s.setid.has(f.Ino()) {
			if err := s.stranger(ctx, f, in); err != nil {
				return err
			}
		}
		took, err := s.write(ctx, f, in, data)
		n = uint32(took)
		if err == nil && (f.sync || in.Flags&synced != 0) {
			err = f.Sync(ctx)
		} else if took > 0 {
			err = nil // a short write; the error comes with the next
		}
		return err
	})
	if st != raw.OK {
		return 0, st
	}
	return n, st
}

// write writes at the kernel's offset, or, with O_APPEND, where the file ends:
// the kernel does not know what other mounts have appended. What it then has of
// the file is wrong, and it is told so. Pages that it writes back belong where
// they were mapped.
func (s *server) write(ctx context.Context, f *openFile, in *raw.WriteIn, data []byte) (int, error) {
	if in.Flags&unix.O_APPEND == 0 || in.WriteFlags&raw.WRITE_CACHE != 0 {
		return f.Write(ctx, data, in.Offset)
	}
	n, off, err := f.Append(ctx, data)
	if n > 0 && off != in.Offset {
		s.outdated(f.Ino())
	}
	return n, err
}

// stranger clears the set-id bits before a write by one who may not keep them.
func (s *server) stranger(ctx context.Context, f *openFile, in *raw.WriteIn) error {
	set := posix.SetAttr{Set: posix.SetKillPriv, Handle: f.ID()}
	return s.as(s.caller(in.Uid, in.Gid, in.Pid), true, func(ns posix.Namespace) error {
		a, err := s.over(s.through(f, ns)).Setattr(ctx, f.Ino(), set)
		if err == nil {
			s.see(a)
		}
		return err
	})
}

// Flush is close(2) of one descriptor: what was written is committed, and a
// delayed error is told to the one who closes. A program that is killed closes
// its files too, and whoever waited for its end wants to see what it wrote.
func (s *server) Flush(cancel <-chan struct{}, in *raw.FlushIn) raw.Status {
	r := s.request(&in.InHeader, cancel)
	r.linger = flushLinger
	return s.serve("flush", &in.InHeader, r, func(ctx context.Context) error {
		f, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		err = f.Flush(ctx)
		h := holder{f.Ino(), in.LockOwner, posix.LockPosix}
		if locked := s.held.take(h); locked != nil { // close(2) gives up its locks
			s.unlock(context.WithoutCancel(ctx), h, locked)
		}
		return err
	})
}

// flushLinger is how long a program that was killed waits for its files to be
// closed well. They are closed in any case, by Release.
const flushLinger = time.Second

func (s *server) Fsync(cancel <-chan struct{}, in *raw.FsyncIn) raw.Status {
	return s.answer("fsync", &in.InHeader, cancel, func(ctx context.Context) error {
		f, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		return f.Sync(ctx)
	})
}

// Release is the last close of a handle, a mapping included. Nobody waits for
// it and nobody can interrupt it.
func (s *server) Release(_ <-chan struct{}, in *raw.ReleaseIn) {
	s.answer("release", &in.InHeader, nil, func(ctx context.Context) error {
		f, ok := s.files.remove(in.Fh)
		if !ok {
			return posix.E("release", posix.EBADF, nil)
		}
		s.bare.remove(f.Ino())
		// Those of flock(2), and of F_OFD_SETLK, whose owner no close names.
		for h, locked := range s.held.takeOf(in.Fh) {
			s.unlock(ctx, h, locked)
		}
		return f.Close(ctx)
	})
}
