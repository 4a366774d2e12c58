package namespace

import (
	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// This file is the only one that asks who may do what. Each rule names the
// function of Linux that it follows; EACCES is an answer of the permission
// bits, EPERM one of ownership.

// may answers EACCES unless the caller has all of want: inode_permission.
func (v View) may(n *inode, want posix.Perm) error {
	if !acl.Check(n.Attr, n.access, v.cred, want) {
		return posix.EACCES
	}
	return nil
}

// maySearch is asked of each directory on the way: may_lookup.
func (v View) maySearch(d *inode) error { return v.may(d, posix.MayExec) }

// mayMake is asked for a new name in d: may_create.
func (v View) mayMake(d *inode) error { return v.may(d, posix.MayWrite|posix.MayExec) }

// mayRemove is asked for taking the name of n out of d, by rmdir(2) and over
// directories with isDir: may_delete.
func (v View) mayRemove(d, n *inode, isDir bool) error {
	if err := v.may(d, posix.MayWrite|posix.MayExec); err != nil {
		return err
	}
	switch {
	case d.Mode&posix.Sticky != 0 && !v.owns(n) && d.UID != v.cred.UID:
		return posix.EPERM
	case isDir && !n.Mode.IsDir():
		return posix.ENOTDIR
	case !isDir && n.Mode.IsDir():
		return posix.EISDIR
	case n.Ino == posix.RootIno:
		return posix.EBUSY
	}
	return nil
}

// mayMove is asked of a directory that changes its parent, for its ".." is
// rewritten: vfs_rename.
func (v View) mayMove(n *inode) error {
	if !n.Mode.IsDir() {
		return nil
	}
	return v.may(n, posix.MayWrite)
}

// mayName is asked for one more name of n: its owner may, and who may read and
// write it, unless it runs as somebody: may_linkat with fs.protected_hardlinks
// on. Otherwise a stranger could keep alive what its owner has replaced.
func (v View) mayName(n *inode) error {
	special := !n.Mode.IsReg() || n.Mode&posix.SetUID != 0 || n.Mode&(posix.SetGID|0o010) == posix.SetGID|0o010
	if !v.owns(n) && (special || v.may(n, posix.MayRead|posix.MayWrite) != nil) {
		return posix.EPERM
	}
	return nil
}

// mayMknod answers EPERM for devices, which are the superuser's to make;
// anyone may make 0:0, the whiteout of overlayfs: vfs_mknod.
func (v View) mayMknod(typ posix.Mode, rdev uint32) error {
	device := typ == posix.TypeBlock || typ == posix.TypeChar && rdev != 0
	if device && !v.cred.Super {
		return posix.EPERM
	}
	return nil
}

// owns reports whether the caller is the owner or may act as it:
// inode_owner_or_capable.
func (v View) owns(n *inode) bool { return v.cred.Super || v.cred.UID == n.UID }

// inGroup reports whether the caller may give the setgid bit of group g:
// in_group_or_capable.
func (v View) inGroup(g posix.GID) bool { return v.cred.Super || v.cred.In(g) }

// maySet asks everything that set needs of n but the type of n:
// setattr_prepare, vfs_utimes, vfs_truncate. f is the handle that set names.
func (v View) maySet(n *inode, set posix.SetAttr, f *openFile) error {
	has := func(m posix.SetMask) bool { return set.Set&m != 0 }
	switch {
	case has(posix.SetOwner) && !v.cred.Super && (v.cred.UID != n.UID || set.UID != n.UID):
		return posix.EPERM
	case has(posix.SetGroup) && !v.cred.Super &&
		(v.cred.UID != n.UID || set.GID != n.GID && !v.cred.In(set.GID)):
		return posix.EPERM
	case has(posix.SetMode) && !v.owns(n):
		return posix.EPERM
	case has(posix.SetAtime|posix.SetMtime) && !v.owns(n):
		return posix.EPERM
	}
	if has(posix.SetSize) {
		// ftruncate: the handle was asked when it was opened. Otherwise the
		// mode is; owning the file is not enough. The times that come along
		// with a size need nothing more.
		if f != nil {
			return nil
		}
		return v.may(n, posix.MayWrite)
	}
	now := set.Set & (posix.SetAtimeNow | posix.SetMtimeNow)
	if now != 0 && !v.owns(n) {
		if now != posix.SetAtimeNow|posix.SetMtimeNow {
			return posix.EPERM // one now and one left alone is not a touch
		}
		return v.may(n, posix.MayWrite)
	}
	if has(posix.SetKillPriv) && !v.owns(n) && (f == nil || !f.may(posix.OpenWrite)) {
		return v.may(n, posix.MayWrite)
	}
	return nil
}

// modeSet is the mode that chmod gives: the setgid bit of a group that the
// owner is not in is dropped silently. g is the group after the change:
// setattr_prepare.
func (v View) modeSet(n *inode, mode posix.Mode, g posix.GID) posix.Mode {
	if !v.inGroup(g) {
		mode &^= posix.SetGID
	}
	return n.Mode.Type() | mode.Perm()
}

// killed is the mode without what a stranger must not leave behind: suid, and
// sgid where it means running as the group or where the caller is not in it.
// setattr_should_drop_suidgid.
func (v View) killed(n *inode, mode posix.Mode) posix.Mode {
	mode &^= posix.SetUID
	if mode&posix.SetGID != 0 && (mode&0o010 != 0 || !v.inGroup(n.GID)) {
		mode &^= posix.SetGID
	}
	return mode
}

// written is what the caller's writing to a regular file makes of its mode:
// file_remove_privs. The superuser's writes leave it.
func (v View) written(n *inode) posix.Mode {
	if v.cred.Super || !n.Mode.IsReg() {
		return n.Mode
	}
	return v.killed(n, n.Mode)
}

// fresh is the mode and group of a new inode in d: inode_init_owner,
// mode_strip_sgid. mode has its type and is as the program asked for it, before
// the umask.
func (v View) fresh(d *inode, mode posix.Mode) (posix.Mode, posix.GID) {
	if d.Mode&posix.SetGID == 0 {
		return mode, v.cred.GID
	}
	switch {
	case mode.IsDir():
		mode |= posix.SetGID
	case mode&(posix.SetGID|0o010) == posix.SetGID|0o010 && !v.inGroup(d.GID):
		mode &^= posix.SetGID
	}
	return mode, d.GID
}

// mayOpen asks what flags need of n: may_open.
func (v View) mayOpen(n *inode, flags posix.OpenFlags) error {
	has := func(f posix.OpenFlags) bool { return flags&f != 0 }
	switch n.Mode.Type() {
	case posix.TypeLink:
		return posix.ELOOP
	case posix.TypeDir:
		if has(posix.OpenWrite | posix.OpenTrunc) {
			return posix.EISDIR
		}
		if has(posix.OpenExec) {
			return posix.EACCES
		}
	case posix.TypeSock:
		return posix.ENXIO
	}
	if has(posix.OpenDir) && !n.Mode.IsDir() {
		return posix.ENOTDIR
	}
	var want posix.Perm
	if has(posix.OpenRead) || has(posix.OpenDir) {
		want |= posix.MayRead
	}
	if has(posix.OpenWrite) || has(posix.OpenTrunc) {
		want |= posix.MayWrite
	}
	if has(posix.OpenExec) {
		want |= posix.MayExec
		if !n.Mode.IsReg() {
			return posix.EACCES
		}
	}
	return v.may(n, want)
}

// mayReaddir asks for the listing of d, of those who have no handle of it: a
// directory that is open stays readable.
func (v View) mayReaddir(d *inode) error { return v.may(d, posix.MayRead) }

// maySetACL is for both ACLs: set_posix_acl.
func (v View) maySetACL(n *inode) error {
	if !v.owns(n) {
		return posix.EPERM
	}
	return nil
}

// mayXattr asks for reading (MayRead) or changing (MayWrite) an attribute of
// the given class: xattr_permission, cap_inode_setxattr.
func (v View) mayXattr(n *inode, class string, want posix.Perm) error {
	no := posix.ENODATA // to read what one can't have is to find nothing
	if want == posix.MayWrite {
		no = posix.EPERM
	}
	switch class {
	case xattrTrusted:
		if !v.cred.Super {
			return no
		}
		return nil
	case xattrSecurity:
		if want == posix.MayWrite && !v.cred.Super {
			return posix.EPERM
		}
		return nil
	}
	switch {
	case !n.Mode.IsReg() && !n.Mode.IsDir():
		return no
	case n.Mode.IsDir() && n.Mode&posix.Sticky != 0 && want == posix.MayWrite && !v.owns(n):
		return posix.EPERM
	}
	return v.may(n, want)
}
