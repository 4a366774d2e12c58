package namespace

import (
	"context"
	"errors"
	"math"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/lock"
)

// The locks of the tree's sessions. Their rules are package lock's; that a
// session must have an inode open to lock it, and that the grace after a
// restart is for those who held one, is decided here.

var _ posix.Locks = View{}

// EOF and the types of lock are the same numbers on both sides.
var _ = [1]struct{}{}[lock.EOF-posix.FileSizeMax+uint64(lock.Unlock)-uint64(posix.LockUnlock)+
	uint64(lock.Write)-uint64(posix.LockWrite)+uint64(lock.Flock)-uint64(posix.LockFlock)]

func (v View) owner(id uint64) lock.Owner { return lock.Owner{Session: uint64(v.sess), ID: id} }

// lock is l as the table keeps it. An open file description can't be told
// from a process, so that two of them that wait for each other are a deadlock.
func (v View) lock(l posix.Lock) lock.Lock {
	return lock.Lock{
		Kind: lock.Kind(l.Kind), Type: lock.Type(l.Type), Start: l.Start, End: l.End, Owner: v.owner(l.Owner), PID: l.PID,
	}
}

// locksMost is the bound of package lock, which has one in any case.
func (t *Tree) locksMost() int {
	if t.cfg.LocksMost < 0 {
		return math.MaxInt
	}
	return t.cfg.LocksMost
}

// Getlk waits for the end of the grace, before which nobody knows.
func (v View) Getlk(ctx context.Context, ino posix.Ino, l posix.Lock) (posix.Lock, bool, error) {
	if !v.t.opens.uses(v.sess, ino, false) {
		return posix.Lock{}, false, posix.E("getlk", posix.EBADF, nil)
	}
	if err := v.t.pastGrace(ctx); err != nil {
		return posix.Lock{}, false, wrap("getlk", err)
	}
	c, ok, err := v.t.locks.Test(ino, v.lock(l))
	if err != nil || !ok {
		return posix.Lock{}, false, wrap("getlk", err)
	}
	found := posix.Lock{Kind: l.Kind, Type: posix.LockType(c.Type), Start: c.Start, End: c.End, PID: c.PID}
	if c.Owner.Session == uint64(v.sess) {
		found.Owner = c.Owner.ID
	}
	return found, true, nil
}

// Setlk waits for the end of the grace also without wait, as NFSv4 clients do:
// the lock may be one that a session that is not back yet has.
//
// The last close of the session, or its end, may come while a lock is granted:
// both forget the handle first and the locks then, so a lock that is granted
// and then finds the inode closed is one that they may have missed.
func (v View) Setlk(ctx context.Context, ino posix.Ino, l posix.Lock, wait bool) error {
	if l.Type == posix.LockUnlock {
		return wrap("setlk", v.t.locks.Set(ctx, ino, v.lock(l), false))
	}
	if !v.t.opens.uses(v.sess, ino, true) {
		return posix.E("setlk", posix.EBADF, nil)
	}
	if err := v.t.pastGrace(ctx); err != nil {
		return wrap("setlk", err)
	}
	err := v.t.locks.Set(ctx, ino, v.lock(l), wait)
	if posix.ErrnoOf(err) == posix.ENOLCK {
		v.t.cfg.Limited("locks")
	}
	if err == nil && !v.t.opens.uses(v.sess, ino, true) {
		v.t.locks.Release(ino, v.owner(l.Owner), lock.Kind(l.Kind))
		err = posix.E("setlk", posix.EBADF, errors.New("closed meanwhile"))
	}
	return wrap("setlk", err)
}

// Unlock asks for nothing: who has no locks loses none.
func (v View) Unlock(_ context.Context, ino posix.Ino, owner uint64, k posix.LockKind) error {
	v.t.locks.Release(ino, v.owner(owner), lock.Kind(k))
	return nil
}

// ReclaimLock gives session s back a lock that it held before the server was
// restarted, on an inode that it has reopened (EBADF). ENOLCK once the grace
// is over: another may have had the lock since. EAGAIN, EINVAL.
func (t *Tree) ReclaimLock(s SessionID, ino posix.Ino, l posix.Lock) error {
	if !t.opens.uses(s, ino, true) {
		return posix.E("reclaim lock", posix.EBADF, nil)
	}
	if !t.opens.inGrace() {
		return posix.E("reclaim lock", posix.ENOLCK, errors.New("the time of grace is over"))
	}
	return wrap("reclaim lock", t.locks.Reclaim(ino, View{sess: s}.lock(l)))
}

// releaseLocks takes all that the session has on an inode.
func (t *Tree) releaseLocks(s SessionID, ino posix.Ino) {
	for _, h := range t.locks.Held(uint64(s)) {
		if h.Ino == ino {
			t.locks.Release(ino, h.Lock.Owner, h.Lock.Kind)
		}
	}
}

// endLocks takes all that the session has.
func (t *Tree) endLocks(s SessionID) {
	if n := len(t.locks.Held(uint64(s))); n > 0 {
		t.log.Warn("a session ended that held locks: they are gone", "session", uint64(s), "locks", n)
	}
	t.locks.EndSession(uint64(s))
}
