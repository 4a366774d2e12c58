package fuse

import (
	"context"
	"sync"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// The kernel's names of types of lock, of fcntl(2), and the server's.
var lockTypes = map[uint32]posix.LockType{
	unix.F_RDLCK: posix.LockRead, unix.F_WRLCK: posix.LockWrite, unix.F_UNLCK: posix.LockUnlock,
}

// holder is one owner's locks of a kind on a file.
type holder struct {
	ino   posix.Ino
	owner uint64
	kind  posix.LockKind
}

// holders are those that may have locks on the server: closing a file asks it
// only for them. The zero value is ready; it is safe for concurrent use.
type holders struct {
	mu  sync.Mutex
	set map[holder]lockedIn
}

// lockedIn is where the server has them.
type lockedIn struct {
	fh uint64 // the handle that locked first
	// in has the locks that each session knows of the holder, by handle: a
	// process that has changed its user may have locked in two.
	in map[uint64]posix.Locks
}

func (l *holders) add(h holder, fh uint64, in posix.Locks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil {
		l.set = map[holder]lockedIn{}
	}
	x, ok := l.set[h]
	if !ok {
		x = lockedIn{fh, map[uint64]posix.Locks{}}
		l.set[h] = x
	}
	x.in[fh] = in
}

// take forgets h and answers where it has locks; nil is nowhere.
func (l *holders) take(h holder) map[uint64]posix.Locks {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.set[h]
	delete(l.set, h)
	return x.in
}

// takeOf forgets and answers those that locked through a handle.
func (l *holders) takeOf(fh uint64) map[holder]map[uint64]posix.Locks {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[holder]map[uint64]posix.Locks{}
	for h, x := range l.set {
		if x.fh == fh {
			all[h] = x.in
			delete(l.set, h)
		}
	}
	return all
}

func lockOf(in *raw.LkIn) (posix.Lock, error) {
	t, ok := lockTypes[in.Lk.Typ]
	if !ok {
		return posix.Lock{}, posix.E("lock", posix.EINVAL, nil)
	}
	l := posix.Lock{Type: t, Start: in.Lk.Start, End: in.Lk.End, Owner: in.Owner, PID: in.Lk.Pid}
	if in.LkFlags&raw.LK_FLOCK != 0 {
		l.Kind, l.Start, l.End = posix.LockFlock, 0, posix.FileSizeMax
	}
	return l, nil
}

// onLocks runs f with the file's handle and the locks of the session.
func (s *server) onLocks(op string, cancel <-chan struct{}, in *raw.LkIn, f func(context.Context, *openFile, posix.Locks, posix.Lock) error) raw.Status {
	r := s.request(&in.InHeader, cancel)
	r.grace = -1 // fcntl(2): a signal ends the waiting with EINTR
	return s.serve(op, &in.InHeader, r, func(ctx context.Context) error {
		x, err := s.files.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		l, err := lockOf(in)
		if err != nil {
			return err
		}
		x.Pin() // that close gives up all locks, the server sees to as well
		locks, ok := s.through(x, s.As(s.caller(in.Uid, in.Gid, in.Pid).cred)).(posix.Locks)
		if !ok {
			return posix.E(op, posix.ENOLCK, nil)
		}
		return f(ctx, x, locks, l)
	})
}

// GetLk tells of a lock that is in the way, of another process or mount.
func (s *server) GetLk(cancel <-chan struct{}, in *raw.LkIn, out *raw.LkOut) raw.Status {
	return s.onLocks("getlk", cancel, in, func(ctx context.Context, x *openFile, locks posix.Locks, l posix.Lock) error {
		other, ok, err := locks.Getlk(ctx, x.Ino(), l)
		if err != nil {
			return err
		}
		out.Lk = raw.FileLock{Typ: unix.F_UNLCK}
		if ok {
			out.Lk = raw.FileLock{Start: other.Start, End: other.End, Typ: unix.F_RDLCK, Pid: other.PID}
			if other.Type == posix.LockWrite {
				out.Lk.Typ = unix.F_WRLCK
			}
		}
		return nil
	})
}

// SetLk answers EAGAIN where it would have to wait.
func (s *server) SetLk(cancel <-chan struct{}, in *raw.LkIn) raw.Status {
	return s.setLock("setlk", cancel, in, false)
}

// SetLkw waits. A signal ends it with EINTR, and no lock is left behind.
func (s *server) SetLkw(cancel <-chan struct{}, in *raw.LkIn) raw.Status {
	return s.setLock("setlkw", cancel, in, true)
}

// setLock makes locks order what mounts see of each other, as NFS does: what
// was written under a lock is committed before it is given up, and what
// others have changed is forgotten before it is had.
func (s *server) setLock(op string, cancel <-chan struct{}, in *raw.LkIn, wait bool) raw.Status {
	return s.onLocks(op, cancel, in, func(ctx context.Context, x *openFile, locks posix.Locks, l posix.Lock) error {
		if l.Type == posix.LockUnlock {
			// An error of the write is told by fsync or close; an unlock never fails for it.
			if err := x.Commit(ctx); err != nil {
				s.Log.Warn("not written before the unlock", "ino", x.Ino(), "err", err)
			}
			return locks.Setlk(ctx, x.Ino(), l, wait)
		}
		s.held.add(holder{x.Ino(), l.Owner, l.Kind}, in.Fh, locks)
		if err := locks.Setlk(ctx, x.Ino(), l, wait); err != nil {
			return err
		}
		s.settle()
		return nil
	})
}

// unlock gives up all that h has, when its file was closed. Nobody waits for
// an answer and nobody could do anything about an error.
func (s *server) unlock(ctx context.Context, h holder, in map[uint64]posix.Locks) {
	if !s.PerCaller { // one session knows all of them
		locks, ok := s.As(posix.Cred{}).(posix.Locks)
		if !ok {
			return
		}
		in = map[uint64]posix.Locks{0: locks}
	}
	for _, locks := range in {
		if err := locks.Unlock(ctx, h.ino, h.owner, h.kind); err != nil {
			s.Log.Warn("locks of a closed file are not given up", "ino", h.ino, "err", err)
		}
	}
}
