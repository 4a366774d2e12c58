package harness

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cred is whom As acts as. Nobody has these numbers: a user that no host knows
// is the harder case.
type Cred struct {
	UID, GID int
	Groups   []int
}

// The users of the tests.
var (
	Alice = Cred{UID: 4242, GID: 4242}
	Bob   = Cred{UID: 4343, GID: 4343}
)

// With is c as a member of more groups.
func (c Cred) With(groups ...int) Cred {
	c.Groups = append(append([]int(nil), c.Groups...), groups...)
	return c
}

// As runs f on a thread of its own that has those ids for good, a umask of its
// own and a working directory of its own: what a child process would be, with
// f's results at hand. The kernel keeps credentials by thread; Go's own calls
// change all threads, so these are made raw. A t.Fatal in f ends the caller too.
func As(c Cred, f func()) {
	whole, done := false, make(chan any)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with f
		defer func() { done <- recover() }()
		if err := become(c); err != nil {
			panic(fmt.Sprintf("harness: acting as %+v: %v", c, err))
		}
		f()
		whole = true
	}()
	if p := <-done; p != nil {
		panic(p)
	}
	if !whole {
		runtime.Goexit()
	}
}

func become(c Cred) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	groups := make([]uint32, len(c.Groups), len(c.Groups)+1)
	for i, g := range c.Groups {
		groups[i] = uint32(g)
	}
	raw := func(n, a, b, c uintptr) error {
		if _, _, e := syscall.RawSyscall(n, a, b, c); e != 0 {
			return e
		}
		return nil
	}
	return errors.Join(
		raw(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups[:cap(groups)]))), 0),
		raw(unix.SYS_SETRESGID, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID)),
		raw(unix.SYS_SETRESUID, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID)),
	)
}
