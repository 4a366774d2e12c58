package namespace

import (
	"fmt"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// The ACLs of an inode are read and set as extended attributes, as Linux does
// it in fs/posix_acl.c: whoever reaches an inode may read them, its owner may
// set them, XATTR_CREATE and XATTR_REPLACE mean nothing, and to take away what
// is not there is no error.

// getACL answers the value of the attribute: vfs_get_acl.
func (s *snap) getACL(ino posix.Ino, k aclKind) ([]byte, error) {
	n, err := s.inode(ino)
	if err != nil {
		return nil, err
	}
	if n.Mode.IsLink() {
		return nil, posix.EOPNOTSUPP
	}
	l, err := s.aclOf(*n.number(k))
	if err == nil && l == nil {
		err = posix.ENODATA
	}
	return acl.EncodeXattr(l), err
}

// putACL sets the ACL to what value says, or takes it away if that is nothing:
// vfs_set_acl, and posix_acl_update_mode for what becomes of the mode.
func (x *txn) putACL(ino posix.Ino, k aclKind, value []byte) error {
	l, err := acl.DecodeXattr(value)
	if err == nil && len(l) > aclMost {
		err = posix.E("acl", posix.E2BIG, fmt.Errorf("%d entries are more than %d", len(l), aclMost))
	}
	if err != nil {
		return err
	}
	n, err := x.inode(ino)
	switch {
	case err != nil:
		return err
	case n.Mode.IsLink():
		return posix.EOPNOTSUPP
	case k == aclDefault && !n.Mode.IsDir() && l == nil:
		return nil
	case k == aclDefault && !n.Mode.IsDir():
		return posix.EACCES
	}
	if err := x.v.maySetACL(n); err != nil {
		return err
	}
	if l == nil && *n.number(k) == 0 {
		return nil
	}
	if k == aclAccess && l != nil {
		n.Mode, l = acl.Apply(n.Mode, l)
		n.Mode = x.v.modeSet(n, n.Mode, n.GID)
	}
	if err := x.setACL(n, k, l); err != nil {
		return err
	}
	x.touch(n)
	x.told(ChangeAttr, n)
	return nil
}

// chmodACL folds the new mode into the access ACL: posix_acl_chmod.
func (x *txn) chmodACL(n *inode) error {
	if n.access == nil {
		return nil
	}
	return x.setACL(n, aclAccess, n.access.Chmod(n.Mode))
}

// inherit gives the new inode n what its directory hands down: n.Mode has
// what was asked for, its type included. The umask applies unless d has a
// default ACL: posix_acl_create.
func (x *txn) inherit(d, n *inode, umask posix.Mode) error {
	def, err := x.aclOf(d.defACL)
	if err != nil {
		return err
	}
	mode, access, def := acl.Inherit(def, n.Mode, umask)
	n.Mode, n.NoACL = mode, true
	if access != nil {
		err = x.setACL(n, aclAccess, access)
	}
	if def != nil && err == nil {
		err = x.setACL(n, aclDefault, def)
	}
	return err
}

// aclNames calls f with the attributes that n's ACLs are.
func (n *inode) aclNames(f func(name string)) {
	for _, k := range []aclKind{aclAccess, aclDefault} {
		if *n.number(k) != 0 {
			f(aclXattrs[k])
		}
	}
}
