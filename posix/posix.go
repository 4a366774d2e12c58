// Package posix holds the words that every other room of wardfs speaks: inode
// numbers, attributes, callers, names, errnos, the extents of a file, and
// [Namespace], the one wide interface between a caller and a tree.
//
// It is pure: no I/O, no clock, no wire format, no kernel. What it refuses to
// do is decide anything; the rules of permission are in package acl, the rules
// of the tree in server/namespace.
//
// A body of Namespace is bound to its caller once, when it is made:
//
//	fs := tree.As(posix.Cred{UID: 1000, GID: 1000})
//	dir, err := fs.Mkdir(ctx, posix.RootIno, "home", 0o777, 0o022)
package posix

import (
	"context"
	"time"
)

// Ino is an inode number. It is never reused within one namespace, and is the
// kernel's node id too.
type Ino uint64

// RootIno is the top of a namespace; it is also the kernel's FUSE_ROOT_ID.
const RootIno Ino = 1

// UID and GID are owners. In the namespace they are keys of its id table; a
// mount translates them from and to the numbers of its host.
type (
	UID uint32
	GID uint32
)

// Mode is st_mode of stat(2): the file type and the twelve permission bits.
type Mode uint32

// The file types and special bits of inode(7).
const (
	TypeMask  Mode = 0o170000
	TypeSock  Mode = 0o140000
	TypeLink  Mode = 0o120000
	TypeReg   Mode = 0o100000
	TypeBlock Mode = 0o060000
	TypeDir   Mode = 0o040000
	TypeChar  Mode = 0o020000
	TypeFIFO  Mode = 0o010000

	SetUID   Mode = 0o4000
	SetGID   Mode = 0o2000
	Sticky   Mode = 0o1000
	PermMask Mode = 0o7777
)

// Type returns the file type alone.
func (m Mode) Type() Mode { return m & TypeMask }

// Perm returns the twelve permission bits alone.
func (m Mode) Perm() Mode { return m & PermMask }

// IsDir, IsReg and IsLink answer for the commonest types.
func (m Mode) IsDir() bool  { return m.Type() == TypeDir }
func (m Mode) IsReg() bool  { return m.Type() == TypeReg }
func (m Mode) IsLink() bool { return m.Type() == TypeLink }

// Perm is what a caller wants of an inode, as in access(2).
type Perm uint8

// The three rights of access(2).
const (
	MayExec  Perm = 1
	MayWrite Perm = 2
	MayRead  Perm = 4
)

// Time is a moment in seconds and nanoseconds since the epoch, as struct
// timespec has it. Sec may be negative; Nsec is in [0, 1e9).
type Time struct {
	Sec  int64
	Nsec uint32
}

// TimeOf converts t. The zero time.Time has no use here and becomes a moment
// long before the epoch.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Std converts t back.
func (t Time) Std() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Attr is what stat(2) and statx(2) tell of an inode.
type Attr struct {
	Ino   Ino
	Gen   uint64 // distinguishes two lives of one number, as NFS handles need
	Mode  Mode
	Nlink uint32
	UID   UID
	GID   GID
	Rdev  uint32 // of device files: the kernel's new_encode_dev form
	Size  uint64 // bytes
	Alloc uint64 // bytes that slices cover; st_blocks is this / 512, rounded up

	Atime, Mtime, Ctime, Btime Time

	// Change grows with every change of the inode (NFSv4's change attribute):
	// two equal values mean equal content.
	Change uint64

	// NoACL says that the inode has neither an access nor a default ACL, so
	// that nobody need ask. False is not known, or it has.
	NoACL bool
}

// Cred is whom an operation is done for. Super bypasses as root does on Linux.
type Cred struct {
	UID    UID
	GID    GID
	Groups []GID // supplementary groups
	Super  bool
}

// In reports whether the caller is a member of g.
func (c Cred) In(g GID) bool {
	if c.GID == g {
		return true
	}
	for _, x := range c.Groups {
		if x == g {
			return true
		}
	}
	return false
}

// Handle names one open file or directory of one session. The client chooses
// it, so that a retried open is the same open; zero is no handle.
type Handle uint64

// OpenFlags are what of open(2) the server must know.
type OpenFlags uint32

// The flags of open(2) in wardfs's own numbering.
const (
	OpenRead  OpenFlags = 1 << iota // O_RDONLY or O_RDWR
	OpenWrite                       // O_WRONLY or O_RDWR
	OpenTrunc                       // O_TRUNC
	OpenExcl                        // O_EXCL
	OpenExec                        // opened to be executed: x is asked for instead of r
	OpenDir                         // a directory stream
	OpenData                        // the bytes of a small file are wanted with the answer; no right
)

// AllocMode says what fallocate(2) does to a range.
type AllocMode uint32

// The modes of fallocate(2), in Linux's numbering. Zero extends the file.
const (
	AllocKeepSize  AllocMode = 0x01
	AllocPunchHole AllocMode = 0x02 // only with AllocKeepSize
	AllocZeroRange AllocMode = 0x10
)

// Opened is the answer of an open: every question asked once.
type Opened struct {
	Attr Attr
	// Extents is the layout of the file's first bytes, up to LayoutEnd.
	Extents   []Extent
	LayoutEnd uint64
	// Capability is the signed right to the file's chunks that the chunk role
	// checks; opaque to the client. Nil where the caller needs none.
	Capability []byte
	// Blocks are all that a small file is made of, if OpenData asked for them
	// and the tree could answer them at once: at most InlineMax bytes.
	Blocks []Block
}

// Block is a whole block, as it is stored.
type Block struct {
	ID   BlockID
	Data []byte
}

// RenameFlags are those of renameat2(2).
type RenameFlags uint32

// The flags of renameat2(2), in Linux's numbering.
const (
	RenameNoReplace RenameFlags = 1
	RenameExchange  RenameFlags = 2
)

// SetMask says which fields of a [SetAttr] count.
type SetMask uint32

// The fields of a SetAttr.
const (
	SetMode SetMask = 1 << iota
	SetOwner
	SetGroup
	SetSize
	SetAtime
	SetMtime
	SetAtimeNow // the server's clock; Atime is ignored
	SetMtimeNow
	SetKillPriv // clear suid and sgid as a write by a stranger does
)

// SetAttr is a change of attributes, as of chmod, chown, truncate, utimensat.
type SetAttr struct {
	Set   SetMask
	Mode  Mode // permission bits only
	UID   UID
	GID   GID
	Size  uint64
	Atime Time
	Mtime Time
	// Handle, when not zero, is an open handle through which the size is set:
	// ftruncate(2) asks the handle's right and not the mode's.
	Handle Handle
}

// Cookie is a position in a directory stream. It stays valid while entries
// come and go, across handles and restarts. Zero is the beginning.
type Cookie uint64

// Dirent is one entry of a directory with its attributes.
type Dirent struct {
	Name string
	Next Cookie // read on after this entry from here
	Attr Attr   // Ino and Mode's type are always set; the rest if the stream was asked for it
}

// Statfs is what statfs(2) tells.
type Statfs struct {
	Bytes, FreeBytes, AvailBytes uint64
	Files, FreeFiles             uint64
}

// XattrFlags are those of setxattr(2), in Linux's numbering.
type XattrFlags uint32

// The flags of setxattr(2).
const (
	XattrCreate  XattrFlags = 1
	XattrReplace XattrFlags = 2
)

// Commit makes written slices part of a file, all of them or none.
type Commit struct {
	// Extents are laid over the file in this order; later ones cover earlier
	// ones and all that was there. None crosses a chunk's border. The size
	// becomes at least the end of the last byte.
	Extents []Extent
	Mtime   Time // when the caller wrote, by the client's clock; zero means now
	// Inline are the bytes of slices that Extents name for the first time and
	// that are small: they come with the commit and need not be put before.
	// InlineMax bounds their sum (E2BIG). They are the tree's until it answers.
	Inline []Inline
	// Append says that the first extent begins where the file ends. ERANGE if
	// it does not: another client has changed the size, and nothing happens.
	Append bool
}

// Inline is the one block of a small slice, as it is to be stored.
type Inline struct {
	Slice SliceID
	Data  []byte
}

// Namespace is a tree of inodes as one caller sees it: what the kernel asks of
// a filesystem, without the kernel. It follows POSIX.1-2017 and, where that
// leaves room, Linux's VFS.
//
// All methods are safe for concurrent use. Every error is or wraps an *[Error],
// whose Errno is the answer; the errnos named below are those beside EACCES,
// EPERM, ENOENT, ENOTDIR, ESTALE (the inode is gone), EIO and ENOSPC. When ctx
// is cancelled a method answers EINTR, and the operation has either happened
// whole or not at all. When a changing method has returned nil, its effect
// survives a crash of every process and a power cut.
//
// Names are bytes, not text; they follow [CheckName].
type Namespace interface {
	// Lookup finds name in dir. "." and ".." are found too.
	Lookup(ctx context.Context, dir Ino, name string) (Attr, error)
	Getattr(ctx context.Context, ino Ino) (Attr, error)
	// Setattr answers the attributes after the change. EFBIG, EINVAL, EISDIR.
	Setattr(ctx context.Context, ino Ino, set SetAttr) (Attr, error)
	// Access answers nil if the caller has all of want.
	Access(ctx context.Context, ino Ino, want Perm) error
	// Readlink answers EINVAL for anything but a symbolic link.
	Readlink(ctx context.Context, ino Ino) (string, error)

	// Mkdir, Mknod and Symlink make an inode. mode is what the program asked
	// for; the umask applies only where dir has no default ACL. EEXIST, EMLINK.
	Mkdir(ctx context.Context, dir Ino, name string, mode, umask Mode) (Attr, error)
	Mknod(ctx context.Context, dir Ino, name string, mode, umask Mode, rdev uint32) (Attr, error)
	Symlink(ctx context.Context, dir Ino, name, target string) (Attr, error)
	// Link gives ino one more name, or a Tmpfile its first. EEXIST, EMLINK;
	// EPERM for a directory.
	Link(ctx context.Context, ino, dir Ino, name string) (Attr, error)
	// Unlink removes a name. A file that is open lives on until its last
	// close. EISDIR for a directory.
	Unlink(ctx context.Context, dir Ino, name string) error
	// Rmdir answers ENOTEMPTY, ENOTDIR, EINVAL for ".".
	Rmdir(ctx context.Context, dir Ino, name string) error
	// Rename is atomic for every observer. EEXIST, EINVAL, ENOTEMPTY, EISDIR.
	Rename(ctx context.Context, from Ino, name string, to Ino, newName string, flags RenameFlags) error
	// Readdir answers entries of dir from the cookie on, "." and ".."
	// included, at most max of them; none at the end. With plus, whole
	// attributes. An entry that is there throughout is seen exactly once. At
	// most ReaddirMax are answered at once; fewer than both are the last.
	// h is an open handle of dir: that it was opened for reading is the right.
	// With 0, no handle, r on dir is asked for. EBADF.
	Readdir(ctx context.Context, dir Ino, h Handle, from Cookie, max int, plus bool) ([]Dirent, error)

	// Create makes a regular file and opens it as h, or opens the one that is
	// there unless flags has OpenExcl (EEXIST).
	Create(ctx context.Context, dir Ino, name string, mode, umask Mode, h Handle, flags OpenFlags) (Opened, error)
	// Tmpfile makes a regular file without a name, as O_TMPFILE in dir, and
	// opens it as h, for writing at least. Link gives it a name, unless flags
	// has OpenExcl; if none does, it goes with its last close.
	Tmpfile(ctx context.Context, dir Ino, mode, umask Mode, h Handle, flags OpenFlags) (Opened, error)
	// Open opens ino as h. EISDIR, ENXIO, EBADF if h is in use for another.
	// To open again what h is, in the same way, cuts nothing and does not ask
	// the mode, which may have changed: it answers the layout and a
	// capability as of now.
	Open(ctx context.Context, ino Ino, h Handle, flags OpenFlags) (Opened, error)
	// Close ends h. Closing what is not open is no error.
	Close(ctx context.Context, h Handle) error
	// Layout answers the extents of the bytes from off on, in order and
	// without overlap, holes left out, and where the answer ends: at or after
	// off+length unless the file is too broken up for one answer. EBADF.
	Layout(ctx context.Context, h Handle, off, length uint64) (extents []Extent, end uint64, err error)
	// Commit lays slices over the file open as h. EBADF, EFBIG, EINVAL; ERANGE
	// of an append whose place is not the file's end.
	Commit(ctx context.Context, h Handle, c Commit) (Attr, error)
	// Allocate follows fallocate(2): mode 0 or AllocKeepSize reserves nothing,
	// so that only the size may grow; AllocPunchHole with AllocKeepSize and
	// AllocZeroRange with or without it make the range a hole. All else is
	// EOPNOTSUPP. EBADF, EINVAL, EFBIG; ENODEV, EISDIR, ESPIPE for what is no
	// regular file.
	Allocate(ctx context.Context, h Handle, mode AllocMode, off, length uint64) (Attr, error)
	// CopyRange follows copy_file_range(2) by sharing slices: no bytes move.
	// It answers how many bytes were copied, fewer than asked at the end of
	// the file or where there is much to share, and the attributes of the file
	// that was written to. EBADF, EINVAL for ranges of one file that overlap,
	// EISDIR, EOVERFLOW; EXDEV where it can't be done without copying.
	CopyRange(ctx context.Context, from Handle, off uint64, to Handle, toOff, length uint64) (n uint64, a Attr, err error)

	// The extended attributes of xattr(7). ENODATA, EEXIST, ERANGE, E2BIG,
	// EOPNOTSUPP.
	Getxattr(ctx context.Context, ino Ino, name string) ([]byte, error)
	Setxattr(ctx context.Context, ino Ino, name string, value []byte, flags XattrFlags) error
	Listxattr(ctx context.Context, ino Ino) ([]string, error)
	Removexattr(ctx context.Context, ino Ino, name string) error

	Statfs(ctx context.Context, ino Ino) (Statfs, error)
}

// LockKind is which system call a lock is of.
type LockKind uint8

// The kinds of lock. They do not see each other.
const (
	LockPosix LockKind = iota // fcntl(2); the kernel hands on F_OFD_SETLK as this, so that two of those may be EDEADLK
	LockFlock                 // flock(2): of the whole file
)

// LockType is what a lock forbids the others.
type LockType uint8

// The types of lock; zero is none of them.
const (
	LockUnlock LockType = iota + 1
	LockRead
	LockWrite
)

// Lock is a lock that is held or asked for.
type Lock struct {
	Kind       LockKind
	Type       LockType
	Start, End uint64 // the first and the last byte; FileSizeMax is the end of the file, however it grows
	Owner      uint64 // who never conflicts with itself: the kernel's lock owner, of one session only
	PID        uint32 // who asked last, for F_GETLK
}

// Locks are the locks of a tree as one session sees them, with the semantics
// of Linux's fs/locks.c. The session must have the inode open (EBADF).
type Locks interface {
	// Getlk answers a lock that keeps l from being granted, if there is one.
	// Its Owner is 0 if it is of another session.
	Getlk(ctx context.Context, ino Ino, l Lock) (conflict Lock, ok bool, err error)
	// Setlk gives l to its owner, or takes its range away. EAGAIN: others hold
	// it and wait is false. EDEADLK, ENOLCK, EINVAL. With wait it answers once
	// the lock is the owner's, or EINTR when ctx ended before: then what the
	// owner held is as it was, but for a Flock, whose conversion has given up
	// the old lock. To set what is held already is no error.
	Setlk(ctx context.Context, ino Ino, l Lock, wait bool) error
	// Unlock takes all that owner has of a kind on ino, as close(2) does.
	Unlock(ctx context.Context, ino Ino, owner uint64, k LockKind) error
}

// Change is what a cache must forget: an inode's attributes and bytes, and
// where Dir is set, what Name in it names.
type Change struct {
	Ino  Ino
	Dir  Ino
	Name string
}
