package file

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// rig is a data path over doubles.
type rig struct {
	*Files
	t      testing.TB
	blocks *fakeBlocks
	tree   *fakeTree
}

func newRig(t testing.TB, c Config) *rig {
	t.Helper()
	b := newFakeBlocks()
	if c.Age == 0 {
		c.Age = time.Hour
	}
	c.Blocks = b
	r := &rig{Files: New(c), t: t, blocks: b, tree: newFakeTree(b)}
	t.Cleanup(func() {
		r.blocks.setFault(nil)
		r.tree.setFault(nil)
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := r.memory.taken(); n != 0 {
			t.Errorf("%d bytes of memory are not given back", n)
		}
		for _, bad := range r.tree.bad {
			t.Error("bad commit:", bad)
		}
	})
	return r
}

func (r *rig) create(name string, flags posix.OpenFlags) *Handle {
	r.t.Helper()
	h, _, err := r.Create(r.t.Context(), r.tree, posix.RootIno, name, 0o666, 0o022, flags)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) open(ino posix.Ino, flags posix.OpenFlags) *Handle {
	r.t.Helper()
	h, _, err := r.Open(r.t.Context(), r.tree, ino, flags)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) close(h *Handle) {
	r.t.Helper()
	if err := h.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// bounds are the offsets around which the random operations happen.
var bounds = []uint64{0, 4096, posix.BlockSize, 2 * posix.BlockSize, posix.ChunkSize, posix.ChunkSize + posix.BlockSize}

// near is an offset around one of the borders.
func near(r *rand.Rand, spread int64) uint64 {
	at := int64(bounds[r.IntN(len(bounds))]) + r.Int64N(2*spread) - spread
	return uint64(max(at, 0))
}

// oracle is a file as it should be: sparse, in pages.
type oracle struct {
	pages map[uint64][]byte
	size  uint64
}

const oraclePage = 1 << 16

func (o *oracle) write(p []byte, off uint64) {
	o.size = max(o.size, off+uint64(len(p)))
	for len(p) > 0 {
		page := o.pages[off/oraclePage]
		if page == nil {
			page = make([]byte, oraclePage)
			o.pages[off/oraclePage] = page
		}
		n := copy(page[off%oraclePage:], p)
		p, off = p[n:], off+uint64(n)
	}
}

func (o *oracle) read(p []byte, off uint64) int {
	if off >= o.size {
		return 0
	}
	p = p[:min(uint64(len(p)), o.size-off)]
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), int(oraclePage-off%oraclePage))
		if page := o.pages[off/oraclePage]; page != nil {
			copy(p[:n], page[off%oraclePage:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+uint64(n)
	}
	return total
}

func (o *oracle) truncate(size uint64) {
	for index, page := range o.pages {
		switch start := index * oraclePage; {
		case start >= size:
			delete(o.pages, index)
		case start+oraclePage > size:
			clear(page[size-start:])
		}
	}
	o.size = size
}

// TestModel runs random operations on a file through several handles and
// compares each read and each size with the oracle's.
func TestModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{Memory: minMemory})
			if seed%2 == 1 {
				r.Files.codec = tagged{}
			}
			runModel(t, r, rand.New(rand.NewPCG(seed, 1)), 400)
		})
	}
}

func runModel(t *testing.T, r *rig, rnd *rand.Rand, steps int) {
	const rw = posix.OpenRead | posix.OpenWrite
	ctx := t.Context()
	o := &oracle{pages: map[uint64][]byte{}}
	hs := []*Handle{r.create("f", rw)}
	ino := hs[0].Ino()
	ns := r.Over(r.tree)
	var got, want [300 << 10]byte
	for step := range steps {
		h := hs[rnd.IntN(len(hs))]
		what := ""
		switch k := rnd.IntN(100); {
		case k < 40:
			off, n := near(rnd, 200<<10), 1+rnd.IntN(200<<10)
			if rnd.IntN(2) == 0 {
				n = 1 + n>>8
			}
			for i := range want[:n] {
				want[i] = byte(rnd.Uint32())
			}
			what = fmt.Sprintf("write %d at %d", n, off)
			if m, err := h.Write(ctx, want[:n], off); m != n || err != nil {
				t.Fatalf("step %d: %s: %d, %v", step, what, m, err)
			}
			o.write(want[:n], off)
		case k < 75:
			off, n := near(rnd, 250<<10), 1+rnd.IntN(len(got))
			what = fmt.Sprintf("read %d at %d", n, off)
			m, err := h.Read(ctx, got[:n], off)
			wm := o.read(want[:n], off)
			if err != nil || m != wm || !bytes.Equal(got[:m], want[:m]) {
				t.Fatalf("step %d: %s: %d (want %d), %v, first difference at %d", step, what, m, wm, err, differs(got[:m], want[:m]))
			}
		case k < 80:
			size := near(rnd, 100<<10)
			a, err := ns.Setattr(ctx, ino, posix.SetAttr{Set: posix.SetSize, Size: size})
			if err != nil || a.Size != size {
				t.Fatalf("step %d: truncate %d: %d, %v", step, size, a.Size, err)
			}
			o.truncate(size)
		case k < 85:
			if err := h.Sync(ctx); err != nil {
				t.Fatal(err)
			}
		case k < 90:
			a, err := ns.Getattr(ctx, ino)
			if err != nil || a.Size != o.size {
				t.Fatalf("step %d: size %d, want %d, %v", step, a.Size, o.size, err)
			}
		case k < 95 && len(hs) < 4:
			flags := rw
			if rnd.IntN(8) == 0 {
				flags |= posix.OpenTrunc
				o.truncate(0)
			}
			hs = append(hs, r.open(ino, flags))
		case k < 98 && len(hs) > 1:
			r.close(hs[0])
			hs = hs[1:]
		case k < 99:
			r.Invalidate(ino)
		default:
			hs[0].i.kick(false, false)
		}
	}
	for _, h := range hs {
		r.close(h)
	}
	check(t, r, ino, o)
}

// check compares the committed file with the oracle, through a fresh client.
func check(t *testing.T, r *rig, ino posix.Ino, o *oracle) {
	t.Helper()
	fresh := New(Config{Blocks: r.blocks})
	fresh.codec = r.Files.codec
	defer fresh.Shutdown(context.Background())
	h, a, err := fresh.Open(t.Context(), r.tree, ino, posix.OpenRead)
	if err != nil || a.Size != o.size {
		t.Fatalf("size %d, want %d, %v", a.Size, o.size, err)
	}
	defer h.Close(context.Background())
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := uint64(0); off < o.size; off += 1 << 20 {
		n, err := h.Read(t.Context(), got, off)
		if m := o.read(want, off); err != nil || n != m || !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("at %d: %d bytes (want %d), %v, first difference at %d", off, n, m, err, differs(got[:n], want[:n]))
		}
	}
}

func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
