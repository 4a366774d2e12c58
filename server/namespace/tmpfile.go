package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
)

func (v View) Tmpfile(context.Context, posix.Ino, posix.Mode, posix.Mode, posix.Handle, posix.OpenFlags) (posix.Opened, error) {
	return posix.Opened{}, posix.E("tmpfile", posix.EOPNOTSUPP, nil)
}
func (v View) Allocate(context.Context, posix.Handle, posix.AllocMode, uint64, uint64) (posix.Attr, error) {
	return posix.Attr{}, posix.E("allocate", posix.EOPNOTSUPP, nil)
}
func (v View) CopyRange(context.Context, posix.Handle, uint64, posix.Handle, uint64, uint64) (uint64, posix.Attr, error) {
	return 0, posix.Attr{}, posix.E("copyrange", posix.EOPNOTSUPP, nil)
}
