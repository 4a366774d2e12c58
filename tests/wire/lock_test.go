package wire

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/posix"
)

// locker is a mount with one file open, and words to lock it.
type locker struct {
	t   testing.TB
	m   *client.Mount
	ns  posix.Namespace
	ino posix.Ino
}

func newLocker(h *house) *locker { return lockerOn(h, h.connect()) }

func lockerOn(h *house, m *client.Mount) *locker {
	ns := m.As(root)
	o, err := ns.Create(h.t.Context(), posix.RootIno, "locked", 0o666, 0, 1, posix.OpenRead|posix.OpenWrite)
	must(h.t, err)
	return &locker{h.t, m, ns, o.Attr.Ino}
}

func (l *locker) locks() posix.Locks { return l.ns.(posix.Locks) }

// set asks for the first ten bytes.
func (l *locker) set(ctx context.Context, owner uint64, typ posix.LockType, wait bool) error {
	return l.locks().Setlk(ctx, l.ino, posix.Lock{Type: typ, End: 9, Owner: owner, PID: uint32(owner)}, wait)
}

func (l *locker) is(what string, want posix.Errno, err error) {
	l.t.Helper()
	if got := posix.ErrnoOf(err); got != want {
		l.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// waits calls f and answers where its end is told, once the mount has n calls
// under way.
func (l *locker) waits(n int, f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for l.m.Status().Session.Calls < n {
		select {
		case err := <-done:
			done <- err
			return done
		case <-time.After(time.Millisecond):
		}
	}
	return done
}

const (
	unlock = posix.LockUnlock
	shared = posix.LockRead
	alone  = posix.LockWrite
)

func TestLocksExclude(t *testing.T) {
	h := newHouse(t)
	a, b := newLocker(h), newLocker(h)
	ctx := t.Context()
	must(t, a.set(ctx, 7, alone, false))
	a.is("again", 0, a.set(ctx, 7, alone, false))
	b.is("the same owner of another mount", posix.EAGAIN, b.set(ctx, 7, shared, false))
	c, ok, err := b.locks().Getlk(ctx, b.ino, posix.Lock{Type: shared, End: 100, Owner: 7})
	if err != nil || !ok || c.Owner != 0 || c.PID != 7 || c.Type != alone || c.End != 9 {
		t.Errorf("getlk: %+v %v %v", c, ok, err)
	}
	if c, ok, err = a.locks().Getlk(ctx, a.ino, posix.Lock{Type: shared, End: 100, Owner: 8}); !ok || c.Owner != 7 || err != nil {
		t.Errorf("getlk by the same mount: %+v %v %v", c, ok, err)
	}
	b.is("flock", 0, b.locks().Setlk(ctx, b.ino, posix.Lock{Kind: posix.LockFlock, Type: alone, Owner: 1}, false))
	a.is("flock", posix.EAGAIN, a.locks().Setlk(ctx, a.ino, posix.Lock{Kind: posix.LockFlock, Type: shared, Owner: 1}, false))
	must(t, a.locks().Unlock(ctx, a.ino, 7, posix.LockPosix))
	b.is("when released", 0, b.set(ctx, 7, alone, false))

	// Who has the file open no more has no locks, and can have none.
	must(t, b.ns.Close(ctx, 1))
	a.is("when closed", 0, a.set(ctx, 1, alone, false))
	a.is("flock when closed", 0, a.locks().Setlk(ctx, a.ino, posix.Lock{Kind: posix.LockFlock, Type: alone, Owner: 1}, false))
	b.is("of what is not open", posix.EBADF, b.set(ctx, 1, alone, true))
	_, _, err = b.locks().Getlk(ctx, b.ino, posix.Lock{Type: shared})
	b.is("getlk of what is not open", posix.EBADF, err)
	for _, l := range []posix.Lock{{}, {Type: 4}, {Type: alone, Kind: 2}, {Type: alone, Start: 9, End: 3}} {
		a.is("no lock", posix.EINVAL, a.locks().Setlk(ctx, a.ino, l, true))
	}
	m, err := client.Connect(ctx, h.config())
	must(t, err)
	c3 := lockerOn(h, m)
	c3.is("of a third mount", posix.EAGAIN, c3.set(ctx, 1, alone, false))
	must(t, a.set(ctx, 1, unlock, false))
	must(t, c3.set(ctx, 1, alone, false))
	must(t, m.Close(ctx))
	a.is("when the session ended", 0, a.set(ctx, 1, alone, true))
}

// A wait ends with the lock, or with EINTR and no lock.
func TestLockWaits(t *testing.T) {
	h := newHouse(t)
	a, b := newLocker(h), newLocker(h)
	must(t, a.set(t.Context(), 1, alone, false))
	ctx, interrupt := context.WithCancel(t.Context())
	done := b.waits(1, func() error { return b.set(ctx, 2, alone, true) })
	interrupt()
	b.is("interrupted", posix.EINTR, <-done)
	done = b.waits(1, func() error { return b.set(t.Context(), 3, alone, true) })
	must(t, a.set(t.Context(), 1, unlock, false))
	b.is("released", 0, <-done)
	a.is("the new holder's", posix.EAGAIN, a.set(t.Context(), 1, shared, false))
	must(t, b.locks().Unlock(t.Context(), b.ino, 3, posix.LockPosix))
	a.is("nothing is left of who was interrupted", 0, a.set(t.Context(), 1, alone, false))
}

// However many wait, the unlock gets in.
func TestManyWaiters(t *testing.T) {
	h := newHouse(t)
	a := newLocker(h)
	must(t, a.set(t.Context(), 1, alone, false))
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if err := a.set(t.Context(), uint64(10+i), alone, true); err != nil {
				t.Error(err)
			}
			if err := a.set(t.Context(), uint64(10+i), unlock, false); err != nil {
				t.Error(err)
			}
		})
	}
	for a.m.Status().Session.Calls < 1000 {
		time.Sleep(time.Millisecond)
	}
	must(t, a.set(t.Context(), 1, unlock, false))
	all.Wait()
	must(t, a.set(t.Context(), 1, alone, false))
}

// A lock outlives the server, and nobody else gets it in between; so does the
// wait for it.
func TestLocksOutliveTheServer(t *testing.T) {
	h := newHouse(t)
	a, b := newLocker(h), newLocker(h)
	ctx := t.Context()
	must(t, a.set(ctx, 1, alone, false))
	must(t, a.locks().Setlk(ctx, a.ino, posix.Lock{Type: unlock, Start: 3, End: 4, Owner: 1}, false))
	must(t, a.locks().Setlk(ctx, a.ino, posix.Lock{Kind: posix.LockFlock, Type: shared, Owner: 9}, false))
	done := b.waits(1, func() error { return b.set(ctx, 2, alone, true) })
	h.stop()
	tried := make(chan error, 1)
	go func() { tried <- b.set(ctx, 3, shared, false) }() // finds a server in its time of grace
	h.start()
	b.is("by another, just after", posix.EAGAIN, <-tried)
	part := posix.Lock{Type: alone, Start: 3, End: 4, Owner: 3}
	b.is("the part that was unlocked", 0, b.locks().Setlk(ctx, b.ino, part, false))
	b.is("the flock", posix.EAGAIN, b.locks().Setlk(ctx, b.ino, posix.Lock{Kind: posix.LockFlock, Type: alone, Owner: 3}, false))
	must(t, b.locks().Unlock(ctx, b.ino, 3, posix.LockPosix))
	select {
	case err := <-done:
		t.Fatalf("granted while another holds it: %v", err)
	default:
	}
	must(t, a.set(ctx, 1, unlock, false))
	b.is("who waited", 0, <-done)
}

// Who gives up waiting while there is no server has no lock afterwards, and
// what it had before.
func TestLockGivenUpWithoutServer(t *testing.T) {
	h := newHouse(t)
	a, b := newLocker(h), newLocker(h)
	must(t, a.locks().Setlk(t.Context(), a.ino, posix.Lock{Type: alone, End: 4, Owner: 1}, false))
	must(t, b.locks().Setlk(t.Context(), b.ino, posix.Lock{Type: shared, Start: 5, End: 9, Owner: 2}, false))
	ctx, interrupt := context.WithCancel(t.Context())
	done := b.waits(1, func() error { return b.set(ctx, 2, alone, true) })
	h.proxy.to("127.0.0.1:1") // nothing there
	h.proxy.cut()
	for b.m.Status().Session.Connected {
		time.Sleep(time.Millisecond)
	}
	interrupt()
	b.is("interrupted", posix.EINTR, <-done)
	h.stop()
	h.start()
	must(t, a.set(t.Context(), 1, unlock, false))
	a.is("what it had", posix.EAGAIN, a.set(t.Context(), 1, alone, false))
	a.is("and no more", 0, a.set(t.Context(), 1, shared, false))
	a.is("and no more", 0, a.locks().Setlk(t.Context(), a.ino, posix.Lock{Type: alone, End: 4, Owner: 1}, false))
}

// Two mounts pass a lock to and fro while the connections are cut and the
// server is restarted: never do two have it.
func TestLocksUnderTrouble(t *testing.T) {
	h := newHouse(t)
	mounts := []*locker{newLocker(h), newLocker(h)}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	var inside, did, interrupted atomic.Int64
	var workers sync.WaitGroup
	for w := range uint64(6) {
		workers.Go(func() {
			l := mounts[w%2]
			for n := 0; ctx.Err() == nil; n++ {
				patience, end := context.WithTimeout(t.Context(), time.Duration(1+n%200)*time.Millisecond)
				err := l.set(patience, w, alone, true)
				end()
				if errors.Is(err, posix.EINTR) || errors.Is(err, posix.ETIMEDOUT) {
					interrupted.Add(1)
					continue
				}
				if err != nil {
					t.Errorf("worker %d: lock: %v", w, err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two have the lock")
				}
				did.Add(1)
				time.Sleep(time.Duration(n%3) * time.Millisecond) // so that there is an inside
				inside.Add(-1)
				if err := l.set(t.Context(), w, unlock, false); err != nil {
					t.Errorf("worker %d: unlock: %v", w, err)
					return
				}
			}
		})
	}
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(150 * time.Millisecond) // the trouble's rhythm
		h.proxy.cut()
		if n%5 == 4 {
			h.stop()
			h.start()
		}
	}
	workers.Wait()
	t.Logf("%d turns, %d interrupted", did.Load(), interrupted.Load())
	if did.Load() < 50 {
		t.Errorf("only %d turns: nothing was tested", did.Load())
	}
	must(t, mounts[0].set(t.Context(), 99, alone, true)) // and nobody has it now
}

// The connection breaks again and again while a mount takes back what it had:
// it has all of it in the end.
func TestCutsWhileReclaiming(t *testing.T) {
	h := newHouse(t)
	a := newLocker(h)
	const files = 2000
	for i := range posix.Handle(files) {
		_, err := a.ns.Open(t.Context(), a.ino, 100+i, posix.OpenRead)
		must(t, err)
	}
	must(t, a.set(t.Context(), 1, alone, false))
	h.stop()
	h.start()
	for i := range 25 {
		time.Sleep(time.Duration(5+4*i) * time.Millisecond) // the trouble's rhythm
		h.proxy.cut()
	}
	for i := range posix.Handle(files) {
		if _, _, err := a.ns.Layout(t.Context(), 100+i, 0, 1); err != nil {
			t.Fatalf("handle %d: %v", i, err)
		}
	}
	b := newLocker(h)
	b.is("the lock", posix.EAGAIN, b.set(t.Context(), 1, shared, false))
}
