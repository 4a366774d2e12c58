package file

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// pattern is n bytes that differ everywhere.
func pattern(n int) []byte {
	p := make([]byte, n)
	randomize(rand.New(rand.NewPCG(7, 7)), p)
	return p
}

// written makes a file of p's bytes that no client has in memory.
func (r *rig) written(p []byte) posix.Ino {
	h := r.create("f", readWrite)
	r.write(h, p, 0)
	r.close(h)
	r.blocks.gets = 0
	return h.Ino()
}

// TestSmallRead: a cold read of 4 KiB costs one small request, and its
// neighbourhood none.
func TestSmallRead(t *testing.T) {
	r := newRig(t, Config{})
	p := pattern(2 * posix.BlockSize)
	h := r.open(r.written(p), posix.OpenRead)
	r.reads(h, p[5<<20:5<<20+4096], 5<<20)
	if s := r.Stats(); s.Fetches != 1 || s.FetchBytes > 16<<10 {
		t.Errorf("%d requests, %d bytes", s.Fetches, s.FetchBytes)
	}
	r.reads(h, p[5<<20:5<<20+4096], 5<<20)
	if s := r.Stats(); s.Fetches != 1 || s.CacheHits != 1 {
		t.Errorf("again: %d requests, %d hits", s.Fetches, s.CacheHits)
	}
	r.close(h)
}

// TestReadAhead: reading in a row fetches each byte once, in big pieces, and
// further ahead the longer it lasts; parallel readers of one row too.
func TestReadAhead(t *testing.T) {
	for _, readers := range []int{1, 4} {
		r := newRig(t, Config{})
		const size, step = 40 << 20, 128 << 10
		p := pattern(size)
		h := r.open(r.written(p), posix.OpenRead)
		var mu sync.Mutex
		next := 0
		var work sync.WaitGroup
		for range readers {
			work.Go(func() {
				for {
					mu.Lock()
					off := next
					next += step
					mu.Unlock()
					if off >= size {
						return
					}
					r.reads(h, p[off:off+step], uint64(off))
				}
			})
		}
		work.Wait()
		s := r.Stats()
		if s.FetchBytes > size+size/20 || s.Fetches > 80 || s.Ahead < 30 {
			t.Errorf("%d readers: %d bytes in %d requests, %d ahead", readers, s.FetchBytes, s.Fetches, s.Ahead)
		}
		if s.Cached > minMemory*4 {
			t.Errorf("%d bytes cached", s.Cached)
		}
		r.close(h)
	}
}

// TestReadsBehindARow: who reads a row with others and was overtaken does not
// end it, else all of it would be fetched again; who reads from the beginning
// anew does, after a few reads.
func TestReadsBehindARow(t *testing.T) {
	r := newRig(t, Config{})
	const size, step = 64 << 20, 128 << 10
	h := r.open(r.written(pattern(size)), posix.OpenRead)
	for off := uint64(0); off < size/2; off += step {
		h.readAhead(off, step)
	}
	next, window := h.ahead.next, h.ahead.window
	for off := range uint64(mostBehind) {
		h.readAhead(off*step, step)
		if h.ahead.next != next || h.ahead.window != window {
			t.Fatalf("a read at %d ended the row", off*step)
		}
	}
	h.readAhead(next, step)
	if h.ahead.next != next+step || h.ahead.behind != 0 {
		t.Errorf("the row did not go on: %+v", &h.ahead)
	}
	off := uint64(0)
	for ; h.ahead.next > size/4; off += step {
		h.readAhead(off, step)
	}
	if off != (mostBehind+1)*step {
		t.Errorf("a new row after %d reads, want %d", off/step, mostBehind+1)
	}
	if h.readAhead(off, step); h.ahead.window != firstWindow {
		t.Errorf("the new row reads %d ahead", h.ahead.window)
	}
	r.close(h)
}

// TestRandomReadsDoNotReadAhead and the cache stays in its bound.
func TestRandomReadsDoNotReadAhead(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	p := pattern(48 << 20)
	h := r.open(r.written(p), posix.OpenRead)
	rnd := rand.New(rand.NewPCG(1, 1))
	const reads = 3000
	for range reads {
		off := 1 + rnd.IntN(len(p)-4097)
		r.reads(h, p[off:off+4096], uint64(off))
	}
	s := r.Stats()
	if s.Fetches > reads+reads/20 || s.FetchBytes > reads*(33<<10) {
		t.Errorf("%d requests, %d bytes", s.Fetches, s.FetchBytes)
	}
	if s.Cached > minMemory/2 {
		t.Errorf("%d bytes cached", s.Cached)
	}
	r.close(h)
}

// TestEnds: reads at and around the end of a file.
func TestEnds(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	for _, state := range []string{"dirty", "committed"} {
		if state == "dirty" {
			r.write(h, []byte("hello"), 1<<40)
		} else {
			wantErrno(t, 0, h.Sync(t.Context()))
		}
		p := bytes.Repeat([]byte("x"), 10)
		n, err := h.Read(t.Context(), p, 1<<40-3)
		if err != nil || string(p[:n]) != "\x00\x00\x00hello" {
			t.Errorf("%s: %q, %v", state, p[:n], err)
		}
		for _, off := range []uint64{1<<40 + 5, 1 << 41, posix.FileSizeMax} {
			if n, err := h.Read(t.Context(), p, off); n != 0 || err != nil {
				t.Errorf("%s: at %d: %d, %v", state, off, n, err)
			}
		}
	}
	_, err := h.Write(t.Context(), []byte("ab"), posix.FileSizeMax-1)
	wantErrno(t, posix.EFBIG, err)
	r.close(h)
}

// TestRights: a handle reads and writes as it was opened.
func TestRights(t *testing.T) {
	r := newRig(t, Config{})
	w := r.create("f", posix.OpenWrite)
	_, err := w.Read(t.Context(), make([]byte, 1), 0)
	wantErrno(t, posix.EBADF, err)
	rd := r.open(w.Ino(), posix.OpenRead)
	_, err = rd.Write(t.Context(), make([]byte, 1), 0)
	wantErrno(t, posix.EBADF, err)
	r.close(w)
	r.close(rd)
}

// TestCollected: a block that another client's writing has freed is looked for
// once more, by a fresh layout; if that names it still, it is an error.
func TestCollected(t *testing.T) {
	r := newRig(t, Config{})
	ino := r.written([]byte("before"))
	h := r.open(ino, posix.OpenRead)
	other := r.other()
	defer other.Shutdown(context.Background())
	h2, _, err := other.Open(t.Context(), r.tree, ino, readWrite|posix.OpenTrunc)
	if err != nil {
		t.Fatal(err)
	}
	clear(r.blocks.blocks)
	h2.Write(t.Context(), []byte("af"), 0)
	wantErrno(t, 0, h2.Close(t.Context()))
	p := make([]byte, 10)
	n, err := h.Read(t.Context(), p, 0)
	if err != nil || string(p[:n]) != "af" {
		t.Errorf("%q, %v", p[:n], err)
	}
	clear(r.blocks.blocks)
	r.cache = New(Config{}).cache // forget what was read
	_, err = h.Read(t.Context(), p, 0)
	wantErrno(t, posix.EIO, err)
	r.close(h)
}

// TestDamaged: EIO, and one line that names the block.
func TestDamaged(t *testing.T) {
	var lines strings.Builder
	r := newRig(t, Config{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	h := r.open(r.written(pattern(1000)), posix.OpenRead)
	var id posix.BlockID
	for id = range r.blocks.blocks {
	}
	fault, on := failing("get", posix.E("get", posix.EIO, nil))
	r.blocks.setFault(fault)
	for range 3 {
		_, err := h.Read(t.Context(), make([]byte, 10), 0)
		wantErrno(t, posix.EIO, err)
	}
	if n := strings.Count(lines.String(), id.String()); n != 1 {
		t.Errorf("%d lines name the block:\n%s", n, &lines)
	}
	on.Store(false)
	r.reads(h, pattern(1000), 0)
	r.close(h)
}

// TestInterruptedRead: EINTR, and the others who wait for the same bytes have
// them all the same.
func TestInterruptedRead(t *testing.T) {
	r := newRig(t, Config{})
	p := pattern(1000)
	h := r.open(r.written(p), posix.OpenRead)
	reached, free := make(chan bool), make(chan bool)
	var once sync.Once
	r.blocks.setFault(func(op string, _ posix.BlockID) error {
		if op == "get" {
			once.Do(func() { reached <- true; <-free })
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan bool)
	go func() {
		_, err := h.Read(ctx, make([]byte, 10), 500) // not at 0, where reading ahead begins
		first <- err
	}()
	<-reached
	go func() {
		r.reads(h, p[500:520], 500)
		close(second)
	}()
	cancel()
	close(free)
	wantErrno(t, posix.EINTR, <-first)
	<-second
	r.close(h)
}

// TestMalformedLayout: an answer that makes no sense is EIO.
func TestMalformedLayout(t *testing.T) {
	r := newRig(t, Config{})
	ino := r.written(pattern(2 << 20))
	bad := r.tree.files[ino].m
	bad[0].Slice.Len = 5
	r.Invalidate(ino)
	h := r.open(ino, posix.OpenRead)
	_, err := h.Read(t.Context(), make([]byte, 10), 1<<20)
	wantErrno(t, posix.EIO, err)
	_, err = h.Read(t.Context(), make([]byte, 10), 0)
	wantErrno(t, posix.EIO, err)
	r.close(h)
}

// TestDisjoint: many writers and readers of one file, each in its own stripes,
// with flushes between.
func TestDisjoint(t *testing.T) {
	r := newRig(t, Config{Memory: minMemory})
	const workers, stripe = 6, 40 << 10
	hs := make([]*Handle, workers)
	hs[0] = r.create("f", readWrite)
	for k := 1; k < workers; k++ {
		hs[k] = r.open(hs[0].Ino(), readWrite)
	}
	want := make([]byte, 64*workers*stripe)
	var work sync.WaitGroup
	for k, h := range hs {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(k), 3))
			for range 300 {
				at := (rnd.IntN(64)*workers+k)*stripe + rnd.IntN(stripe/2)
				p := want[at : at+1+rnd.IntN(stripe/2)]
				switch rnd.IntN(8) {
				case 0:
					if err := h.Sync(t.Context()); err != nil {
						t.Error(err)
					}
				case 1, 2, 3:
					got := make([]byte, len(p))
					n, err := h.Read(t.Context(), got, uint64(at))
					if err != nil || !bytes.Equal(got[:n], p[:n]) {
						t.Errorf("worker %d: read %d at %d: %d, %v", k, len(p), at, n, err)
						return
					}
				default:
					randomize(rnd, p)
					r.write(h, p, uint64(at))
				}
			}
		})
	}
	work.Wait()
	r.write(hs[0], want[len(want)-1:], uint64(len(want)-1))
	for _, h := range hs {
		r.close(h)
	}
	r.stored(hs[0].Ino(), want)
}
