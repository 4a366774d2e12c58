package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// TestThousandWriters of one file, who want more memory than there is, all get
// on; each reads back what it wrote, and so does a stranger.
func TestThousandWriters(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	const writers, step = 1000, 64 << 10
	h := r.create("f", readWrite)
	var work sync.WaitGroup
	for k := range writers {
		work.Go(func() {
			p, got := bytes.Repeat([]byte{byte(k)}, step), make([]byte, step)
			at := uint64(k*7919%writers) * step
			if n, err := h.Write(t.Context(), p, at); n != step || err != nil {
				t.Error(n, err)
			}
			if n, err := h.Read(t.Context(), got, at); n != step || err != nil || !bytes.Equal(got, p) {
				t.Error(k, n, err)
			}
			if k%50 == 0 {
				if err := h.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	r.close(h)
	want := make([]byte, writers*step)
	for k := range writers {
		at := k * 7919 % writers * step
		copy(want[at:], bytes.Repeat([]byte{byte(k)}, step))
	}
	r.stored(h.Ino(), want)
}

// TestAfterShutdown: nothing is buffered that nobody would store, and nobody
// waits for memory that will not come.
func TestAfterShutdown(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	h := r.create("f", readWrite)
	wantErrno(t, 0, r.Shutdown(t.Context()))
	_, err := h.Write(t.Context(), make([]byte, posix.BlockSize), 0)
	wantErrno(t, posix.ECANCELED, err)
	wantErrno(t, 0, h.Close(t.Context()))
}

// TestShutdownTells: what could not be stored is told by file and size.
func TestShutdownTells(t *testing.T) {
	r := newRig(t, Config{})
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	r.write(a, make([]byte, 3<<20), 0)
	r.write(b, []byte("hello"), 0)
	wantErrno(t, 0, b.Sync(t.Context()))
	r.write(b, []byte("again"), 100)
	r.blocks.setFault(func(string, posix.BlockID) error { return posix.E("put", posix.ENOSPC, nil) })
	err := r.Shutdown(t.Context())
	lost, ok := errors.AsType[*LostError](err)
	if !ok || !errors.Is(err, posix.ENOSPC) {
		t.Fatalf("%v, want what is lost, for %v", err, posix.ENOSPC)
	}
	want := []Unsaved{{a.Ino(), 3 << 20}, {b.Ino(), 5}}
	if !slices.Equal(lost.Files, want) || !strings.Contains(err.Error(), fmt.Sprintf("3145733 bytes written to 2 files (inodes %d %d) are lost: ", a.Ino(), b.Ino())) {
		t.Errorf("%v, %v; want %v", err, lost.Files, want)
	}
	for _, h := range []*Handle{a, b} {
		if h.Close(t.Context()) == nil {
			t.Errorf("close of %d does not tell", h.Ino())
		}
	}
}

// TestOneHangs: a file that can't be flushed holds up neither what has become
// old nor those who wait for the memory that other files have.
func TestOneHangs(t *testing.T) {
	for _, age := range []time.Duration{10 * time.Millisecond, time.Hour} {
		r := newRig(t, Config{Memory: minMemory, Age: age})
		a, c := r.create("a", readWrite), r.create("c", readWrite)
		reached, free, sent := make(chan bool), make(chan bool), make(chan bool)
		var first, second sync.Once
		r.blocks.setFault(func(op string, id posix.BlockID) error {
			switch {
			case op == "put" && id.File == a.Ino():
				first.Do(func() { close(reached) })
				<-free
			case op == "put" && id.File == c.Ino():
				second.Do(func() { close(sent) })
			}
			return nil
		})
		r.write(a, make([]byte, 100), 0)
		go a.Sync(context.Background())
		<-reached
		for k := range 3 * minMemory >> 20 { // too little of each to be flushed for its own sake
			h := r.create(fmt.Sprint(k), readWrite)
			r.write(h, make([]byte, 1<<20), 0)
			defer r.close(h)
		}
		r.write(c, make([]byte, 100), 0)
		if age < time.Hour {
			<-sent
		}
		close(free)
		r.close(a)
		r.close(c)
	}
}

// TestMemoryInHand: who waits while all memory is with those who are about to
// write has it when they have written, without another word.
func TestMemoryInHand(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	if !r.memory.try(r.memory.limit) {
		t.Fatal("no memory")
	}
	waiting := make(chan bool, 10)
	short := r.memory.short
	r.memory.short = func() { short(); waiting <- true }
	var work sync.WaitGroup
	for _, w := range []struct {
		h *Handle
		n int
	}{{a, 100}, {b, posix.BlockSize}} {
		work.Go(func() { r.write(w.h, make([]byte, w.n), 0) })
		<-waiting
	}
	for len(r.wake) > 0 { // let it be seen that there is nothing to flush
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	enough := int64(posix.BlockSize + maxCost + 100) // for b, unless a has some of it
	r.memory.give(enough)
	work.Wait()
	r.close(a)
	r.close(b)
	r.memory.give(r.memory.limit - enough)
}

// TestTenThousandOpen: an open file that is idle takes little memory, and one
// that is closed little more than none, also after it was written.
func TestTenThousandOpen(t *testing.T) {
	r := newRig(t, Config{})
	const files = 10000
	before := heap()
	hs := make([]*Handle, files)
	for k := range hs {
		hs[k] = r.create(fmt.Sprint(k), readWrite)
	}
	// The double keeps about as much of each file as the data path does.
	limit := uint64(2500)
	if each := (heap() - before) / files; each > limit {
		t.Errorf("an open file takes %d bytes, at most %d are expected", each, limit)
	} else {
		t.Log("an open file takes", each, "bytes, the double's share included")
	}
	for k, h := range hs {
		r.write(h, []byte{byte(k)}, 0)
	}
	for k, h := range hs {
		r.reads(h, []byte{byte(k)}, 0)
		r.close(h)
	}
	if n := len(r.byID); n != 0 {
		t.Error("handles are remembered:", n)
	}
	if n := len(r.inodes); n > maxIdle {
		t.Error("files are remembered:", n)
	}
}

func heap() uint64 {
	for range 3 { // what lies in pools is free after the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLongStream: a file that is much longer than the memory goes through it
// within its bound, and nothing of it stays.
func TestLongStream(t *testing.T) {
	const size = 1 << 30
	f := New(Config{Blocks: nullBlocks{}, Memory: 64 << 20})
	defer f.Shutdown(context.Background())
	tree := newFakeTree(newFakeBlocks())
	tree.trusting = true
	h, _, err := f.Create(t.Context(), tree, posix.RootIno, "f", 0o666, 0, readWrite)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1<<20)
	most, before := uint64(0), heap()
	for off := uint64(0); off < size; off += uint64(len(p)) {
		if _, err := h.Write(t.Context(), p, off); err != nil {
			t.Fatal(err)
		}
		if n := f.memory.taken(); n > f.memory.limit {
			t.Fatalf("%d bytes are held, %d are allowed", n, f.memory.limit)
		}
		if off%(1<<26) == 0 {
			most = max(most, heap())
		}
	}
	if most > before+uint64(f.memory.limit)+16<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", before, most)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, m := f.memory.taken(), len(h.i.layout.extents); n != 0 || m > maxLayout {
		t.Error(n, "bytes and", m, "extents are left")
	}
	if s := f.Stats(); s.Buffered != 0 || s.Files != 0 {
		t.Errorf("%+v", s)
	}
}

// TestOpensAmongWrites: O_TRUNC, truncations, holes, copies, flushes and closes
// of one file at a time leave nothing behind and no one waiting.
func TestOpensAmongWrites(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory, Age: time.Millisecond})
	keep := r.create("f", readWrite)
	ns, ino := r.Over(r.tree), keep.Ino()
	var work sync.WaitGroup
	for k := range uint64(16) {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(k, 3))
			for range 60 {
				flags := readWrite
				if rnd.IntN(4) == 0 {
					flags |= posix.OpenTrunc
				}
				h, _, err := r.Open(t.Context(), r.tree, ino, flags)
				if err != nil {
					t.Error(err)
					return
				}
				off := rnd.Uint64N(1 << 20)
				_, err = h.Write(t.Context(), make([]byte, 1+rnd.IntN(100<<10)), off)
				switch {
				case err != nil:
				case k%4 == 0:
					_, err = ns.Setattr(t.Context(), ino, posix.SetAttr{Set: posix.SetSize, Size: off, Handle: h.ID()})
				case k%4 == 1:
					err = h.Allocate(t.Context(), punch, off, 50<<10)
				case k%4 == 2:
					_, err = r.CopyRange(t.Context(), h, 0, keep, 2<<20, 1<<20)
				default:
					err = h.Sync(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
				if err := h.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	r.close(keep)
	if n := len(r.tree.handles); n != 0 {
		t.Error("handles left open:", n)
	}
}
