package fuse

import (
	"context"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// maxCopy bounds one answer of CopyFileRange, whose count has 32 bits; the
// kernel goes on where it ended.
const maxCopy = 1 << 30

// Tmpfile makes a file without a name and opens it. The kernel gives it a name,
// if the program does, by Link.
func (s *server) Tmpfile(cancel <-chan struct{}, in *raw.CreateIn, out *raw.CreateOut) raw.Status {
	mode, umask := modes(in.Mode, in.Umask)
	return s.ask("tmpfile", &in.InHeader, cancel, mode&posix.SetGID != 0, func(ctx context.Context, ns posix.Namespace) error {
		q := s.question()
		h, a, err := s.Files.Tmpfile(ctx, ns, posix.Ino(in.NodeId), mode.Perm(), umask, openFlagsOf(in.Flags))
		if err != nil {
			return err
		}
		q.entry(posix.Ino(in.NodeId), "", a, &out.EntryOut)
		s.opened(h, in.Flags, &out.OpenOut)
		return nil
	})
}

// Lseek is asked for SEEK_DATA and SEEK_HOLE alone.
func (s *server) Lseek(cancel <-chan struct{}, in *raw.LseekIn, out *raw.LseekOut) raw.Status {
	return s.answer("lseek", &in.InHeader, cancel, func(ctx context.Context) (err error) {
		f, err := s.files.get(in.Fh, in.NodeId)
		switch {
		case err != nil:
			return err
		case in.Whence != unix.SEEK_DATA && in.Whence != unix.SEEK_HOLE:
			return posix.E("lseek", posix.EINVAL, nil)
		}
		out.Offset, err = f.Seek(ctx, in.Offset, in.Whence == unix.SEEK_DATA)
		return err
	})
}

// Fallocate is fallocate(2); what its mode may be, the server says.
func (s *server) Fallocate(cancel <-chan struct{}, in *raw.FallocateIn) raw.Status {
	return s.answer("fallocate", &in.InHeader, cancel, func(ctx context.Context) error {
		f, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		return f.Allocate(ctx, posix.AllocMode(in.Mode), in.Offset, in.Length)
	})
}

// CopyFileRange shares what the file is made of and moves no bytes.
func (s *server) CopyFileRange(cancel <-chan struct{}, in *raw.CopyFileRangeIn) (n uint32, st raw.Status) {
	st = s.answer("copy_file_range", &in.InHeader, cancel, func(ctx context.Context) error {
		if in.Flags != 0 {
			return posix.E("copy_file_range", posix.EINVAL, nil)
		}
		from, err := s.files.get(in.FhIn, in.NodeId)
		if err != nil {
			return err
		}
		to, err := s.files.get(in.FhOut, in.NodeIdOut)
		if err != nil {
			return err
		}
		copied, err := s.Files.CopyRange(ctx, from.Handle, in.OffIn, to.Handle, in.OffOut, min(in.Len, maxCopy))
		n = uint32(copied)
		return err
	})
	if st != raw.OK {
		return 0, st
	}
	return n, st
}
