package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

// Allocate follows vfs_fallocate and ext4_fallocate: the arguments are judged
// before the handle, the handle before the file, and whatever is done counts
// as a write. A range of more extents than one transaction should cut becomes
// a hole bit by bit, from its beginning.
func (v View) Allocate(ctx context.Context, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	f, err := v.allocatable(h, mode, off, length)
	if err != nil {
		return posix.Attr{}, wrap("allocate", err)
	}
	end, hole := off+length, mode&(posix.AllocPunchHole|posix.AllocZeroRange) != 0
	if hole {
		if err := v.punch(ctx, f.ino, off, end); err != nil {
			return posix.Attr{}, err
		}
	}
	a, _, err := v.update(ctx, opAllocate, func(x *txn) (*inode, error) {
		n, err := x.file(f.ino)
		if err != nil {
			return nil, err
		}
		if hole {
			if err := x.clear(n, off, end); err != nil {
				return nil, err
			}
		}
		if mode&posix.AllocKeepSize == 0 {
			n.Size = max(n.Size, end)
		}
		x.wrote(n)
		return n, nil
	})
	return a, err
}

// allocatable answers the file of h if the arguments are good.
func (v View) allocatable(h posix.Handle, mode posix.AllocMode, off, length uint64) (openFile, error) {
	const known = posix.AllocKeepSize | posix.AllocPunchHole | posix.AllocZeroRange
	both := posix.AllocPunchHole | posix.AllocZeroRange
	switch {
	case off > posix.FileSizeMax || length == 0 || length > posix.FileSizeMax: // negative, as off_t
		return openFile{}, posix.EINVAL
	case mode&^known != 0 || mode&both == both,
		mode&posix.AllocPunchHole != 0 && mode&posix.AllocKeepSize == 0:
		return openFile{}, posix.EOPNOTSUPP
	}
	f, err := v.t.opens.get(v.sess, h)
	switch {
	case err != nil:
		return f, err
	case !f.may(posix.OpenWrite):
		return f, posix.EBADF
	case off+length > posix.FileSizeMax:
		return f, posix.EFBIG
	}
	return f, nil
}

// file reads an inode that must be a regular file.
func (s *snap) file(ino posix.Ino) (*inode, error) {
	n, err := s.inode(ino)
	if err != nil {
		return nil, err
	}
	switch n.Mode.Type() {
	case posix.TypeReg:
		return n, nil
	case posix.TypeDir:
		return nil, posix.EISDIR
	case posix.TypeFIFO:
		return nil, posix.ESPIPE
	}
	return nil, posix.ENODEV
}

// punch cuts all but the last step of extents of [lo, hi).
func (v View) punch(ctx context.Context, ino posix.Ino, lo, hi uint64) error {
	var at []uint64 // where to cut to
	err := v.view(ctx, "allocate", func(s *snap) error {
		if _, err := s.file(ino); err != nil {
			return err
		}
		at = at[:0]
		count := 0
		return s.extents(ino, lo, hi, func(e posix.Extent) bool {
			if count++; count%v.t.step == 0 {
				at = append(at, min(e.End(), hi))
			}
			return true
		})
	})
	for _, end := range at {
		if err != nil {
			break
		}
		_, err = v.run(ctx, func(x *txn) error {
			if done, err := x.replay(opAllocate); done || err != nil {
				return err
			}
			n, err := x.file(ino)
			if err != nil {
				return err
			}
			if err := x.clear(n, lo, end); err != nil {
				return err
			}
			x.wrote(n)
			return nil
		})
	}
	return wrap("allocate", err)
}
