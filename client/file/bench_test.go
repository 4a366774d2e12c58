package file

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// nullBlocks takes all and gives whatever was in the buffer, at no cost, so
// that a benchmark sees the data path alone.
type nullBlocks struct{}

func (nullBlocks) Put(context.Context, []byte, posix.BlockID, []byte) error         { return nil }
func (nullBlocks) Get(context.Context, []byte, posix.BlockID, uint32, []byte) error { return nil }
func (nullBlocks) Sync(context.Context, []byte) error                               { return nil }

func benchRig(b *testing.B) (*Files, *fakeTree) {
	f := New(Config{Blocks: nullBlocks{}, Age: time.Hour})
	tree := newFakeTree(newFakeBlocks())
	tree.trusting = true
	b.Cleanup(func() { f.Shutdown(context.Background()) })
	return f, tree
}

func (f *Files) mustCreate(b *testing.B, t *fakeTree) *Handle {
	h, _, err := f.Create(b.Context(), t, posix.RootIno, "f", 0o666, 0, posix.OpenRead|posix.OpenWrite)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

const benchFile = 1 << 30

func BenchmarkWriteSequential1M(b *testing.B) {
	f, t := benchRig(b)
	h := f.mustCreate(b, t)
	defer h.Close(b.Context())
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := h.Write(b.Context(), p, uint64(n)<<20%benchFile); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadSequential1M(b *testing.B) {
	f, t := benchRig(b)
	h := f.mustCreate(b, t)
	defer h.Close(b.Context())
	p := make([]byte, 1<<20)
	for off := uint64(0); off < benchFile; off += 1 << 20 {
		h.Write(b.Context(), p, off)
	}
	if err := h.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := h.Read(b.Context(), p, uint64(n)<<20%benchFile); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadRandom4K(b *testing.B) {
	f, t := benchRig(b)
	h := f.mustCreate(b, t)
	defer h.Close(b.Context())
	p := make([]byte, 1<<20)
	for off := uint64(0); off < benchFile; off += 1 << 20 {
		h.Write(b.Context(), p, off)
	}
	if err := h.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	p = p[:4096]
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Read(b.Context(), p, uint64(r.IntN(benchFile/4096))*4096); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteRandom4KFlush(b *testing.B) {
	f, t := benchRig(b)
	h := f.mustCreate(b, t)
	defer h.Close(b.Context())
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := h.Write(b.Context(), p, uint64(r.IntN(64<<20/4096))*4096); err != nil {
			b.Fatal(err)
		}
		if n%16 == 15 {
			if err := h.Sync(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCreateWriteClose4K(b *testing.B) {
	f, t := benchRig(b)
	p := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		t.mu.Lock()
		clear(t.names)
		t.mu.Unlock()
		h := f.mustCreate(b, t)
		if _, err := h.Write(b.Context(), p, 0); err != nil {
			b.Fatal(err)
		}
		if err := h.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		h.Close(b.Context())
	}
}
