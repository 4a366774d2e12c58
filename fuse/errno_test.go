package fuse

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// TestErrnoRoundTrip refuses an errno that the table forgot, and two that the
// kernel could not tell apart.
func TestErrnoRoundTrip(t *testing.T) {
	from := map[syscall.Errno]posix.Errno{}
	for e := posix.Errno(0); e < posix.NumErrno; e++ {
		n := number(e)
		if e != 0 && (n == 0 || n == syscall.EIO && e != posix.EIO) {
			t.Errorf("%v has no number", e)
		}
		if was, ok := from[n]; ok {
			t.Errorf("%v and %v are both %d", was, e, n)
		}
		from[n] = e
	}
	if n := number(posix.NumErrno); n != syscall.EIO {
		t.Errorf("an unknown errno is %v, want EIO", n)
	}
}

func TestErrnoOf(t *testing.T) {
	for _, c := range []struct {
		want posix.Errno
		err  error
	}{
		{0, nil},
		{posix.ENOTEMPTY, fmt.Errorf("far: %w", posix.E("rmdir", posix.ENOTEMPTY, nil))},
		{posix.EINTR, context.Canceled},
		{posix.EIO, errors.New("no errno")},
		{posix.EIO, posix.E("odd", 0, nil)},
		{posix.EOPNOTSUPP, posix.E("new", posix.ENOSYS, nil)},
	} {
		if got := errnoOf(c.err); got != c.want {
			t.Errorf("errnoOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
