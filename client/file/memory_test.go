package file

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// TestMemoryBound: writers of many files over a slow store never hold more
// than they may, and all get on.
func TestMemoryBound(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	limit := r.memory.limit
	r.blocks.setFault(func(op string, _ posix.BlockID) error {
		if op == "put" {
			time.Sleep(2 * time.Millisecond)
		}
		if n := r.memory.taken(); n > limit {
			t.Errorf("%d bytes are held, %d are allowed", n, limit)
		}
		return nil
	})
	var work sync.WaitGroup
	for k := range 4 {
		h := r.create(fmt.Sprint(k), readWrite)
		work.Go(func() {
			p := make([]byte, 1<<20)
			for off := uint64(0); off < 24<<20; off += uint64(len(p)) {
				r.write(h, p, off)
				if n := r.memory.taken(); n > limit {
					t.Errorf("%d bytes are held, %d are allowed", n, limit)
				}
			}
			r.close(h)
		})
	}
	work.Wait()
	if r.Stats().Waits == 0 {
		t.Error("nobody had to wait: the test shows nothing")
	}
}

// stall closes the store: what is put waits until free is closed.
func (r *rig) stall() (free chan bool) {
	free = make(chan bool)
	r.blocks.setFault(func(op string, _ posix.BlockID) error {
		if op == "put" {
			<-free
		}
		return nil
	})
	return free
}

// fill writes to h until all memory is taken, with the store closed.
func (r *rig) fill(h *Handle) {
	for off := uint64(0); r.memory.taken()+posix.BlockSize <= r.memory.limit; off += posix.BlockSize {
		r.write(h, make([]byte, posix.BlockSize), off)
	}
}

// TestInterruptedWait: a write that waits for memory can be interrupted, and
// has then done nothing.
func TestInterruptedWait(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	free := r.stall()
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	r.fill(a)
	ctx, cancel := context.WithCancel(t.Context())
	short := r.memory.short
	r.memory.short = func() { short(); cancel() }
	n, err := b.Write(ctx, make([]byte, posix.BlockSize), 0)
	wantErrno(t, posix.EINTR, err)
	if attr, _ := r.Over(r.tree).Getattr(t.Context(), b.Ino()); n != 0 || attr.Size != 0 {
		t.Error("something was written:", n, attr.Size)
	}
	close(free)
	r.close(a)
	r.close(b)
}

// TestDroppedOnItsWay: the memory of blocks that a truncation has made useless
// while they were being sent comes free when they have arrived.
func TestDroppedOnItsWay(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory, Age: 10 * time.Millisecond})
	free := r.stall()
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	for off := uint64(0); r.memory.taken()+posix.BlockSize <= r.memory.limit; off += posix.ChunkSize {
		r.write(a, make([]byte, posix.BlockSize), off)
	}
	if _, err := r.tree.Setattr(t.Context(), a.Ino(), posix.SetAttr{Set: posix.SetSize}); err != nil {
		t.Fatal(err)
	}
	a.i.mu.Lock()
	a.i.cut(0, posix.FileSizeMax)
	a.i.mu.Unlock()
	arrived := make(chan bool, 1)
	short := r.memory.short
	r.memory.short = func() { short(); arrived <- true }
	go func() { <-arrived; close(free) }()
	r.write(b, make([]byte, posix.BlockSize), 0)
	r.close(a)
	r.close(b)
}

// TestFullDiskSetsFree: what a full quota keeps in memory gives way to others,
// and whoever wrote it is told before it reads or writes again.
func TestFullDiskSetsFree(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	full := make(chan bool)
	r.blocks.setFault(func(op string, id posix.BlockID) error {
		if op == "put" && id.File == a.Ino() {
			<-full
			return posix.E("put", posix.EDQUOT, nil)
		}
		return nil
	})
	r.fill(a)
	close(full)
	for off := uint64(0); off < 8*posix.BlockSize; off += posix.BlockSize {
		r.write(b, make([]byte, posix.BlockSize), off)
	}
	p := make([]byte, 10)
	_, err := a.Read(t.Context(), p, 0)
	wantErrno(t, posix.EIO, err)
	_, err = a.Write(t.Context(), p, 0)
	wantErrno(t, posix.EIO, err)
	wantErrno(t, posix.EDQUOT, a.Sync(t.Context()))
	if n, err := a.Read(t.Context(), p, 0); n != 0 || err != nil {
		t.Error(n, err)
	}
	wantErrno(t, 0, a.Sync(t.Context()))
	r.close(a)
	r.close(b)
}

// TestServerAway: who waits for memory that can't come is told why.
func TestServerAway(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	fault, on := failing("put", posix.E("put", posix.ETIMEDOUT, nil))
	r.blocks.setFault(fault)
	a := r.create("a", readWrite)
	r.fill(a)
	var err error
	for off := uint64(1 << 30); err == nil; off += posix.BlockSize {
		_, err = a.Write(t.Context(), make([]byte, posix.BlockSize), off)
	}
	wantErrno(t, posix.ETIMEDOUT, err)
	on.Store(false)
	wantErrno(t, 0, a.Sync(t.Context())) // it was a delay and no loss
	r.close(a)
}

// TestLine: those who wait for memory are served in order, and a small claim
// does not pass a big one.
func TestLine(t *testing.T) {
	arrived := make(chan bool)
	b := &budget{limit: 10, short: func() { arrived <- true }}
	if !b.try(8) {
		t.Fatal("refused")
	}
	served := make(chan int64, 3)
	for _, n := range []int64{9, 1, 2} {
		go func() {
			if err := b.take(t.Context(), n); err != nil {
				t.Error(err)
			}
			served <- n
		}()
		<-arrived
	}
	if b.try(1) {
		t.Error("someone passed the line")
	}
	b.give(8)
	if n := <-served + <-served; n != 10 {
		t.Error("the small ones passed the big one")
	}
	b.give(9)
	<-served
	if b.taken() != 3 {
		t.Error(b.taken())
	}
}

// TestTrimmer: once after each burst, not during it and not for little.
func TestTrimmer(t *testing.T) {
	var tr trimmer
	const mib = 1 << 20
	for i, c := range []struct {
		used, given int64
		looks       int
		want        int // how often the memory is given back
	}{
		{0, 0, 2 * trimLooks, 0},
		{64 * mib, 0, 2 * trimLooks, 0},
		{0, 64 * mib, trimLooks, 0}, // the first look finds that something was given back
		{0, 64 * mib, 2 * trimLooks, 1},
		{0, 65 * mib, 2 * trimLooks, 0},
		{mib, 120 * mib, 2 * trimLooks, 0},
		{0, 121 * mib, 2 * trimLooks, 1},
	} {
		got := 0
		for range c.looks {
			if tr.due(c.used, c.given) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("step %d: %d times, want %d", i, got, c.want)
		}
	}
}
