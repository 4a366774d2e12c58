package fuse

import (
	"context"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// GetXAttr answers the value's size, and the value if dest has room. An empty
// dest is the question for the size: the library takes ERANGE as its answer.
func (s *server) GetXAttr(cancel <-chan struct{}, h *raw.InHeader, name string, dest []byte) (size uint32, st raw.Status) {
	st = s.meta("getxattr", h, cancel, func(ctx context.Context, ns posix.Namespace) (err error) {
		if err := checkXattrName(name); err != nil {
			return err
		}
		if name == capability && s.bare.has(posix.Ino(h.NodeId)) {
			return posix.E("getxattr", posix.ENODATA, nil)
		}
		v, err := ns.Getxattr(ctx, posix.Ino(h.NodeId), name)
		if err != nil {
			return err
		}
		size, err = fit(dest, v)
		return err
	})
	return size, st
}

// capability is what the kernel asks for before the first write to a file. Of
// a file that was made here and has no xattrs the answer is known.
const capability = "security.capability"

// ListXAttr answers the names, a zero byte after each.
func (s *server) ListXAttr(cancel <-chan struct{}, h *raw.InHeader, dest []byte) (size uint32, st raw.Status) {
	st = s.meta("listxattr", h, cancel, func(ctx context.Context, ns posix.Namespace) error {
		names, err := ns.Listxattr(ctx, posix.Ino(h.NodeId))
		if err != nil {
			return err
		}
		var list []byte
		for _, n := range names {
			list = append(append(list, n...), 0)
		}
		size, err = fit(dest, list)
		return err
	})
	return size, st
}

// SetXAttr sets ACLs too. Whether setting one drops S_ISGID depends on the
// caller's groups. The kernel asks for the attributes, which have changed, and
// for the ACL when it next needs them.
func (s *server) SetXAttr(cancel <-chan struct{}, in *raw.SetXAttrIn, name string, value []byte) raw.Status {
	return s.ask("setxattr", &in.InHeader, cancel, name == acl.XattrAccess, func(ctx context.Context, ns posix.Namespace) error {
		const both = posix.XattrCreate | posix.XattrReplace
		flags := posix.XattrFlags(in.Flags)
		if flags&^both != 0 || uint32(len(value)) != in.Size {
			return posix.E("setxattr", posix.EINVAL, nil)
		}
		if err := checkXattrName(name); err != nil {
			return err
		}
		if len(value) > posix.XattrMax {
			return posix.E("setxattr", posix.E2BIG, nil)
		}
		s.bare.remove(posix.Ino(in.NodeId))
		return s.over(ns).Setxattr(ctx, posix.Ino(in.NodeId), name, value, flags)
	})
}

func (s *server) RemoveXAttr(cancel <-chan struct{}, h *raw.InHeader, name string) raw.Status {
	return s.meta("removexattr", h, cancel, func(ctx context.Context, ns posix.Namespace) error {
		if err := checkXattrName(name); err != nil {
			return err
		}
		return ns.Removexattr(ctx, posix.Ino(h.NodeId), name)
	})
}

// checkXattrName answers ERANGE as xattr(7) has it.
func checkXattrName(name string) error {
	if name == "" || len(name) > posix.XattrName {
		return posix.E("xattr", posix.ERANGE, nil)
	}
	return nil
}

// fit copies v to dest whole, or answers ERANGE and how much room it needs.
func fit(dest, v []byte) (uint32, error) {
	if len(v) > len(dest) {
		return uint32(len(v)), posix.E("xattr", posix.ERANGE, nil)
	}
	return uint32(copy(dest, v)), nil
}
