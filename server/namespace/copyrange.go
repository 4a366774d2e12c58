package namespace

import (
	"context"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// maxOrigins is how many other files the slices of one may be written for. A
// capability lists them, so they must be few.
const maxOrigins = 64

// CopyRange follows vfs_copy_file_range and generic_copy_file_checks. Both
// files are read and changed in one transaction, which shares one step of
// extents at most: a longer copy is answered short.
func (v View) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, length uint64) (uint64, posix.Attr, error) {
	src, dst, err := v.copyable(from, to)
	if err != nil {
		return 0, posix.Attr{}, wrap("copyrange", err)
	}
	x, err := v.apply(ctx, opCopyRange, func(x *txn) (*inode, error) {
		s, err := x.copyFile(src.ino)
		if err != nil {
			return nil, err
		}
		d, err := x.copyFile(dst.ino)
		if err != nil {
			return nil, err
		}
		c := copying{txn: x, from: s, to: d, off: off, toOff: toOff}
		if c.n, err = c.length(length); c.n == 0 || err != nil {
			return d, err
		}
		if err := c.share(); err != nil {
			return nil, err
		}
		x.bytes = c.n
		x.wrote(d)
		return d, nil
	})
	if err != nil {
		return 0, posix.Attr{}, err
	}
	return x.bytes, x.answer, nil
}

// copyable answers what the two handles are of, if they are for that.
func (v View) copyable(from, to posix.Handle) (src, dst openFile, err error) {
	if src, err = v.t.opens.get(v.sess, from); err != nil {
		return src, dst, err
	}
	if dst, err = v.t.opens.get(v.sess, to); err != nil {
		return src, dst, err
	}
	if !src.may(posix.OpenRead) || !dst.may(posix.OpenWrite) {
		return src, dst, posix.EBADF
	}
	return src, dst, nil
}

// copyFile is file with the errnos of copy_file_range(2).
func (s *snap) copyFile(ino posix.Ino) (*inode, error) {
	n, err := s.inode(ino)
	switch {
	case err != nil:
		return nil, err
	case n.Mode.IsDir():
		return nil, posix.EISDIR
	case !n.Mode.IsReg():
		return nil, posix.EINVAL
	}
	return n, nil
}

// copying is the sharing of [off, off+n) of one file as [toOff, …) of another.
type copying struct {
	*txn
	from, to      *inode
	off, toOff, n uint64
}

// length is how much of the asked-for bytes can be copied, going by numbers.
func (c *copying) length(asked uint64) (uint64, error) {
	const most = posix.FileSizeMax
	switch {
	case c.off > most || c.toOff > most || asked > most:
		return 0, posix.EINVAL // negative, as off_t
	case c.off+asked > most || c.toOff+asked > most:
		return 0, posix.EOVERFLOW
	case c.off >= c.from.Size:
		return 0, nil
	}
	n := min(asked, c.from.Size-c.off)
	if c.from == c.to && c.off < c.toOff+n && c.toOff < c.off+n {
		return 0, posix.EINVAL
	}
	return n, nil
}

// share does it, or the first step of it: then n is less afterwards.
func (c *copying) share() error {
	var found []posix.Extent
	err := c.extents(c.from.Ino, c.off, c.off+c.n, func(e posix.Extent) bool {
		if len(found) == c.t.step {
			c.n = e.Off - c.off
			return false
		}
		found = append(found, e.Cut(c.off, c.off+c.n))
		return true
	})
	if err != nil {
		return err
	}
	if err := c.adopt(found); err != nil {
		return err
	}
	if c.toOff < c.to.Size {
		if err := c.clear(c.to, c.toOff, c.toOff+c.n); err != nil {
			return err
		}
	}
	c.to.Size = max(c.to.Size, c.toOff+c.n)
	for _, e := range found {
		if err := c.place(e); err != nil {
			return err
		}
	}
	return nil
}

// adopt notes whose slices the file is about to share: EXDEV if those are too
// many, so that the kernel copies.
func (c *copying) adopt(found []posix.Extent) error {
	list := slices.Clone(c.to.origins)
	for _, e := range found {
		at, known := slices.BinarySearch(list, e.Slice.File)
		if known || e.Slice.File == c.to.Ino {
			continue
		}
		if len(list) == maxOrigins {
			return posix.EXDEV
		}
		list = slices.Insert(list, at, e.Slice.File)
	}
	c.to.origins = list
	return nil
}

// place puts extent e of the source where it belongs in the target: in two
// pieces if a chunk's border is in between.
func (c *copying) place(e posix.Extent) error {
	if _, err := c.slice(e.Slice); err != nil {
		return err
	}
	e.Off = e.Off - c.off + c.toOff
	border := (e.Off/posix.ChunkSize + 1) * posix.ChunkSize
	if e.End() > border {
		c.put(c.to, e.Cut(e.Off, border))
		e = e.Cut(border, e.End())
	}
	c.put(c.to, e)
	return nil
}

// Origins answers for which other files slices of ino may have been written:
// of all that its layout names, and perhaps of more. None for what is gone.
func (t *Tree) Origins(ctx context.Context, ino posix.Ino) (list []posix.Ino, err error) {
	err = t.As(posix.Cred{}).view(ctx, "origins", func(s *snap) error {
		n, err := s.inode(ino)
		if err == posix.ESTALE {
			return nil
		}
		if err == nil {
			list = n.origins
		}
		return err
	})
	return list, err
}
