package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

const readWrite = posix.OpenRead | posix.OpenWrite

// rig is a data path over doubles.
type rig struct {
	*Files
	t      testing.TB
	blocks *fakeBlocks
	tree   *fakeTree
	others atomic.Uint64
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

// other is another client of the same server.
func (r *rig) other() *Files {
	f := New(Config{Blocks: r.blocks})
	f.codec = r.Files.codec
	f.handles = posix.Handle(r.others.Add(1)) << 32 // a session's handles are its own
	return f
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
	for seed := range uint64(12) {
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

// randomize fills p.
func randomize(r *rand.Rand, p []byte) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], r.Uint64())
	rand.NewChaCha8(seed).Read(p)
}

// model is a run: the client under test and what it must answer.
type model struct {
	*rig
	rnd       *rand.Rand
	o         *oracle
	ns        posix.Namespace
	ino       posix.Ino
	hs        []*Handle
	got, want [300 << 10]byte
}

func runModel(t *testing.T, r *rig, rnd *rand.Rand, steps int) {
	m := &model{rig: r, rnd: rnd, o: &oracle{pages: map[uint64][]byte{}}, ns: r.Over(r.tree)}
	m.hs = []*Handle{r.create("f", readWrite)}
	m.ino = m.hs[0].Ino()
	for step := range steps {
		if err := m.step(t.Context()); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	for _, h := range m.hs {
		r.close(h)
	}
	check(t, r, m.ino, m.o)
}

// step does one random thing and answers what was wrong with its outcome.
func (m *model) step(ctx context.Context) error {
	h := m.hs[m.rnd.IntN(len(m.hs))]
	switch k := m.rnd.IntN(100); {
	case k < 40:
		return m.write(ctx, h)
	case k < 75:
		return m.read(ctx, h)
	case k < 80:
		size := near(m.rnd, 100<<10)
		m.o.truncate(size)
		a, err := m.ns.Setattr(ctx, m.ino, posix.SetAttr{Set: posix.SetSize, Size: size})
		return m.sized("truncate", a, err)
	case k < 85:
		return h.Sync(ctx)
	case k < 90:
		a, err := m.ns.Getattr(ctx, m.ino)
		return m.sized("getattr", a, err)
	case k < 95 && len(m.hs) < 4:
		flags := readWrite
		if m.rnd.IntN(8) == 0 {
			flags |= posix.OpenTrunc
			m.o.truncate(0)
		}
		h, a, err := m.Open(ctx, m.tree, m.ino, flags)
		m.hs = append(m.hs, h)
		return m.sized("open", a, err)
	case k < 98 && len(m.hs) > 1:
		h, m.hs = m.hs[0], m.hs[1:]
		return h.Close(ctx)
	case k < 99:
		m.Invalidate(m.ino)
	default:
		h.i.kick(false, false)
	}
	return nil
}

func (m *model) write(ctx context.Context, h *Handle) error {
	off, n := near(m.rnd, 200<<10), 1+m.rnd.IntN(200<<10)
	if m.rnd.IntN(2) == 0 {
		n = 1 + n>>8
	}
	p := m.want[:n]
	randomize(m.rnd, p)
	m.o.write(p, off)
	if got, err := h.Write(ctx, p, off); got != n || err != nil {
		return fmt.Errorf("write %d at %d: %d, %w", n, off, got, err)
	}
	return nil
}

func (m *model) read(ctx context.Context, h *Handle) error {
	off, n := near(m.rnd, 250<<10), 1+m.rnd.IntN(len(m.got))
	want := m.want[:m.o.read(m.want[:n], off)]
	got, err := h.Read(ctx, m.got[:n], off)
	if err != nil || !bytes.Equal(m.got[:got], want) {
		return fmt.Errorf("read %d at %d: %d (want %d), %w, first difference at %d",
			n, off, got, len(want), err, differs(m.got[:got], want))
	}
	return nil
}

func (m *model) sized(what string, a posix.Attr, err error) error {
	if err != nil || a.Size != m.o.size {
		return fmt.Errorf("%s: size %d (want %d), %w", what, a.Size, m.o.size, err)
	}
	return nil
}

// check compares the committed file with the oracle, through a fresh client.
func check(t *testing.T, r *rig, ino posix.Ino, o *oracle) {
	t.Helper()
	fresh := r.other()
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
