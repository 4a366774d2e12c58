package server

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/namespace"
)

// mayWait reports whether a call may last as long as others please: a lock is
// waited for, and every question about locks waits for the end of the grace.
func mayWait(c *proto.Call) bool {
	switch op := c.Op.(type) {
	case *proto.Call_Getlk:
		return true
	case *proto.Call_Setlk:
		return op.Setlk.GetLock().GetType() != uint32(posix.LockUnlock)
	}
	return false
}

// settled waits until the calls of the session's older streams have ended. One
// of them may be about to be granted a lock that the client has given up, and
// takes back on this stream.
func (t *talk) settled(ctx context.Context) error {
	for _, o := range t.older {
		select {
		case <-o:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// dispatchLock is dispatch for the calls of posix.Locks, and those that give
// locks back after a restart.
func (t *talk) dispatchLock(ctx context.Context, ns posix.Locks, c *proto.Call, r *proto.Reply) error {
	if err := t.settled(ctx); err != nil {
		return posix.E("lock", posix.EINTR, err)
	}
	switch op := c.Op.(type) {
	case *proto.Call_Getlk:
		l, errno := proto.FromLock(op.Getlk.GetLock())
		if errno != 0 {
			return posix.E("getlk", errno, nil)
		}
		conflict, ok, err := ns.Getlk(ctx, posix.Ino(op.Getlk.Ino), l)
		if ok {
			r.Lock = proto.ToLock(conflict)
		}
		return err
	case *proto.Call_Setlk:
		l, errno := proto.FromLock(op.Setlk.GetLock())
		if errno != 0 {
			return posix.E("setlk", errno, nil)
		}
		return ns.Setlk(ctx, posix.Ino(op.Setlk.Ino), l, op.Setlk.Wait)
	case *proto.Call_Unlock:
		m := op.Unlock
		if m.Kind > uint32(posix.LockFlock) {
			return posix.E("unlock", posix.EINVAL, nil)
		}
		return ns.Unlock(ctx, posix.Ino(m.Ino), m.Owner, posix.LockKind(m.Kind))
	case *proto.Call_ReclaimLock:
		l, errno := proto.FromLock(op.ReclaimLock.GetLock())
		if errno != 0 {
			return posix.E("reclaim lock", errno, nil)
		}
		return t.s.tree.ReclaimLock(namespace.SessionID(t.sess.ID), posix.Ino(op.ReclaimLock.Ino), l)
	case *proto.Call_Reclaimed:
		t.s.tree.Returned(namespace.SessionID(t.sess.ID))
		return nil
	}
	return posix.E("call", posix.ENOSYS, errors.New("this server does not know the call"))
}
