package lock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// The tests of this file and of process_linux_test.go let the kernel be the
// oracle: the same random requests go to a table and to a file on the local
// disk, and every answer is compared.

const kernelBytes = 40 // of the file that is fought for

// fds opens n descriptions of one new file.
func fds(t *testing.T, n int) []int {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	var out []int
	for range n {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		out = append(out, int(f.Fd()))
	}
	return out
}

// flockT is l as the kernel has it. Length 0 is up to the end of the file.
func flockT(l Lock) unix.Flock_t {
	typ := map[Type]int16{Read: unix.F_RDLCK, Write: unix.F_WRLCK, Unlock: unix.F_UNLCK}[l.Type]
	k := unix.Flock_t{Type: typ, Start: int64(l.Start)}
	if l.End != EOF {
		k.Len = int64(l.End-l.Start) + 1
	}
	return k
}

// lockOf is the range and type of what F_GETLK answered; ok is false if
// nothing is in the way.
func lockOf(k unix.Flock_t) (l Lock, ok bool) {
	if k.Type == unix.F_UNLCK {
		return Lock{}, false
	}
	l = Lock{Type: Read, Start: uint64(k.Start), End: EOF}
	if k.Type == unix.F_WRLCK {
		l.Type = Write
	}
	if k.Len != 0 {
		l.End = uint64(k.Start + k.Len - 1)
	}
	return l, true
}

// errnoOf is what the kernel answered as one of ours.
func errnoOf(t *testing.T, err error) posix.Errno {
	t.Helper()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, syscall.EAGAIN):
		return posix.EAGAIN
	case errors.Is(err, syscall.EDEADLK):
		return posix.EDEADLK
	}
	t.Fatal("the kernel answers", err)
	return 0
}

// kernelLock makes a random request of one of n owners.
func kernelLock(rnd *rand.Rand, n int) Lock {
	lo, hi := rnd.Uint64N(kernelBytes), rnd.Uint64N(kernelBytes)
	if rnd.IntN(2) == 0 {
		hi = lo + rnd.Uint64N(4)
	}
	l := by(rnd.Uint64N(uint64(n)), Type(rnd.IntN(3))+Unlock, min(lo, hi), max(lo, hi))
	switch rnd.IntN(12) {
	case 0:
		l.End = EOF
	case 1:
		l.Start, l.End, l.Type = 0, EOF, Unlock
	}
	return l
}

// same compares what the table and the kernel answer to F_GETLK: the very
// lock that they name, by its range, its type and, where pid is not nil, its
// owner's process.
func same(t *testing.T, step int, ask, got Lock, gotOK bool, k unix.Flock_t, pid func(Owner) int32) {
	t.Helper()
	want, ok := lockOf(k)
	if ok != gotOK || ok && (got.Type != want.Type || got.Start != want.Start || got.End != want.End) {
		t.Fatalf("step %d: F_GETLK of %+v: %+v, %v; the kernel says %+v, %v", step, ask, got, gotOK, want, ok)
	}
	if ok && pid != nil && pid(got.Owner) != k.Pid {
		t.Fatalf("step %d: F_GETLK of %+v: owner %v; the kernel says pid %d", step, ask, got.Owner, k.Pid)
	}
}

// TestKernelOFD compares with locks of open file descriptions, of a few and of
// a crowd.
func TestKernelOFD(t *testing.T) {
	for _, n := range []int{5, 2 * fewHolders} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { kernelOFD(t, n) })
	}
}

func kernelOFD(t *testing.T, n int) {
	steps := 40_000
	if testing.Short() {
		steps = 5_000
	}
	fd := fds(t, n)
	tab, rnd := New(Config{}), rand.New(rand.NewPCG(3, 3))
	probe := flockT(by(0, Unlock, 0, 0))
	// F_OFD_GETLK of F_UNLCK came with Linux 6.3.
	unlockTest := unix.FcntlFlock(uintptr(fd[0]), unix.F_OFD_GETLK, &probe) == nil
	count := map[posix.Errno]int{}
	for step := range steps {
		l := kernelLock(rnd, n)
		l.OFD = true
		k := flockT(l)
		if rnd.IntN(3) == 0 && (unlockTest || l.Type != Unlock) {
			if err := unix.FcntlFlock(uintptr(fd[l.Owner.ID]), unix.F_OFD_GETLK, &k); err != nil {
				t.Fatal(err)
			}
			got, ok, err := tab.Test(ino, l)
			if err != nil {
				t.Fatal(err)
			}
			same(t, step, l, got, ok, k, nil)
			continue
		}
		want := errnoOf(t, unix.FcntlFlock(uintptr(fd[l.Owner.ID]), unix.F_OFD_SETLK, &k))
		if got := try(t, tab, ino, l); got != want {
			t.Fatalf("step %d: set %+v: %v; the kernel says %v", step, l, got, want)
		}
		count[want]++
	}
	if count[0] < steps/10 || count[posix.EAGAIN] < steps/10 {
		t.Errorf("too one-sided: %v", count)
	}
	sound(t, tab)
}

// TestKernelFlock compares with flock(2), whose failed conversions lose the
// lock.
func TestKernelFlock(t *testing.T) {
	fd := fds(t, 4)
	tab, rnd := New(Config{}), rand.New(rand.NewPCG(4, 4))
	how := map[Type]int{Read: unix.LOCK_SH, Write: unix.LOCK_EX, Unlock: unix.LOCK_UN}
	count := map[posix.Errno]int{}
	for step := range 20_000 {
		l := flock(rnd.Uint64N(4), Type(rnd.IntN(3))+Unlock)
		want := errnoOf(t, unix.Flock(fd[l.Owner.ID], how[l.Type]|unix.LOCK_NB))
		if got := try(t, tab, ino, l); got != want {
			t.Fatalf("step %d: set %+v: %v; the kernel says %v", step, l, got, want)
		}
		count[want]++
	}
	if count[0] < 1000 || count[posix.EAGAIN] < 1000 {
		t.Errorf("too one-sided: %v", count)
	}
}
