// Package lock keeps the locks of fcntl(2) and flock(2) on the server, so that
// the programs of all mounts exclude each other as those of one Linux host do
// on a local disk. It follows fs/locks.c:
//
//   - A [Posix] lock is a range of bytes of one owner. A new lock of an owner
//     replaces what it had there: ranges split, merge, grow and shrink. One
//     that has to wait for others leaves what its owner has as it is.
//   - A [Flock] lock is of a whole file, in a space of its own: the two kinds
//     do not see each other. A conversion first gives up the old lock, and a
//     conversion that fails has lost it.
//   - Who asks for what nobody holds against it gets it at once, even where
//     others wait: readers may overtake a waiting writer, as on Linux. Of
//     those who wait, the first that no holder keeps from its lock is first
//     served, before the one who made room can ask again.
//
// It refuses to know sessions, grace periods and the disk. Locks live in
// memory: after a restart of the server each mount says what it held through
// [Table.Reclaim], and the caller sees to it that nobody uses Set meanwhile.
//
//	t := lock.New(lock.Config{})
//	l := lock.Lock{Kind: lock.Posix, Type: lock.Write, Start: 0, End: 99, Owner: lock.Owner{Session: 7, ID: 1}}
//	err := t.Set(ctx, ino, l, true)
package lock

import (
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// Kind is which system call a lock is of.
type Kind uint8

// The kinds of lock.
const (
	Posix Kind = iota // fcntl(2), of processes and of open file descriptions
	Flock             // flock(2)
	numKinds
)

// String is the system call's name.
func (k Kind) String() string {
	if k == Flock {
		return "flock"
	}
	return "fcntl"
}

// Type is what a lock forbids the others. Each is stronger than the one before.
type Type uint8

// The types of lock; zero is none of them.
const (
	Unlock Type = iota + 1 // nothing: F_UNLCK, LOCK_UN
	Read                   // to write: F_RDLCK, LOCK_SH
	Write                  // to read and to write: F_WRLCK, LOCK_EX
)

// String is for people: "unlock", "read", "write".
func (t Type) String() string {
	switch t {
	case Unlock:
		return "unlock"
	case Read:
		return "read"
	case Write:
		return "write"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// EOF as the End of a lock is the end of the file, however it grows. It is the
// kernel's OFFSET_MAX; a larger End means the same.
const EOF uint64 = posix.FileSizeMax

// Owner is who never conflicts with itself: a process (strictly, a table of
// open files) or an open file description on one mount.
type Owner struct {
	Session uint64
	ID      uint64 // the kernel's lock owner; of one mount only
}

// Lock is a lock that is held or asked for.
type Lock struct {
	Kind       Kind
	Type       Type
	Start, End uint64 // the first and the last byte; of a Flock, 0 and EOF whatever is said
	Owner      Owner
	PID        uint32 // who asked last, for F_GETLK

	// OFD says that Owner is an open file description (F_OFD_SETLK): any
	// thread that has it may unlock, so waiting for it is never a deadlock.
	// It is implied for a Flock.
	OFD bool
}

// Check answers EINVAL for a lock that no honest client sends.
func (l Lock) Check() posix.Errno {
	if l.Kind >= numKinds || l.Type < Unlock || l.Type > Write {
		return posix.EINVAL
	}
	if l.Kind == Posix && (l.Start > l.End || l.Start > EOF) {
		return posix.EINVAL
	}
	return 0
}

// whole is l as the table keeps it.
func (l Lock) whole() Lock {
	if l.Kind == Flock {
		l.Start, l.End, l.OFD = 0, EOF, true
	}
	l.End = min(l.End, EOF)
	return l
}

// refused is errno as the answer to l; nil for 0.
func (l Lock) refused(errno posix.Errno) error {
	if errno == 0 {
		return nil
	}
	return posix.E(l.Kind.String(), errno, nil)
}

func (l Lock) span() span { return span{l.Start, l.End, l.PID, l.Type} }

// Held is a lock and the inode it is of.
type Held struct {
	Ino  posix.Ino
	Lock Lock
}

// Stats are figures for people and metrics.
type Stats struct {
	Locks   int // ranges that are held
	Waiters int // requests that wait
	Files   int // inodes with locks, counted once for each kind
}

// Config is what a Table needs. The zero Config is useful.
type Config struct {
	// PerSession is how many ranges a session may hold and wait for, of both
	// kinds; default 65536.
	PerSession int
	// PerInode is how many ranges of one kind an inode may have; default 65536.
	PerInode int
}
