package namespace

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func lockOf(owner uint64, typ posix.LockType) posix.Lock {
	return posix.Lock{Type: typ, End: posix.FileSizeMax, Owner: owner}
}

// The grace ends when it may and everyone who is on the way back has said so.
func TestGrace(t *testing.T) {
	disk := mem.NewDisk()
	open(t, disk.Open(), Config{})
	over := func(tr *Tree) bool { return !tr.opens.inGrace() }
	for _, c := range []struct {
		name  string
		steps func(tr *Tree)
		want  bool
	}{
		{"nothing", func(*Tree) {}, false},
		{"recovered", func(tr *Tree) { tr.Recovered() }, true},
		{"one on the way", func(tr *Tree) { tr.Returning(1); tr.Recovered() }, false},
		{"one on the way, another back", func(tr *Tree) { tr.Returning(1); tr.Returning(2); tr.Recovered(); tr.Returned(2) }, false},
		{"back", func(tr *Tree) { tr.Returning(1); tr.Recovered(); tr.Returned(1) }, true},
		{"back before", func(tr *Tree) { tr.Returning(1); tr.Returned(1); tr.Recovered() }, true},
		{"back, and not recovered", func(tr *Tree) { tr.Returning(1); tr.Returned(1) }, false},
		{"not the session", func(tr *Tree) { cancel := tr.Returning(1); tr.Recovered(); cancel() }, true},
		{"not the session, and then it", func(tr *Tree) { tr.Returning(1)(); tr.Returning(1); tr.Recovered() }, false},
		{"the session, and then not", func(tr *Tree) { tr.Returning(1); tr.Returning(1)(); tr.Recovered() }, false},
		{"a second stream after it was back", func(tr *Tree) { tr.Returning(1); tr.Returned(1); tr.Returning(1); tr.Recovered() }, true},
		{"a second stream before", func(tr *Tree) { tr.Returning(1); tr.Returning(1); tr.Recovered(); tr.Returned(1) }, true},
		{"ended instead", func(tr *Tree) { tr.Returning(1); tr.Recovered(); ok(t, tr.EndSession(t.Context(), 1)) }, true},
		{"late", func(tr *Tree) { tr.Recovered(); tr.Returning(1) }, true},
	} {
		tr := open(t, disk.Open(), Config{})
		c.steps(tr)
		if over(tr) != c.want {
			t.Errorf("%s: over is %v, want %v", c.name, over(tr), c.want)
		}
	}
	if !over(open(t, mem.New(), Config{})) {
		t.Error("a fresh namespace is in grace")
	}
}

func TestLocksInGrace(t *testing.T) {
	disk := mem.NewDisk()
	tr := open(t, disk.Open(), Config{})
	f := create(t, tr.As(super).In(1), "f", 1)
	no(t, posix.ENOLCK, tr.ReclaimLock(1, f, lockOf(1, posix.LockRead))) // there is no grace
	tr = open(t, disk.Open(), Config{})
	a, b := tr.As(super).In(1), tr.As(super).In(2)
	no(t, posix.EBADF, tr.ReclaimLock(1, f, lockOf(1, posix.LockWrite)))
	ok(t, tr.Reopen(t.Context(), 1, 0, f, 1, posix.OpenRead))
	ok(t, tr.Reopen(t.Context(), 2, 0, f, 1, posix.OpenRead))
	late, cancel := context.WithCancel(t.Context())
	cancel()
	no(t, posix.EINTR, b.Setlk(late, f, lockOf(1, posix.LockRead), false))
	_, _, err := b.Getlk(late, f, lockOf(1, posix.LockRead))
	no(t, posix.EINTR, err)
	ok(t, b.Setlk(late, f, lockOf(1, posix.LockUnlock), false)) // what nobody waits for

	waiting := make(chan error, 1)
	go func() { waiting <- b.Setlk(t.Context(), f, lockOf(1, posix.LockRead), false) }()
	ok(t, tr.ReclaimLock(1, f, lockOf(1, posix.LockWrite)))
	ok(t, tr.ReclaimLock(1, f, lockOf(1, posix.LockWrite)))
	no(t, posix.EAGAIN, tr.ReclaimLock(2, f, lockOf(1, posix.LockRead)))
	no(t, posix.EINVAL, tr.ReclaimLock(1, f, lockOf(1, posix.LockUnlock)))
	tr.Recovered()
	no(t, posix.EAGAIN, <-waiting)
	no(t, posix.ENOLCK, tr.ReclaimLock(1, f, lockOf(2, posix.LockRead)))
	ok(t, a.Setlk(t.Context(), f, lockOf(1, posix.LockUnlock), false))
	ok(t, b.Setlk(t.Context(), f, lockOf(1, posix.LockRead), false))
	settled(t, tr)
}

// Locks go with the last handle of their session, not before, and with its end.
func TestLocksGoWithTheHandle(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	ctx := t.Context()
	a, b := tr.As(super).In(1), tr.As(super).In(2)
	f := create(t, a, "f", 1)
	for _, v := range []View{a, b} {
		_, err := v.Open(ctx, f, 2, posix.OpenRead)
		ok(t, err)
	}
	ok(t, a.Setlk(ctx, f, lockOf(1, posix.LockWrite), false))
	fl := lockOf(2, posix.LockWrite)
	fl.Kind = posix.LockFlock
	ok(t, a.Setlk(ctx, f, fl, false))
	ok(t, a.Close(ctx, 1))
	no(t, posix.EAGAIN, b.Setlk(ctx, f, lockOf(1, posix.LockRead), false))
	ok(t, a.Close(ctx, 2))
	ok(t, b.Setlk(ctx, f, lockOf(1, posix.LockWrite), false))
	ok(t, b.Setlk(ctx, f, fl, false))
	if n := len(tr.locks.Held(1)); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	_, err := a.Open(ctx, f, 3, posix.OpenRead)
	ok(t, err)
	waiting := make(chan error, 1)
	go func() { waiting <- a.Setlk(ctx, f, lockOf(1, posix.LockRead), true) }()
	for tr.locks.Stats().Waiters == 0 {
		time.Sleep(time.Millisecond)
	}
	ok(t, tr.EndSession(ctx, 2))
	ok(t, <-waiting)
	settled(t, tr)
	if s := tr.locks.Stats(); s.Locks != 0 || s.Files != 0 {
		t.Errorf("left: %+v", s)
	}
}

// A lock that is granted while the handle is closed is not kept by nobody.
func TestRaceLockClose(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	ctx := t.Context()
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	for range 2000 {
		_, err := v.Open(ctx, f, 2, posix.OpenRead)
		ok(t, err)
		ok(t, v.Close(ctx, 1))
		done := make(chan error, 1)
		go func() { done <- v.Setlk(ctx, f, lockOf(1, posix.LockWrite), true) }()
		ok(t, v.Close(ctx, 2))
		if err := <-done; err != nil {
			no(t, posix.EBADF, err)
		}
		if held := tr.locks.Held(1); len(held) != 0 {
			t.Fatalf("nobody has it open, and locked are %+v", held)
		}
		_, err = v.Open(ctx, f, 1, posix.OpenRead)
		ok(t, err)
	}
	settled(t, tr)
}
