package namespace

import (
	"context"
	"strings"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// The classes of xattr(7) that are kept.
const (
	xattrUser     = "user."
	xattrTrusted  = "trusted."
	xattrSecurity = "security."

	// xattrCaps makes a file privileged, so that whoever writes to it must
	// take it away: capabilities(7).
	xattrCaps = "security.capability"
)

// xattrClass answers EOPNOTSUPP for a class that is not kept (system. among
// them, of which there are just the ACLs), EINVAL for a class without a name, ERANGE for a name too long.
func xattrClass(name string) (string, error) {
	if len(name) > posix.XattrName {
		return "", posix.ERANGE
	}
	for _, c := range []string{xattrUser, xattrTrusted, xattrSecurity} {
		if strings.HasPrefix(name, c) {
			if name == c || strings.IndexByte(name, 0) >= 0 {
				return "", posix.EINVAL
			}
			return c, nil
		}
	}
	return "", posix.EOPNOTSUPP
}

// xattrNode reads ino if the caller may do want to the attribute.
func (s *snap) xattrNode(v View, ino posix.Ino, name string, want posix.Perm) (*inode, error) {
	n, err := s.inode(ino)
	if err != nil {
		return nil, err
	}
	class, err := xattrClass(name)
	if err != nil {
		return nil, err
	}
	return n, v.mayXattr(n, class, want)
}

// Getxattr answers the whole value.
func (v View) Getxattr(ctx context.Context, ino posix.Ino, name string) (value []byte, err error) {
	err = v.view(ctx, "getxattr", func(s *snap) error {
		if k := aclKindOf(name); k != 0 {
			value, err = s.getACL(ino, k)
			return err
		}
		if _, err := s.xattrNode(v, ino, name, posix.MayRead); err != nil {
			return err
		}
		b, ok, err := s.r.Get(xattrKey(ino, name))
		if err == nil && !ok {
			err = posix.ENODATA
		}
		value = append([]byte{}, b...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Setxattr answers E2BIG for a value over XattrMax, ENOSPC if the names would
// be longer together than listxattr(2) can tell.
func (v View) Setxattr(ctx context.Context, ino posix.Ino, name string, value []byte, flags posix.XattrFlags) error {
	switch {
	case flags&^(posix.XattrCreate|posix.XattrReplace) != 0:
		return posix.E("setxattr", posix.EINVAL, nil)
	case len(value) > posix.XattrMax:
		return posix.E("setxattr", posix.E2BIG, nil)
	}
	_, _, err := v.update(ctx, opSetxattr, func(x *txn) (*inode, error) {
		if k := aclKindOf(name); k != 0 {
			return nil, x.putACL(ino, k, value)
		}
		n, err := x.xattrNode(v, ino, name, posix.MayWrite)
		if err != nil {
			return nil, err
		}
		_, there, err := x.r.Get(xattrKey(ino, name))
		switch {
		case err != nil:
			return nil, err
		case there && flags&posix.XattrCreate != 0:
			return nil, posix.EEXIST
		case !there && flags&posix.XattrReplace != 0:
			return nil, posix.ENODATA
		}
		if !there {
			if err := x.roomForXattr(ino, name); err != nil {
				return nil, err
			}
		}
		x.tx.Put(xattrKey(ino, name), value)
		n.caps = n.caps || name == xattrCaps
		x.touch(n)
		x.told(ChangeAttr, n)
		return nil, nil
	})
	return err
}

func (s *snap) roomForXattr(ino posix.Ino, name string) error {
	size := len(name) + 1 + len(acl.XattrAccess) + 1 + len(acl.XattrDefault) + 1
	err := s.xattrs(ino, func(n string) { size += len(n) + 1 })
	if err == nil && size > posix.XattrList {
		err = posix.ENOSPC
	}
	return err
}

// xattrs calls f with each name.
func (s *snap) xattrs(ino posix.Ino, f func(string)) error {
	prefix := key8(keyXattr, uint64(ino))
	return s.r.Scan(prefix, engine.Successor(prefix), func(k, _ []byte) bool {
		f(string(k[len(prefix):]))
		return true
	})
}

// Listxattr hides the trusted ones from all but the superuser.
func (v View) Listxattr(ctx context.Context, ino posix.Ino) (names []string, err error) {
	err = v.view(ctx, "listxattr", func(s *snap) error {
		n, err := s.inode(ino)
		if err != nil {
			return err
		}
		names = nil
		n.aclNames(func(name string) { names = append(names, name) })
		return s.xattrs(ino, func(name string) {
			if v.cred.Super || !strings.HasPrefix(name, xattrTrusted) {
				names = append(names, name)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Removexattr asks for what Setxattr asks for.
func (v View) Removexattr(ctx context.Context, ino posix.Ino, name string) error {
	_, _, err := v.update(ctx, opRemovexattr, func(x *txn) (*inode, error) {
		if k := aclKindOf(name); k != 0 {
			return nil, x.putACL(ino, k, nil)
		}
		n, err := x.xattrNode(v, ino, name, posix.MayWrite)
		if err != nil {
			return nil, err
		}
		if _, ok, err := x.r.Get(xattrKey(ino, name)); err != nil || !ok {
			if err == nil {
				err = posix.ENODATA
			}
			return nil, err
		}
		x.tx.Delete(xattrKey(ino, name))
		n.caps = n.caps && name != xattrCaps
		x.touch(n)
		x.told(ChangeAttr, n)
		return nil, nil
	})
	return err
}

// dropCaps takes away what a write must not leave: ATTR_KILL_PRIV.
func (x *txn) dropCaps(n *inode) {
	if n.caps {
		x.tx.Delete(xattrKey(n.Ino, xattrCaps))
		n.caps, n.dirty = false, true
	}
}
