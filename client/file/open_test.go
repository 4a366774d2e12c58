package file

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// TestTruncatingOpenIsWhole: an open with O_TRUNC that was interrupted reaches
// the server before any later commit, and leaves no handle behind.
func TestTruncatingOpenIsWhole(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	wantErrno(t, 0, h.Sync(t.Context()))
	reached, free := make(chan bool), make(chan bool)
	var once sync.Once
	r.tree.setFault(func(op string) error {
		if op == "open" {
			once.Do(func() { close(reached); <-free })
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error)
	go func() {
		_, _, err := r.Open(ctx, r.tree, h.Ino(), readWrite|posix.OpenTrunc)
		opened <- err
	}()
	<-reached
	cancel()
	wantErrno(t, posix.EINTR, <-opened)
	synced := make(chan error)
	go func() { // what is written after the open was cut short is there to stay
		r.write(h, []byte("world"), 0)
		synced <- h.Sync(t.Context())
	}()
	select {
	case <-synced:
		t.Error("committed before the truncation was done")
	case <-time.After(20 * time.Millisecond):
	}
	close(free)
	wantErrno(t, 0, <-synced)
	r.close(h)
	wantErrno(t, 0, r.Shutdown(t.Context())) // what goes on in the background ends first
	if n := len(r.tree.handles); n != 0 {
		t.Error("handles left open:", n)
	}
}

// TestInterruptedClose: what was written is committed, though nobody waits.
func TestInterruptedClose(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	reached, free, closed := make(chan bool), make(chan bool), make(chan bool)
	r.blocks.setFault(func(op string, _ posix.BlockID) error {
		if op == "put" {
			close(reached)
			<-free
		}
		return nil
	})
	r.tree.setFault(func(op string) error {
		if op == "close" {
			close(closed)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	wantErrno(t, posix.EINTR, h.Close(ctx))
	close(free)
	<-closed
	r.tree.setFault(nil)
	r.stored(h.Ino(), []byte("hello"))
}

// TestDoubtIsNotClearedByOldNews: attributes that were asked for before another
// mount's change was told, and arrive after it, are not taken for the answer.
func TestDoubtIsNotClearedByOldNews(t *testing.T) {
	for n, op := range []string{"lookup", "open", "lookup", "open"} {
		r := newRig(t, Config{})
		h := r.create("f", readWrite)
		r.write(h, []byte("hello"), 0)
		wantErrno(t, 0, h.Sync(t.Context()))
		late := &lateTree{fakeTree: r.tree, asked: make(chan bool), free: make(chan bool)}
		got := make(chan error)
		go func() {
			if op == "lookup" {
				_, err := r.Over(late).Lookup(t.Context(), posix.RootIno, "f")
				got <- err
				return
			}
			h, _, err := r.Open(t.Context(), late, h.Ino(), posix.OpenRead)
			if err == nil {
				err = h.Close(t.Context())
			}
			got <- err
		}()
		<-late.asked
		other := r.other()
		defer other.Shutdown(t.Context())
		h2, _, err := other.Open(t.Context(), r.tree, h.Ino(), readWrite)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = h2.Write(t.Context(), []byte("longer"), 0); err == nil {
			err = h2.Close(t.Context())
		}
		wantErrno(t, 0, err)
		if n < 2 {
			r.Invalidate(h.Ino())
		} else {
			r.InvalidateAll()
		}
		close(late.free)
		wantErrno(t, 0, <-got)
		r.reads(h, []byte("longer"), 0)
		r.close(h)
	}
}
