package file

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

func (r *rig) write(h *Handle, p []byte, off uint64) {
	r.t.Helper()
	if n, err := h.Write(r.t.Context(), p, off); n != len(p) || err != nil {
		r.t.Fatalf("write: %d, %v", n, err)
	}
}

func (r *rig) reads(h *Handle, want []byte, off uint64) {
	r.t.Helper()
	got := make([]byte, len(want))
	if n, err := h.Read(r.t.Context(), got, off); n != len(want) || err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("read %d at %d: %d, %v, %.20q; want %.20q", len(want), off, n, err, got, want)
	}
}

func wantErrno(t *testing.T, want posix.Errno, err error) {
	t.Helper()
	if got := posix.ErrnoOf(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// stored answers what a client that has just come sees of the file.
func (r *rig) stored(ino posix.Ino, want []byte) {
	r.t.Helper()
	fresh := r.other()
	defer fresh.Shutdown(context.Background())
	h, a, err := fresh.Open(r.t.Context(), r.tree, ino, posix.OpenRead)
	if err != nil || a.Size != uint64(len(want)) {
		r.t.Fatalf("size %d, want %d, %v", a.Size, len(want), err)
	}
	defer h.Close(context.Background())
	(&rig{t: r.t}).reads(h, want, 0)
}

// failing answers err to op until it is told to stop.
func failing(op string, err error) (func(string, posix.BlockID) error, *atomic.Bool) {
	on := new(atomic.Bool)
	on.Store(true)
	return func(o string, _ posix.BlockID) error {
		if o == op && on.Load() {
			return err
		}
		return nil
	}, on
}

// TestFaults fails each step of a flush, for a while or for good: every handle
// that was open is told once, what was written is still read, and the next
// flush commits it.
func TestFaults(t *testing.T) {
	for _, op := range []string{"put", "sync", "commit"} {
		for _, errno := range []posix.Errno{posix.ENOSPC, posix.EDQUOT, posix.EIO, posix.ETIMEDOUT, posix.EAGAIN, posix.ESTALE} {
			t.Run(op+" "+errno.String(), func(t *testing.T) {
				r := newRig(t, Config{})
				a := r.create("f", readWrite)
				b := r.open(a.Ino(), readWrite)
				fault, on := failing(op, posix.E(op, errno, nil))
				r.blocks.setFault(fault)
				r.tree.setFault(func(op string) error { return fault(op, posix.BlockID{}) })
				r.write(a, []byte("hello"), 0)

				wantErrno(t, errno, a.Sync(t.Context()))
				on.Store(false)
				r.reads(b, []byte("hello"), 0)
				wantErrno(t, errno, b.Flush(t.Context())) // committed, but b was not told yet
				wantErrno(t, 0, a.Sync(t.Context()))
				wantErrno(t, 0, b.Sync(t.Context()))
				r.stored(a.Ino(), []byte("hello"))
				late := r.open(a.Ino(), readWrite)
				wantErrno(t, 0, late.Sync(t.Context()))
				for _, h := range []*Handle{a, b, late} {
					r.close(h)
				}
			})
		}
	}
}

// TestFullDisk: while the disk is full a write is refused at once, and when the
// last handle is closed what could not be stored is dropped, after the error.
func TestFullDisk(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	fault, on := failing("put", posix.E("put", posix.ENOSPC, nil))
	r.blocks.setFault(fault)
	r.write(h, []byte("one"), 0)
	wantErrno(t, posix.ENOSPC, h.Sync(t.Context()))
	_, err := h.Write(t.Context(), []byte("two"), 3)
	wantErrno(t, posix.ENOSPC, err)
	r.reads(h, []byte("one"), 0)

	on.Store(false) // room was made
	r.write(h, []byte("two"), 3)
	wantErrno(t, 0, h.Sync(t.Context()))
	r.stored(h.Ino(), []byte("onetwo"))

	on.Store(true)
	r.write(h, []byte("three"), 6)
	wantErrno(t, posix.ENOSPC, h.Flush(t.Context()))
	wantErrno(t, posix.ENOSPC, h.Close(t.Context()))
	on.Store(false)
	r.stored(h.Ino(), []byte("onetwo"))
}

// TestLostPuts: the store restarts between Put and Sync, and has forgotten
// what was not synced; the commit finds out.
func TestLostPuts(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	var once sync.Once
	r.tree.setFault(func(op string) (err error) {
		if op == "commit" {
			once.Do(func() {
				r.blocks.mu.Lock()
				defer r.blocks.mu.Unlock()
				clear(r.blocks.blocks)
				err = posix.E("commit", posix.EAGAIN, nil)
			})
		}
		return err
	})
	wantErrno(t, 0, h.Sync(t.Context()))
	r.stored(h.Ino(), []byte("hello"))
	r.close(h)
}

// TestNewNames: after a commit whose outcome is unknown, and after a sync that
// failed, the same bytes go under another name.
func TestNewNames(t *testing.T) {
	for _, op := range []string{"sync", "commit"} {
		t.Run(op, func(t *testing.T) {
			r := newRig(t, Config{})
			h := r.create("f", readWrite)
			r.write(h, []byte("hello"), 0)
			fault, on := failing(op, posix.E(op, posix.ETIMEDOUT, nil))
			r.blocks.setFault(fault)
			r.tree.setFault(func(op string) error { return fault(op, posix.BlockID{}) })
			wantErrno(t, posix.ETIMEDOUT, h.Sync(t.Context()))
			on.Store(false)
			wantErrno(t, 0, h.Sync(t.Context()))
			if n := len(r.blocks.blocks); n != 2 {
				t.Errorf("%d names, want 2", n)
			}
			r.close(h)
		})
	}
}

// TestOldUpload: an upload that nobody committed for half an hour goes again.
func TestOldUpload(t *testing.T) {
	var now atomic.Int64
	r := newRig(t, Config{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	h := r.create("f", readWrite)
	r.write(h, make([]byte, posix.BlockSize+1), 0) // the full block leaves at once
	fault, on := failing("put", posix.E("put", posix.ETIMEDOUT, nil))
	r.blocks.setFault(fault)
	wantErrno(t, posix.ETIMEDOUT, h.Sync(t.Context()))
	on.Store(false)
	before := r.blocks.puts
	now.Add(int64(staleAfter/time.Second) + 1)
	wantErrno(t, 0, h.Sync(t.Context()))
	if n := r.blocks.puts - before; n < 2 {
		t.Errorf("%d blocks were sent, want both", n)
	}
	r.close(h)
}

// TestInterruptedSync: the caller has EINTR, and the flush goes on.
func TestInterruptedSync(t *testing.T) {
	for _, op := range []string{"put", "sync", "commit"} {
		t.Run(op, func(t *testing.T) {
			r := newRig(t, Config{})
			h := r.create("f", readWrite)
			r.write(h, []byte("hello"), 0)
			reached, free := make(chan bool), make(chan bool)
			var once sync.Once
			hold := func(o string) error {
				if o == op {
					once.Do(func() { reached <- true; <-free })
				}
				return nil
			}
			r.blocks.setFault(func(op string, _ posix.BlockID) error { return hold(op) })
			r.tree.setFault(hold)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-reached; cancel() }()
			wantErrno(t, posix.EINTR, h.Sync(ctx))
			close(free)
			wantErrno(t, 0, h.Sync(t.Context()))
			r.stored(h.Ino(), []byte("hello"))
			r.close(h)
		})
	}
}

// TestWriteDuringFlush: what is written while a commit is on its way is dirty
// afterwards, over what was committed.
func TestWriteDuringFlush(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("aaaa"), 0)
	var once sync.Once
	r.tree.setFault(func(op string) error {
		if op == "commit" {
			once.Do(func() { r.write(h, []byte("bb"), 1) })
		}
		return nil
	})
	wantErrno(t, 0, h.Sync(t.Context()))
	r.stored(h.Ino(), []byte("aaaa"))
	r.reads(h, []byte("abba"), 0)
	wantErrno(t, 0, h.Sync(t.Context()))
	r.stored(h.Ino(), []byte("abba"))
	r.close(h)
}

// TestFlusher: data of age is committed by itself.
func TestFlusher(t *testing.T) {
	r := newRig(t, Config{Age: time.Millisecond})
	h := r.create("f", readWrite)
	done := make(chan bool)
	var once sync.Once
	r.tree.setFault(func(op string) error {
		if op == "commit" {
			once.Do(func() { close(done) })
		}
		return nil
	})
	r.write(h, []byte("hello"), 0)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was committed")
	}
	r.close(h)
}

// TestManyExtents: more than one commit takes.
func TestManyExtents(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	want := make([]byte, 2*(maxCommit+100))
	for off := 0; off < len(want); off += 2 {
		want[off] = byte(off>>1) | 1
		r.write(h, want[off:off+1], uint64(off))
	}
	r.reads(h, want[:len(want)-1], 0)
	wantErrno(t, 0, h.Sync(t.Context()))
	if n := r.tree.count("commit"); n < 2 {
		t.Errorf("%d commits, want more than one", n)
	}
	if n := r.Stats().Uploads; n != 1 {
		t.Errorf("%d blocks, want one in which all have gathered", n)
	}
	r.stored(h.Ino(), want[:len(want)-1])
	r.close(h)
}

// TestStream: a long write in a row leaves in whole blocks before anybody asks,
// and ends in slices of many blocks.
func TestStream(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	p := make([]byte, 1<<20)
	for off := uint64(0); off < 80<<20; off += uint64(len(p)) {
		r.write(h, p, off)
	}
	wantErrno(t, 0, h.Sync(t.Context()))
	if n := r.blocks.puts; n != 20 {
		t.Errorf("%d blocks, want 20", n)
	}
	if m := r.tree.files[h.Ino()].m; len(m) > 5 {
		t.Errorf("%d extents", len(m))
	}
	r.close(h)
}

// TestCapability: one that is refused is asked for again, twice.
func TestCapability(t *testing.T) {
	r := newRig(t, Config{})
	r.tree.right, r.blocks.valid = "one", "one"
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	renew := func(tree, blocks string) {
		r.tree.mu.Lock()
		r.tree.right = tree
		r.tree.mu.Unlock()
		r.blocks.mu.Lock()
		r.blocks.valid = blocks
		r.blocks.mu.Unlock()
	}
	renew("two", "two")
	wantErrno(t, 0, h.Sync(t.Context()))
	renew("three", "three")
	r.reads(h, []byte("hello"), 0)
	renew("four", "five")
	r.write(h, []byte("again"), 0)
	opens := r.tree.count("open")
	wantErrno(t, posix.EACCES, h.Sync(t.Context()))
	if n := r.tree.count("open") - opens; n != 2 {
		t.Errorf("asked %d times", n)
	}
	renew("five", "five")
	wantErrno(t, 0, h.Sync(t.Context()))
	r.close(h)
}

// TestSyncAll goes on after an error and answers it.
func TestSyncAll(t *testing.T) {
	r := newRig(t, Config{})
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	r.write(a, []byte("a"), 0)
	r.write(b, []byte("b"), 0)
	r.blocks.setFault(func(op string, id posix.BlockID) error {
		if op == "put" && id.File == a.Ino() {
			return posix.E("put", posix.ENOSPC, errors.New("no room"))
		}
		return nil
	})
	wantErrno(t, posix.ENOSPC, r.SyncAll(t.Context()))
	r.stored(b.Ino(), []byte("b"))
	r.blocks.setFault(nil)
	wantErrno(t, posix.ENOSPC, a.Sync(t.Context())) // it was not told by a's own call
	r.stored(a.Ino(), []byte("a"))
	r.close(a)
	r.close(b)
}
