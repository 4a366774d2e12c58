package namespace

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// paused calls inside once f has decided and before anything is committed.
type paused struct {
	engine.Engine
	inside func()
}

func (e *paused) Update(ctx context.Context, f func(engine.Tx) error) error {
	return e.Engine.Update(ctx, func(tx engine.Tx) error {
		err := f(tx)
		if e.inside != nil {
			e.inside()
		}
		return err
	})
}

// An open that comes when the deletion is decided and not committed waits for
// it, and then finds nothing.
func TestOpenDuringDeletion(t *testing.T) {
	e := &paused{Engine: mem.New()}
	tr := open(t, e, Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	ok(t, v.Close(t.Context(), 1))
	tried := 0
	e.inside = func() {
		tried++
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := v.Open(soon, f, 2, posix.OpenRead)
		no(t, posix.ETIMEDOUT, err)
	}
	ok(t, v.Unlink(t.Context(), 1, "f"))
	e.inside = nil
	if tried != 1 {
		t.Fatalf("tried %d times", tried)
	}
	_, err := v.Open(t.Context(), f, 2, posix.OpenRead)
	no(t, posix.ESTALE, err)
	settled(t, tr)
}

// The same when the deletion comes to nothing: the open goes on, and has a
// file.
func TestOpenDuringFailedDeletion(t *testing.T) {
	e := &paused{Engine: mem.New()}
	tr := open(t, e, Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	ok(t, v.Close(t.Context(), 1))
	opened := make(chan error)
	failing := failing{Engine: e}
	tr.eng = &failing
	e.inside = func() {
		go func() {
			_, err := v.Open(context.Background(), f, 2, posix.OpenRead)
			opened <- err
		}()
	}
	no(t, posix.ENOSPC, v.Unlink(t.Context(), 1, "f"))
	e.inside = nil
	ok(t, <-opened)
	tr.eng = e
	ok(t, v.Unlink(t.Context(), 1, "f"))
	a, err := v.Getattr(t.Context(), f)
	if err != nil || a.Nlink != 0 {
		t.Fatalf("%+v %v: it is open", a, err)
	}
	settled(t, tr)
}

// failing answers a full disk for what f has decided.
type failing struct{ engine.Engine }

func (e *failing) Update(ctx context.Context, f func(engine.Tx) error) error {
	return e.Engine.Update(ctx, func(tx engine.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return posix.ENOSPC
	})
}

// An open under way keeps the inode: the deletion that is decided meanwhile
// leaves an orphan.
func TestDeletionDuringOpen(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	ok(t, v.Close(t.Context(), 1))
	ok(t, tr.opens.pin(t.Context(), f))
	ok(t, v.Unlink(t.Context(), 1, "f"))
	if n := count1(t, tr, keyOrphan); n != 1 {
		t.Fatalf("%d orphans", n)
	}
	if n, err := tr.Reclaim(t.Context(), 100); n != 0 || err != nil {
		t.Fatalf("reclaimed %d, %v", n, err)
	}
	// Its snapshot may be of before the unlink: then the open is well.
	ok(t, tr.opens.add(1, 2, openFile{ino: f, flags: posix.OpenRead}, false, false))
	_, _, err := v.Layout(t.Context(), 2, 0, 1)
	ok(t, err)
	settled(t, tr)
}

// An open that began between Reclaim's look at the table and its transaction.
func TestReclaimDuringOpen(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	write(t, v, 1, f, 1, 0, 10)
	ok(t, v.Close(t.Context(), 1))
	ok(t, v.Unlink(t.Context(), 1, "f"))
	e := tr.eng
	tr.eng = counting{e, func() { ok(t, tr.opens.pin(t.Context(), f)) }}
	if n, err := tr.Reclaim(t.Context(), 100); n != 0 || err != nil {
		t.Fatalf("reclaimed %d, %v", n, err)
	}
	tr.eng = e
	ok(t, tr.opens.add(1, 2, openFile{ino: f, flags: posix.OpenRead}, false, false))
	m, _, err := v.Layout(t.Context(), 2, 0, 100)
	if err != nil || len(m) != 1 {
		t.Fatalf("%v %v", m, err)
	}
	settled(t, tr)
}

// An inode without a name is opened only beside a handle; another open that is
// under way proves nothing.
func TestOpenNameless(t *testing.T) {
	o := newOpens(false)
	f := openFile{ino: 7, flags: posix.OpenRead}
	pin := func() { ok(t, o.pin(t.Context(), 7)) }
	pin()
	pin()
	no(t, posix.ESTALE, o.add(1, 1, f, true, false))
	no(t, posix.ESTALE, o.add(1, 1, f, true, true)) // trust ends with grace
	pin()
	ok(t, o.add(1, 1, f, false, false))
	pin()
	ok(t, o.add(2, 1, f, true, false))
	if o.doom(7) {
		t.Fatal("doomed while open")
	}
	o.close(1, 1)
	o.closeAll(2)
	first, second := o.doom(7), o.doom(7) // two transactions may decide the same
	if !first || !second {
		t.Fatal("not doomed when closed")
	}
	o.spare(7)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.pin(done, 7); err != context.Canceled {
		t.Fatalf("%v: half spared is not spared", err)
	}
	o.spare(7)
	pin()
	o.unpin(7)
	if len(o.nodes) != 0 || len(o.sessions) != 0 {
		t.Errorf("left: %v %v", o.nodes, o.sessions)
	}
}
