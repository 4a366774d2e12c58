package blockcache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

const size = 4 << 20

// content is the bytes of a block, and a source that counts what is fetched.
func content(seed uint64) []byte {
	p := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(p)
	return p
}

func source(p []byte, calls, fetched *atomic.Int64) Source {
	return func(_ context.Context, off uint32, dst []byte) error {
		calls.Add(1)
		fetched.Add(int64(len(dst)))
		if int(off)+len(dst) > len(p) {
			return errors.New("beyond the block")
		}
		copy(dst, p[off:])
		return nil
	}
}

func id(n uint32) posix.BlockID { return posix.BlockID{File: 2, Index: n} }

func TestSmallReadsAreRoundedAndKept(t *testing.T) {
	c, p := New(8<<20), content(1)
	var calls, fetched atomic.Int64
	src := source(p, &calls, &fetched)
	dst := make([]byte, 4096)
	for range 3 {
		if err := c.Read(t.Context(), id(0), size, 5*4096, dst, src); err != nil || !bytes.Equal(dst, p[5*4096:6*4096]) {
			t.Fatal("wrong bytes", err)
		}
	}
	if calls.Load() != 1 || fetched.Load() != Granule {
		t.Errorf("%d calls, %d bytes", calls.Load(), fetched.Load())
	}
	if s := c.Stats(); s.Hits != 2 || s.Misses != 1 {
		t.Errorf("%+v", s)
	}
	// A block's last granule is cut at its end.
	if err := c.Read(t.Context(), id(1), 100, 90, dst[:10], source(p[:100], &calls, &fetched)); err != nil {
		t.Error(err)
	}
}

func TestBigReadsPassBy(t *testing.T) {
	c, p := New(8<<20), content(1)
	var calls, fetched atomic.Int64
	dst := make([]byte, Bypass)
	for range 2 {
		if err := c.Read(t.Context(), id(0), size, 3, dst, source(p, &calls, &fetched)); err != nil || !bytes.Equal(dst, p[3:3+Bypass]) {
			t.Fatal("wrong bytes", err)
		}
	}
	if fetched.Load() != 2*Bypass || c.Stats().Bytes != 0 {
		t.Error(fetched.Load(), c.Stats())
	}
}

// TestOnce: however many read the same bytes at once, they are fetched once.
func TestOnce(t *testing.T) {
	c, p := New(8<<20), content(1)
	var calls, fetched atomic.Int64
	src := source(p, &calls, &fetched)
	claims := c.Claim(id(0), size, 0, 2*Piece+5)
	if len(claims) != 3 || len(c.Claim(id(0), size, 0, 2*Piece+5)) != 0 {
		t.Fatal(len(claims), "claims")
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			dst := make([]byte, 2*Piece)
			if err := c.Read(t.Context(), id(0), size, 5, dst, src); err != nil || !bytes.Equal(dst, p[5:5+2*Piece]) {
				t.Error("wrong bytes", err)
			}
		})
	}
	for _, k := range claims {
		k.Fill(t.Context(), nil, src)
	}
	work.Wait()
	if fetched.Load() != 2*Piece+5 {
		t.Error(fetched.Load(), "bytes were fetched")
	}
}

// TestFailure of the one who fetches is not that of those who wait.
func TestFailure(t *testing.T) {
	c, p := New(8<<20), content(1)
	var calls, fetched atomic.Int64
	claims := c.Claim(id(0), size, 0, 4096)
	done := make(chan error)
	go func() {
		dst := make([]byte, 4096)
		err := c.Read(context.Background(), id(0), size, 0, dst, source(p, &calls, &fetched))
		if err == nil && !bytes.Equal(dst, p[:4096]) {
			err = errors.New("wrong bytes")
		}
		done <- err
	}()
	claims[0].Fill(t.Context(), errors.New("interrupted"), nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	bad := errors.New("bad")
	err := c.Read(t.Context(), id(1), size, 0, make([]byte, 10), func(context.Context, uint32, []byte) error { return bad })
	if !errors.Is(err, bad) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	claims = c.Claim(id(2), size, 0, 10)
	cancel()
	if err := c.Read(ctx, id(2), size, 0, make([]byte, 10), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	claims[0].Fill(t.Context(), bad, nil)
}

// TestReadAheadGoesFirst: what was read ahead and read is the first to go.
func TestReadAheadGoesFirst(t *testing.T) {
	c, p := New(2*(Piece+spanCost)+Granule+spanCost), content(1)
	var calls, fetched atomic.Int64
	src := source(p, &calls, &fetched)
	dst := make([]byte, Piece)
	read := func(n, off uint32, l int) {
		t.Helper()
		if err := c.Read(t.Context(), id(n), size, off, dst[:l], src); err != nil {
			t.Fatal(err)
		}
	}
	read(9, 0, 10)
	for n := range uint32(2) {
		for _, k := range c.Claim(id(n), size, 0, Piece) {
			k.Fill(t.Context(), nil, src)
		}
	}
	read(1, 0, Piece/2)
	read(1, Piece/2, Piece/2)
	c.Claim(id(2), size, 0, Piece)[0].Fill(t.Context(), nil, src)
	before := calls.Load()
	read(9, 0, 10)
	read(0, 0, 10)
	if n := calls.Load() - before; n != 0 {
		t.Errorf("%d of those not read were evicted", n)
	}
}

// TestRandom reads, claims and fails at random, at once, in little memory.
func TestRandom(t *testing.T) {
	const limit = 3 << 20
	c := New(limit)
	blocks := [][]byte{content(0), content(1), content(2)}
	var calls, fetched atomic.Int64
	var work sync.WaitGroup
	for w := range 6 {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			dst := make([]byte, 200<<10)
			for range 400 {
				n := rnd.IntN(len(blocks))
				src := source(blocks[n], &calls, &fetched)
				if rnd.IntN(10) == 0 {
					src = func(context.Context, uint32, []byte) error { return errors.New("no luck") }
				}
				off := uint32(rnd.IntN(size - len(dst)))
				if rnd.IntN(4) == 0 {
					for _, k := range c.Claim(id(uint32(n)), size, off, uint32(rnd.IntN(2*Piece))) {
						k.Fill(t.Context(), nil, src)
					}
				} else {
					p := dst[:1+rnd.IntN(len(dst)-1)]
					if err := c.Read(t.Context(), id(uint32(n)), size, off, p, src); err == nil && !bytes.Equal(p, blocks[n][off:int(off)+len(p)]) {
						t.Error("wrong bytes")
					}
				}
				if used := c.Stats().Bytes; used > limit || used < 0 {
					t.Errorf("%d bytes are held", used)
				}
			}
		})
	}
	work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.lru.Len() > 0 {
		c.remove(c.lru.Front().Value.(*span))
	}
	if c.used != 0 || len(c.blocks) != 0 {
		t.Errorf("%d bytes and %d blocks are left over", c.used, len(c.blocks))
	}
}

func BenchmarkHit(b *testing.B) {
	c, p := New(8<<20), content(1)
	var calls, fetched atomic.Int64
	src := source(p, &calls, &fetched)
	dst := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		c.Read(b.Context(), id(0), size, 0, dst, src)
	}
}
