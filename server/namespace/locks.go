package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

var _ posix.Locks = View{}

func (v View) Getlk(context.Context, posix.Ino, posix.Lock) (posix.Lock, bool, error) {
	return posix.Lock{}, false, posix.E("getlk", posix.EOPNOTSUPP, nil)
}

func (v View) Setlk(context.Context, posix.Ino, posix.Lock, bool) error {
	return posix.E("setlk", posix.EOPNOTSUPP, nil)
}

func (v View) Unlock(context.Context, posix.Ino, uint64, posix.LockKind) error {
	return posix.E("unlock", posix.EOPNOTSUPP, nil)
}
