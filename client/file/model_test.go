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

// TestModel runs random operations on two files through several handles and
// compares each read, each size and each seek with the oracle's.
func TestModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{Memory: minMemory, Inline: func() int { return int(seed/2%2) * posix.InlineMax }})
			if seed%2 == 1 {
				r.Files.codec, r.tree.zoned = tagged{}, true
			}
			fresh := r.other()
			defer fresh.Shutdown(context.Background())
			m := &model{Files: r.Files, rnd: rand.New(rand.NewPCG(seed, 1)), raw: r.tree}
			m.run(t, 500, fresh, r.tree)
			if copies := r.tree.count("copyrange"); copies == 0 {
				t.Error("nothing was copied")
			}
			if inline := r.inlineMax() > 0; inline != (r.blocks.brought > 0) || r.blocks.puts == 0 {
				t.Errorf("%d blocks were put and %d came with commits", r.blocks.puts, r.blocks.brought)
			}
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
	*Files
	rnd       *rand.Rand
	raw, over posix.Namespace
	between   func(context.Context) error // called after each step, if not nil
	files     [2]*subject
	got, want [300 << 10]byte
}

// subject is a file, what is to be in it, and its handles.
type subject struct {
	*oracle
	ino posix.Ino
	hs  []*Handle
}

// run does so many random things, closes all and compares what was committed
// as a fresh client sees it.
func (m *model) run(t *testing.T, steps int, fresh *Files, freshNS posix.Namespace) {
	m.over = m.Over(m.raw)
	for k := range m.files {
		h, a, err := m.Create(t.Context(), m.raw, posix.RootIno, fmt.Sprint(k), 0o666, 0o022, readWrite)
		if err != nil {
			t.Fatal(err)
		}
		m.files[k] = &subject{&oracle{pages: map[uint64][]byte{}}, a.Ino, []*Handle{h}}
	}
	for step := range steps {
		if err := m.step(t.Context()); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if m.between != nil {
			if err := m.between(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range m.files {
		for _, h := range s.hs {
			if err := h.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check(t, fresh, freshNS, s.ino, s.oracle)
	}
}

// step does one random thing and answers what was wrong with its outcome.
func (m *model) step(ctx context.Context) error {
	s := m.files[m.rnd.IntN(2)]
	h := s.hs[m.rnd.IntN(len(s.hs))]
	switch k := m.rnd.IntN(100); {
	case k < 30:
		return m.write(ctx, s, h)
	case k < 35:
		return m.append(ctx, s, h)
	case k < 60:
		return m.read(ctx, s, h)
	case k < 65:
		return m.seek(ctx, s, h)
	case k < 70:
		return m.allocate(ctx, s, h)
	case k < 76:
		return m.copy(ctx, s, h)
	case k < 80:
		size := near(m.rnd, 100<<10)
		s.truncate(size)
		a, err := m.over.Setattr(ctx, s.ino, posix.SetAttr{Set: posix.SetSize, Size: size})
		return s.sized("truncate", a, err)
	case k < 85:
		return h.Sync(ctx)
	case k < 90:
		a, err := m.over.Getattr(ctx, s.ino)
		return s.sized("getattr", a, err)
	case k < 95 && len(s.hs) < 4:
		flags := readWrite
		if m.rnd.IntN(8) == 0 {
			flags |= posix.OpenTrunc
			s.truncate(0)
		}
		h, a, err := m.Open(ctx, m.raw, s.ino, flags)
		s.hs = append(s.hs, h)
		return s.sized("open", a, err)
	case k < 98 && len(s.hs) > 1:
		h, s.hs = s.hs[0], s.hs[1:]
		return h.Close(ctx)
	case k < 99:
		m.Invalidate(s.ino)
	default:
		h.i.kick(false, false)
	}
	return nil
}

func (m *model) write(ctx context.Context, s *subject, h *Handle) error {
	off, n := near(m.rnd, 200<<10), 1+m.rnd.IntN(200<<10)
	if m.rnd.IntN(2) == 0 {
		n = 1 + n>>8
	}
	p := m.want[:n]
	randomize(m.rnd, p)
	s.write(p, off)
	if got, err := h.Write(ctx, p, off); got != n || err != nil {
		return fmt.Errorf("write %d at %d: %d, %w", n, off, got, err)
	}
	return nil
}

func (m *model) append(ctx context.Context, s *subject, h *Handle) error {
	if s.size > bounds[len(bounds)-1]+1<<20 {
		return nil // the borders are what matters
	}
	p := m.want[:1+m.rnd.IntN(200<<10)]
	randomize(m.rnd, p)
	want := s.size
	s.write(p, want)
	if n, off, err := h.Append(ctx, p); n != len(p) || off != want || err != nil {
		return fmt.Errorf("append %d: %d at %d, want %d: %w", len(p), n, off, want, err)
	}
	return nil
}

func (m *model) read(ctx context.Context, s *subject, h *Handle) error {
	off, n := near(m.rnd, 250<<10), 1+m.rnd.IntN(len(m.got))
	want := m.want[:s.read(m.want[:n], off)]
	got, err := h.Read(ctx, m.got[:n], off)
	if err != nil || !bytes.Equal(m.got[:got], want) {
		return fmt.Errorf("read %d at %d: %d (want %d), %w, first difference at %d",
			n, off, got, len(want), err, differs(m.got[:got], want))
	}
	return nil
}

func (m *model) seek(ctx context.Context, s *subject, h *Handle) error {
	off, data := near(m.rnd, 250<<10), m.rnd.IntN(2) == 0
	want, ok := s.seek(off, data)
	got, err := h.Seek(ctx, off, data)
	if none := posix.ErrnoOf(err) == posix.ENXIO; none == ok || err != nil && !none || ok && got != want {
		return fmt.Errorf("seek from %d, data %t: %d, %w; want %d, %t", off, data, got, err, want, ok)
	}
	return nil
}

func (m *model) allocate(ctx context.Context, s *subject, h *Handle) error {
	modes := []posix.AllocMode{0, posix.AllocKeepSize, posix.AllocPunchHole | posix.AllocKeepSize,
		posix.AllocZeroRange, posix.AllocZeroRange | posix.AllocKeepSize}
	mode := modes[m.rnd.IntN(len(modes))]
	off, n := near(m.rnd, 200<<10), 1+uint64(m.rnd.IntN(500<<10))
	if mode&(posix.AllocPunchHole|posix.AllocZeroRange) != 0 {
		s.punch(off, off+n)
	}
	if mode&posix.AllocKeepSize == 0 {
		s.size = max(s.size, off+n)
	}
	if m.rnd.IntN(2) == 0 {
		a, err := m.over.Allocate(ctx, h.ID(), mode, off, n)
		return s.sized("allocate", a, err)
	}
	return h.Allocate(ctx, mode, off, n)
}

func (m *model) copy(ctx context.Context, s *subject, h *Handle) error {
	d := m.files[m.rnd.IntN(2)]
	to := d.hs[m.rnd.IntN(len(d.hs))]
	off, toOff, n := near(m.rnd, 200<<10), near(m.rnd, 200<<10), 1+uint64(m.rnd.IntN(400<<10))
	got, err := m.CopyRange(ctx, h, off, to, toOff, n)
	switch posix.ErrnoOf(err) {
	case posix.EXDEV: // in a zone
		return nil
	case posix.EINVAL:
		if can := min(n, s.size-min(off, s.size)); s == d && off < toOff+can && toOff < off+can {
			return nil
		}
	}
	if want := d.copy(toOff, s.oracle, off, min(n, max(got, 1))); err != nil || got != want || got == 0 && off < s.size {
		return fmt.Errorf("copy %d from %d to %d: %d, %w", n, off, toOff, got, err)
	}
	return nil
}

func (s *subject) sized(what string, a posix.Attr, err error) error {
	if err != nil || a.Size != s.size {
		return fmt.Errorf("%s: size %d (want %d), %w", what, a.Size, s.size, err)
	}
	return nil
}

// check compares the committed file with the oracle, through a fresh client.
func check(t *testing.T, fresh *Files, ns posix.Namespace, ino posix.Ino, o *oracle) {
	t.Helper()
	h, a, err := fresh.Open(t.Context(), ns, ino, posix.OpenRead)
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
