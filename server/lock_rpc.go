package server

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// dispatchLock is dispatch for the calls of posix.Locks.
func (t *talk) dispatchLock(ctx context.Context, ns posix.Locks, c *proto.Call, r *proto.Reply) error {
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
	}
	return posix.E("call", posix.ENOSYS, errors.New("this server does not know the call"))
}
