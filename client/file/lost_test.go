package file

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// lose is what a lost session does: the server forgets its handles.
func (r *rig) lose() {
	r.tree.mu.Lock()
	clear(r.tree.handles)
	r.tree.mu.Unlock()
	r.Lost(nil)
}

// TestLost: what was not committed is told to each handle once, a handle of a
// lost session stays stale, and the file opens anew as the server has it.
func TestLost(t *testing.T) {
	r := newRig(t, Config{})
	a := r.create("f", readWrite)
	r.write(a, []byte("kept"), 0)
	wantErrno(t, 0, a.Sync(t.Context()))
	b, clean := r.open(a.Ino(), readWrite), r.create("g", readWrite)
	r.write(b, []byte("gone"), 4)
	r.lose()
	if n := r.Stats().Buffered; n != 0 {
		t.Error("bytes are still held:", n)
	}

	c := r.open(a.Ino(), readWrite) // of the new session
	r.reads(c, []byte("kept"), 0)
	r.write(c, []byte("new"), 4)
	for range 2 {
		_, err := a.Read(t.Context(), make([]byte, 4), 0)
		wantErrno(t, posix.ESTALE, err)
		_, err = a.Write(t.Context(), []byte("x"), 0)
		wantErrno(t, posix.ESTALE, err)
		_, err = a.Seek(t.Context(), 0, true)
		wantErrno(t, posix.ESTALE, err)
		wantErrno(t, posix.ESTALE, a.Allocate(t.Context(), 0, 0, 1))
		_, err = r.CopyRange(t.Context(), c, 0, a, 0, 1)
		wantErrno(t, posix.ESTALE, err)
	}
	wantErrno(t, posix.EIO, a.Sync(t.Context()))
	wantErrno(t, 0, a.Sync(t.Context()))
	r.close(a)
	wantErrno(t, posix.EIO, b.Close(t.Context()))
	wantErrno(t, 0, clean.Sync(t.Context())) // of a file that has lost nothing
	r.close(clean)
	r.reads(c, []byte("keptnew"), 0)
	wantErrno(t, 0, c.Sync(t.Context()))
	r.close(c)
	r.stored(a.Ino(), []byte("keptnew"))
}

// TestLostWritesNothing: a stale handle is none of those through which what is
// buffered can still be committed.
func TestLostWritesNothing(t *testing.T) {
	r := newRig(t, Config{})
	a := r.create("f", readWrite)
	r.lose()
	b := r.open(a.Ino(), readWrite)
	r.write(b, []byte("hello"), 0)
	fault, on := failing("put", posix.E("put", posix.ENOSPC, nil))
	r.blocks.setFault(fault)
	wantErrno(t, posix.ENOSPC, b.Close(t.Context()))
	if n := r.Stats().Buffered; n != 0 {
		t.Error("bytes are held for a stale handle:", n)
	}
	on.Store(false)
	_ = a.Close(t.Context())
}

// TestLostDuringFlush: a flush that waits for a server when its session is lost
// ends as an error of the handles of then, and of no handle that came later.
func TestLostDuringFlush(t *testing.T) {
	for _, op := range []string{"put", "sync", "commit"} {
		t.Run(op, func(t *testing.T) {
			r := newRig(t, Config{})
			a := r.create("f", readWrite)
			r.write(a, pattern(posix.BlockSize+100), 0) // the full block leaves at once
			reached, free := make(chan bool), make(chan bool)
			var once sync.Once
			hold := func(o string) (err error) {
				if o == op {
					once.Do(func() { close(reached); <-free; err = posix.E(o, posix.EIO, errors.New("session lost")) })
				}
				return err
			}
			r.blocks.setFault(func(op string, _ posix.BlockID) error { return hold(op) })
			r.tree.setFault(hold)
			synced := make(chan error)
			go func() { synced <- a.Sync(t.Context()) }()
			<-reached
			r.lose()
			b := r.open(a.Ino(), readWrite)
			r.write(b, []byte("hello"), 0)
			close(free)
			wantErrno(t, posix.EIO, <-synced)
			wantErrno(t, 0, a.Sync(t.Context()))
			wantErrno(t, 0, b.Sync(t.Context()))
			r.close(a)
			r.close(b)
			r.stored(a.Ino(), []byte("hello"))
		})
	}
}

// TestLostOpensNothing: a capability is not renewed through a stale handle, for
// to a new session that would be another open.
func TestLostOpensNothing(t *testing.T) {
	r := newRig(t, Config{})
	p := pattern(200 << 10)
	h := r.open(r.written(p), posix.OpenRead)
	reached, free := make(chan bool), make(chan bool)
	var once sync.Once
	r.blocks.setFault(func(op string, _ posix.BlockID) (err error) {
		if op == "get" {
			once.Do(func() { close(reached); <-free; err = posix.E(op, posix.EACCES, nil) })
		}
		return err
	})
	read := make(chan error)
	go func() {
		_, err := h.Read(context.Background(), make([]byte, len(p)), 0)
		read <- err
	}()
	<-reached
	r.lose()
	opens := r.tree.count("open")
	close(free)
	wantErrno(t, posix.ESTALE, <-read)
	if n := r.tree.count("open") - opens; n != 0 {
		t.Error("the file was opened again")
	}
	r.close(h)
}

// TestLostFreesWaiters: who waits for memory when the session is lost is told,
// and the memory comes free.
func TestLostFreesWaiters(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	free := r.stall()
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	r.fill(a)
	waiting := make(chan bool, 1)
	short := r.memory.short
	r.memory.short = func() { short(); waiting <- true }
	wrote := make(chan error)
	go func() {
		_, err := b.Write(t.Context(), make([]byte, posix.BlockSize), 0)
		wrote <- err
	}()
	<-waiting
	r.lose()
	close(free)
	wantErrno(t, posix.ESTALE, <-wrote)
	wantErrno(t, posix.EIO, a.Close(t.Context()))
	r.close(b)
}

// TestLostLongAgo: a flush that has outlived its session, and finds its uploads
// too old, does not send what is no more.
func TestLostLongAgo(t *testing.T) {
	var now atomic.Int64
	r := newRig(t, Config{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	var once sync.Once
	r.blocks.setFault(func(op string, _ posix.BlockID) error {
		if op == "sync" {
			once.Do(func() { r.lose(); now.Add(int64(staleAfter/time.Second) + 1) })
		}
		return nil
	})
	wantErrno(t, posix.EIO, h.Sync(t.Context()))
	if n := r.blocks.puts; n != 1 {
		t.Errorf("%d blocks were sent, want 1", n)
	}
	r.close(h)
}
