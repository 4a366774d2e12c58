package lock

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// refuse fails unless waiting for l is a deadlock.
func refuse(t *testing.T, tab *Table, ino posix.Ino, l Lock) {
	t.Helper()
	if _, err := tab.begin(ino, l, true); posix.ErrnoOf(err) != posix.EDEADLK {
		t.Fatalf("set %+v: %v, want EDEADLK", l, err)
	}
	sound(t, tab)
}

func TestDeadlockOfTwo(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 0))
	mustSet(t, tab, ino, by(2, Write, 1, 1))
	w := mustWait(t, tab, ino, by(1, Write, 1, 1))
	refuse(t, tab, ino, by(2, Write, 0, 0))
	// Who was refused still has its lock, and the other waits for it.
	if got := has(tab, ino, own(2), Posix); got != "w1-1" || w.ended() {
		t.Fatalf("owner 2 has %q, owner 1 waits %v", got, !w.ended())
	}
	// Without waiting it is no deadlock.
	if got := try(t, tab, ino, by(2, Write, 0, 0)); got != posix.EAGAIN {
		t.Error(got)
	}
	tab.Release(ino, own(2), Posix)
	if !w.ended() || w.err != nil {
		t.Error("owner 1 was not served")
	}
}

// TestDeadlockOfUpgrades: two readers who both want to write.
func TestDeadlockOfUpgrades(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Read, 0, EOF))
	mustSet(t, tab, ino, by(2, Read, 0, EOF))
	mustWait(t, tab, ino, by(1, Write, 0, EOF))
	refuse(t, tab, ino, by(2, Write, 0, EOF))
}

// TestDeadlockOverInodes goes round many owners and inodes, further than the
// ten steps that Linux goes.
func TestDeadlockOverInodes(t *testing.T) {
	const n = 50
	tab := New(Config{})
	for i := range uint64(n) {
		mustSet(t, tab, posix.Ino(i), by(i, Write, 0, 9))
	}
	for i := range uint64(n - 1) {
		mustWait(t, tab, posix.Ino(i+1), by(i, Read, 5, 5))
	}
	refuse(t, tab, 0, by(n-1, Read, 0, 0))
	mustWait(t, tab, 0, by(n, Read, 0, 0)) // no part of the ring
	tab.EndSession(1)
	empty(t, tab)
}

// TestDeadlockBehindAnother: the cycle is not through the first that blocks.
func TestDeadlockBehindAnother(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Read, 0, 9)) // waits for nobody
	mustSet(t, tab, ino, by(2, Read, 0, 9))
	mustSet(t, tab, ino, by(3, Write, 20, 20))
	mustWait(t, tab, ino, by(2, Write, 20, 20))
	refuse(t, tab, ino, by(3, Write, 0, 9))
}

// TestDeadlockOfThreads: an owner waits through several threads at once.
func TestDeadlockOfThreads(t *testing.T) {
	tab := New(Config{})
	mustSet(t, tab, ino, by(1, Write, 0, 0))
	mustSet(t, tab, ino, by(2, Write, 1, 1))
	mustSet(t, tab, ino, by(3, Write, 2, 2))
	a := mustWait(t, tab, ino, by(1, Write, 2, 2))
	mustWait(t, tab, ino, by(1, Write, 1, 1))
	refuse(t, tab, ino, by(2, Write, 0, 0))
	refuse(t, tab, ino, by(3, Write, 0, 0))
	wants(t, posix.EINTR, tab.cancel(a, posix.E("fcntl", posix.EINTR, nil)))
	mustWait(t, tab, ino, by(3, Write, 0, 0)) // nobody waits for 3 any more
	refuse(t, tab, ino, by(2, Write, 0, 0))
}

// TestNoDeadlock: as on Linux, neither an open file description nor flock is
// looked at, and owners of two sessions with one number are two.
func TestNoDeadlock(t *testing.T) {
	tab := New(Config{})
	ofd := by(1, Write, 1, 1)
	ofd.OFD = true
	mustSet(t, tab, ino, Lock{Type: Write, Owner: own(1), OFD: true})
	mustSet(t, tab, ino, by(2, Write, 1, 1))
	mustWait(t, tab, ino, ofd)
	mustWait(t, tab, ino, by(2, Write, 0, 0))

	mustSet(t, tab, 1, flock(1, Write))
	mustSet(t, tab, 2, flock(2, Write))
	mustWait(t, tab, 2, flock(1, Write))
	mustWait(t, tab, 1, flock(2, Write))

	far := by(6, Write, 1, 1)
	far.Owner.Session = 2
	mustSet(t, tab, 3, by(5, Write, 0, 0))
	mustSet(t, tab, 3, by(6, Write, 1, 1))
	mustWait(t, tab, 3, by(5, Write, 1, 1))
	far.Start, far.End = 0, 0
	mustWait(t, tab, 3, far)
	sound(t, tab)
}
