package remote

import (
	"context"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// The locks change something without a reply slot: each call of theirs may be
// repeated, for to set what is held and to unlock what is not changes nothing.

func (n Namespace) Getlk(ctx context.Context, ino posix.Ino, l posix.Lock) (posix.Lock, bool, error) {
	m := &proto.Getlk{Ino: uint64(ino), Lock: proto.ToLock(l)}
	r, err := n.ask(ctx, "getlk", &proto.Call{Op: &proto.Call_Getlk{Getlk: m}})
	if err != nil || r.GetLock() == nil {
		return posix.Lock{}, false, err
	}
	conflict, errno := proto.FromLock(r.GetLock())
	if errno != 0 {
		return posix.Lock{}, false, posix.E("getlk", posix.EPROTO, errno)
	}
	return conflict, true, nil
}

func (n Namespace) Setlk(ctx context.Context, ino posix.Ino, l posix.Lock, wait bool) error {
	m := &proto.Setlk{Ino: uint64(ino), Lock: proto.ToLock(l), Wait: wait}
	_, err := n.ask(ctx, "setlk", &proto.Call{Op: &proto.Call_Setlk{Setlk: m}})
	return err
}

func (n Namespace) Unlock(ctx context.Context, ino posix.Ino, owner uint64, k posix.LockKind) error {
	m := &proto.Unlock{Ino: uint64(ino), Owner: owner, Kind: uint32(k)}
	_, err := n.ask(ctx, "unlock", &proto.Call{Op: &proto.Call_Unlock{Unlock: m}})
	return err
}
