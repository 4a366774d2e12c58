package posix

import (
	"strconv"
	"strings"
)

// The limits of limits.h that wardfs keeps, in bytes, and its own.
const (
	NameMax     = 255
	PathMax     = 4096      // of a symbolic link's target, with its terminating zero
	LinkMax     = 1 << 31   // names of one inode
	XattrMax    = 64 << 10  // one value, as XATTR_SIZE_MAX
	XattrName   = 255       // as XATTR_NAME_MAX
	XattrList   = 64 << 10  // all names of an inode, as XATTR_LIST_MAX
	FileSizeMax = 1<<63 - 1 // as off_t
	ReaddirMax  = 4096      // entries that one answer brings
)

// CheckName answers EINVAL for an empty name and one with a slash or a zero
// byte, ENAMETOOLONG over NameMax bytes, EEXIST for "." and "..": a name that
// can be made. Lookup alone accepts the two dots.
func CheckName(name string) Errno {
	switch {
	case len(name) > NameMax:
		return ENAMETOOLONG
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return EINVAL
	case name == "." || name == "..":
		return EEXIST
	}
	return 0
}

// Unescape replaces each \ooo by the byte with that octal number: so the kernel
// writes what would cut a line of /proc/mounts, and getfacl a name. Other
// backslashes stand for themselves.
func Unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
