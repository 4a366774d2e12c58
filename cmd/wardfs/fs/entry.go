package fs

import (
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// entry is an inode as it is shown, and in --json.
type entry struct {
	Path   string    `json:"path"`
	Bytes  []byte    `json:"path_bytes,omitempty"` // base64, of a path that is no UTF-8
	Type   string    `json:"type"`
	Mode   string    `json:"mode"` // "0755"
	Ino    posix.Ino `json:"ino"`
	Nlink  uint32    `json:"nlink"`
	UID    posix.UID `json:"uid"`
	Owner  string    `json:"owner"`
	GID    posix.GID `json:"gid"`
	Group  string    `json:"group"`
	Size   uint64    `json:"size"`
	Alloc  uint64    `json:"allocated"`
	Device string    `json:"device,omitempty"` // "8,1"
	Target string    `json:"target,omitempty"`
	ACL    bool      `json:"acl"`
	Atime  time.Time `json:"atime"`
	Mtime  time.Time `json:"mtime"`
	Ctime  time.Time `json:"ctime"`
	Btime  time.Time `json:"btime"`

	name string // to be shown
	attr posix.Attr
}

// entry describes an inode by its attributes alone.
func (t *Tree) entry(path, name string, a posix.Attr) entry {
	x := entry{
		Path: path, Type: typeName(a.Mode), Mode: "0" + strconv.FormatUint(uint64(a.Mode.Perm()), 8),
		Ino: a.Ino, Nlink: a.Nlink, UID: a.UID, Owner: t.user(a.UID), GID: a.GID, Group: t.group(a.GID), Size: a.Size, Alloc: a.Alloc,
		Atime: a.Atime.Std(), Mtime: a.Mtime.Std(), Ctime: a.Ctime.Std(), Btime: a.Btime.Std(), name: name, attr: a,
	}
	if !utf8.ValidString(path) {
		x.Bytes = []byte(path)
	}
	if typ := a.Mode.Type(); typ == posix.TypeBlock || typ == posix.TypeChar {
		major, minor := device(a.Rdev)
		x.Device = strconv.Itoa(int(major)) + "," + strconv.Itoa(int(minor))
	}
	return x
}

// complete adds what takes another call each: where a symbolic link leads, and
// whether there is an ACL.
func (t *Tree) complete(ctx context.Context, x *entry) (err error) {
	if x.attr.Mode.IsLink() {
		x.Target, err = t.Readlink(ctx, x.attr.Ino)
		return err
	}
	x.ACL, err = t.hasACL(ctx, x.attr)
	return err
}

// hasACL reports whether the mode does not say all.
func (t *Tree) hasACL(ctx context.Context, a posix.Attr) (bool, error) {
	for _, name := range []string{acl.XattrAccess, acl.XattrDefault} {
		if name == acl.XattrDefault && !a.Mode.IsDir() {
			continue
		}
		if _, err := t.Getxattr(ctx, a.Ino, name); err == nil {
			return true, nil
		} else if !without(err) {
			return false, err
		}
	}
	return false, nil
}

// without reports that an attribute is not there, or none of its kind can be.
func without(err error) bool {
	e := posix.ErrnoOf(err)
	return e == posix.ENODATA || e == posix.EOPNOTSUPP
}

// device takes apart new_encode_dev of linux/kdev_t.h.
func device(dev uint32) (major, minor uint32) {
	return dev & 0xfff00 >> 8, dev&0xff | dev>>12&0xfff00
}

// user is the name of a user, or its number.
func (t *Tree) user(id posix.UID) string {
	if t.Names.User != nil {
		if name := t.Names.User(id); name != "" {
			return name
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

// group is the name of a group, or its number.
func (t *Tree) group(id posix.GID) string {
	if t.Names.Group != nil {
		if name := t.Names.Group(id); name != "" {
			return name
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

// letters is the mode as ls -l has it: "drwxr-sr-t".
func letters(m posix.Mode) string {
	b := []byte(typeLetter(m) + "rwxrwxrwx")
	for i := range 9 {
		if m&(0o400>>i) == 0 {
			b[1+i] = '-'
		}
	}
	for i, bit := range []posix.Mode{posix.SetUID, posix.SetGID, posix.Sticky} {
		if m&bit == 0 {
			continue
		}
		at, with := 3+3*i, "sst"[i]
		if b[at] != 'x' {
			with -= 'a' - 'A'
		}
		b[at] = with
	}
	return string(b)
}

func typeLetter(m posix.Mode) string {
	switch m.Type() {
	case posix.TypeDir:
		return "d"
	case posix.TypeLink:
		return "l"
	case posix.TypeFIFO:
		return "p"
	case posix.TypeSock:
		return "s"
	case posix.TypeBlock:
		return "b"
	case posix.TypeChar:
		return "c"
	}
	return "-"
}

// typeName is the type as stat(1) calls it.
func typeName(m posix.Mode) string {
	switch m.Type() {
	case posix.TypeDir:
		return "directory"
	case posix.TypeLink:
		return "symbolic link"
	case posix.TypeFIFO:
		return "fifo"
	case posix.TypeSock:
		return "socket"
	case posix.TypeBlock:
		return "block special file"
	case posix.TypeChar:
		return "character special file"
	}
	return "regular file"
}
