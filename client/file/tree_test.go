package file

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	chunkmem "github.com/wardfs/wardfs/server/chunk/mem"
	enginemem "github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

// client is a mount without the kernel and without the wire.
type client struct {
	*Files
	raw, over posix.Namespace
}

func newTree(t testing.TB) *namespace.Tree {
	t.Helper()
	tree, err := namespace.Open(t.Context(), namespace.Config{Engine: enginemem.New()})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func newClient(t testing.TB, tree *namespace.Tree, s realBlocks, session namespace.SessionID) client {
	f := New(Config{Blocks: layered{s, tree}, Memory: 32 << 20, Age: 20 * time.Millisecond, Inline: func() int { return posix.InlineMax }})
	t.Cleanup(func() {
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	raw := tree.As(posix.Cred{Super: true}).In(session)
	return client{f, raw, f.Over(raw)}
}

// TestTwoMounts over the real namespace: what one closes the other opens, in
// turns, with writes, truncations and freed blocks between.
func TestTwoMounts(t *testing.T) {
	tree, s, ctx := newTree(t), realBlocks{chunkmem.New()}, t.Context()
	mounts := []client{newClient(t, tree, s, 1), newClient(t, tree, s, 2)}
	h, a, err := mounts[0].Create(ctx, mounts[0].raw, posix.RootIno, "f", 0o666, 0, readWrite)
	if err == nil {
		err = h.Close(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []byte
	for turn := range 60 {
		m := mounts[rnd.IntN(2)]
		want = visit(t, m, a.Ino, rnd, want, turn)
		if err := collectFreed(ctx, tree, s); err != nil {
			t.Fatal(err)
		}
	}
	if bad, err := tree.Fsck(ctx); err != nil || len(bad) > 0 {
		t.Error(bad, err)
	}
}

// visit opens the file, compares it, changes it and closes it. It answers what
// the file holds then.
func visit(t *testing.T, m client, ino posix.Ino, rnd *rand.Rand, want []byte, turn int) []byte {
	t.Helper()
	ctx := t.Context()
	h, a, err := m.Open(ctx, m.raw, ino, readWrite)
	if err != nil || a.Size != uint64(len(want)) {
		t.Fatalf("turn %d: size %d, want %d, %v", turn, a.Size, len(want), err)
	}
	got := make([]byte, len(want)+10)
	if n, err := h.Read(ctx, got, 0); err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("turn %d: %d bytes, %v", turn, n, err)
	}
	for range 1 + rnd.IntN(6) {
		off, p := rnd.IntN(9<<20), make([]byte, rnd.IntN(300<<10))
		if rnd.IntN(4) == 0 {
			size := rnd.IntN(10 << 20)
			a, err := m.over.Setattr(ctx, ino, posix.SetAttr{Set: posix.SetSize, Size: uint64(size), Handle: h.ID()})
			if err != nil || a.Size != uint64(size) {
				t.Fatalf("turn %d: truncate: %v", turn, err)
			}
			want = append(want, make([]byte, max(0, size-len(want)))...)[:size]
			continue
		}
		for i := range p {
			p[i] = byte(turn + i)
		}
		if _, err := h.Write(ctx, p, uint64(off)); err != nil {
			t.Fatalf("turn %d: write: %v", turn, err)
		}
		if end := off + len(p); len(p) > 0 && end > len(want) {
			want = append(want, make([]byte, end-len(want))...)
		}
		if len(p) > 0 {
			copy(want[off:], p)
		}
	}
	a, err = m.over.Getattr(ctx, ino)
	if err != nil || a.Size != uint64(len(want)) {
		t.Fatalf("turn %d: size %d, want %d, %v", turn, a.Size, len(want), err)
	}
	if err := errors.Join(h.Flush(ctx), h.Close(ctx)); err != nil {
		t.Fatalf("turn %d: close: %v", turn, err)
	}
	return want
}

// TestUnlinked: a file without a name is written and read until its close.
func TestUnlinked(t *testing.T) {
	m := newClient(t, newTree(t), realBlocks{chunkmem.New()}, 1)
	ctx := t.Context()
	h, _, err := m.Create(ctx, m.raw, posix.RootIno, "f", 0o666, 0, readWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.over.Unlink(ctx, posix.RootIno, "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Write(ctx, []byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := h.Read(ctx, p, 0); err != nil || string(p[:n]) != "hello" {
		t.Error(p[:n], err)
	}
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestOwnCommitsKeepTheLayout: reading back what was committed asks for no
// layout, for a commit raises the change attribute by one.
func TestOwnCommitsKeepTheLayout(t *testing.T) {
	m := newClient(t, newTree(t), realBlocks{chunkmem.New()}, 1)
	ctx := t.Context()
	counted := &countLayouts{Namespace: m.raw}
	h, _, err := m.Create(ctx, counted, posix.RootIno, "f", 0o666, 0, readWrite)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1<<20)
	for off := uint64(0); off < 16<<20; off += 1 << 20 {
		if _, err := h.Write(ctx, p, off); err != nil {
			t.Fatal(err)
		}
		if err := h.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Read(ctx, p, off); err != nil {
			t.Fatal(err)
		}
	}
	if counted.n != 0 {
		t.Error("the layout was asked for", counted.n, "times")
	}
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

type countLayouts struct {
	posix.Namespace
	n int
}

func (c *countLayouts) Layout(ctx context.Context, h posix.Handle, off, length uint64) ([]posix.Extent, uint64, error) {
	c.n++
	return c.Namespace.Layout(ctx, h, off, length)
}
