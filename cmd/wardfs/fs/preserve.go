package fs

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// preserve gives the place what the file name of this host has, as st and its
// ACLs say. The owner comes first: changing it takes set-ID bits away. A default
// ACL that the place has inherited goes, as with cp -p.
func (p Place) preserve(ctx context.Context, name string, st os.FileInfo) error {
	a, err := p.Find(ctx, false)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	mode := posix.Mode(sys.Mode).Perm()
	if posix.UID(sys.Uid) != a.UID || posix.GID(sys.Gid) != a.GID {
		_, err := p.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetOwner | posix.SetGroup, UID: posix.UID(sys.Uid), GID: posix.GID(sys.Gid)})
		if posix.ErrnoOf(err) == posix.EPERM {
			mode &^= setIDs // they would be another's
		} else if err != nil {
			return err
		}
	}
	for _, which := range aclsOf(st.IsDir()) {
		b, err := localACL(name, which)
		if err == nil && b == nil {
			if err = p.Removexattr(ctx, a.Ino, which); without(err) {
				err = nil
			}
		} else if err == nil {
			err = p.Setxattr(ctx, a.Ino, which, b, 0)
		}
		if err != nil {
			return err
		}
	}
	_, err = p.Setattr(ctx, a.Ino, posix.SetAttr{
		Set: posix.SetMode | posix.SetAtime | posix.SetMtime, Mode: mode,
		Atime: posix.Time{Sec: sys.Atim.Sec, Nsec: uint32(sys.Atim.Nsec)}, Mtime: posix.Time{Sec: sys.Mtim.Sec, Nsec: uint32(sys.Mtim.Nsec)},
	})
	return err
}

// preserveHere gives the file name of this host what a has. Only root gives
// files away.
func (t *Tree) preserveHere(ctx context.Context, a posix.Attr, name string) error {
	var all error
	if os.Geteuid() == 0 {
		all = os.Lchown(name, int(a.UID), int(a.GID))
	}
	for _, which := range aclsOf(a.Mode.IsDir()) {
		b, err := t.Getxattr(ctx, a.Ino, which)
		switch {
		case without(err):
			err = unix.Lremovexattr(name, which)
			if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
				err = nil
			}
		case err == nil:
			if err = unix.Lsetxattr(name, which, b, 0); err != nil {
				err = &pathError{name, err, "its ACL is not kept"}
			}
		}
		all = errors.Join(all, err)
	}
	return errors.Join(all, os.Chmod(name, fileMode(a.Mode)), os.Chtimes(name, a.Atime.Std(), a.Mtime.Std()))
}

func aclsOf(dir bool) []string {
	if dir {
		return []string{acl.XattrAccess, acl.XattrDefault}
	}
	return []string{acl.XattrAccess}
}

// localACL reads an ACL of this host, nil if there is none.
func localACL(name, which string) ([]byte, error) {
	b := make([]byte, 64<<10) // the most that an attribute of Linux has
	n, err := unix.Lgetxattr(name, which, b)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case err != nil:
		return nil, &pathError{name, err, ""}
	}
	return b[:n], nil
}
