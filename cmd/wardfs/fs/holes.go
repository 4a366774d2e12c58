package fs

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// seek answers, as lseek(2) with SEEK_DATA or SEEK_HOLE, where data or a hole
// begins from off on; ENXIO if there is no more.
type seek func(off uint64, data bool) (uint64, error)

// eachRun calls f with every run of data of a file, in order, until there is
// none; the runs end at size, or beyond if the file grows meanwhile.
func eachRun(s seek, f func(lo, hi uint64) error) error {
	for off := uint64(0); ; {
		lo, err := s(off, true)
		if errors.Is(err, unix.ENXIO) || posix.ErrnoOf(err) == posix.ENXIO {
			return nil
		}
		if err != nil {
			return err
		}
		if off, err = s(lo, false); err != nil {
			return err
		}
		if err := f(lo, off); err != nil {
			return err
		}
	}
}

// seekFile is seek of a file of this host. On a filesystem that knows no holes
// the kernel says that all is data.
func seekFile(f *os.File) seek {
	return func(off uint64, data bool) (uint64, error) {
		whence := unix.SEEK_HOLE
		if data {
			whence = unix.SEEK_DATA
		}
		at, err := unix.Seek(int(f.Fd()), int64(off), whence)
		return uint64(at), err
	}
}

// writeSparse makes the opened file what in has, holes included.
func (p Place) writeSparse(ctx context.Context, h opened, in *os.File, size uint64) error {
	buf, end := make([]byte, block), uint64(0)
	err := eachRun(seekFile(in), func(lo, hi uint64) error {
		for off := lo; off < hi; {
			n, err := in.ReadAt(buf[:min(hi-off, block)], int64(off))
			if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
				if errors.Is(err, io.EOF) {
					return nil // it was cut meanwhile
				}
				return err
			}
			if _, err := h.Write(ctx, buf[:n], off); err != nil {
				return err
			}
			off += uint64(n)
			end = off
		}
		return nil
	})
	if err == nil && size > end {
		_, err = p.Setattr(ctx, h.Ino(), posix.SetAttr{Set: posix.SetSize, Size: size})
	}
	if err == nil {
		err = h.Sync(ctx)
	}
	return err
}

// readSparse makes out what the file a has, holes included.
func (t *Tree) readSparse(ctx context.Context, a posix.Attr, out *os.File) (err error) {
	h, a, err := t.Files.Open(ctx, t.Bare, a.Ino, posix.OpenRead)
	if err != nil {
		return err
	}
	defer func() {
		if e := h.Close(ctx); err == nil {
			err = e
		}
	}()
	buf, size := make([]byte, block), a.Size
	find := func(off uint64, data bool) (uint64, error) { return h.Seek(ctx, off, data) }
	err = eachRun(find, func(lo, hi uint64) error {
		for off := lo; off < hi; {
			n, err := h.Read(ctx, buf[:min(hi-off, block)], off)
			if err != nil || n == 0 {
				return err // 0: it was cut meanwhile
			}
			if _, err := out.WriteAt(buf[:n], int64(off)); err != nil {
				return err
			}
			off += uint64(n)
			size = max(size, off)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.Truncate(int64(size))
}
