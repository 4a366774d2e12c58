package acl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// state is all of a path that permission is about, in words.
func state(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return errno(err)
	}
	return words(st, func(name string, b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
}

// stateOf is state of an open file.
func stateOf(fd int) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errno(err)
	}
	return words(st, func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
}

func words(st unix.Stat_t, get func(string, []byte) (int, error)) string {
	size := st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0 // each filesystem has its own idea of it
	}
	return fmt.Sprintf("%o %d:%d links %d size %d access %s default %s", st.Mode, st.Uid, st.Gid, st.Nlink, size,
		list(get, acl.XattrAccess), list(get, acl.XattrDefault))
}

// list is an ACL in words, or why there is none.
func list(get func(string, []byte) (int, error), name string) string {
	b := make([]byte, posix.XattrMax)
	n, err := get(name, b)
	if err != nil {
		return errno(err)
	}
	l, err := acl.DecodeXattr(b[:n])
	if err != nil {
		return fmt.Sprintf("%x: %v", b[:n], err)
	}
	return fmt.Sprint(l)
}
