package wire

import (
	"bytes"
	"testing"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

// made is a file of that name with data, on the server.
func made(t *testing.T, m *client.Mount, name string, data []byte) posix.Ino {
	t.Helper()
	f, a, err := m.Files().Create(t.Context(), m.As(root), posix.RootIno, name, 0o600, 0, posix.OpenWrite|posix.OpenTrunc)
	must(t, err)
	_, err = f.Write(t.Context(), data, 0)
	must(t, err)
	must(t, f.Sync(t.Context()))
	must(t, f.Close(t.Context()))
	return a.Ino
}

// share copies all of one file over another's beginning.
func share(t *testing.T, m *client.Mount, from, to posix.Ino) uint64 {
	t.Helper()
	const h = posix.Handle(1) << 40 // away from the data path's
	ns := m.As(root)
	_, err := ns.Open(t.Context(), from, h, posix.OpenRead)
	must(t, err)
	_, err = ns.Open(t.Context(), to, h+1, posix.OpenWrite)
	must(t, err)
	n, _, err := ns.CopyRange(t.Context(), h, 0, h+1, 0, 1<<40)
	must(t, err)
	must(t, ns.Close(t.Context(), h))
	must(t, ns.Close(t.Context(), h+1))
	return n
}

func same(t *testing.T, what string, f *file.Handle, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := f.Read(t.Context(), got, 0)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("%s: %d bytes read, %v; want %d", what, n, err, len(want))
	}
}

// What was copied by sharing is read on any mount, by who opened before it as
// by who opens after it, and when its source is gone.
func TestSharedBytes(t *testing.T) {
	h := newHouse(t)
	a, b := h.connect(), h.connect()
	data := bytes.Repeat([]byte("shared by two files "), 300_000) // two blocks
	from, to := made(t, a, "from", data), made(t, a, "to", []byte("old"))

	reader, _, err := b.Files().Open(t.Context(), b.As(root), to, posix.OpenRead)
	must(t, err)
	same(t, "before", reader, []byte("old"))
	if n := share(t, a, from, to); n != uint64(len(data)) {
		t.Fatalf("%d bytes copied, want %d", n, len(data))
	}
	must(t, b.As(root).Unlink(t.Context(), posix.RootIno, "from"))
	for _, m := range []*client.Mount{a, b} {
		f, _, err := m.Files().Open(t.Context(), m.As(root), to, posix.OpenRead)
		must(t, err)
		same(t, "opened after", f, data)
		must(t, f.Close(t.Context()))
	}
	same(t, "opened before", reader, data) // by a capability that did not know the source
	h.stop()
	h.start()
	same(t, "after a restart", reader, data)
}

// A capability for a copy reads the blocks of its origin and puts none there;
// one for the origin knows nothing of the copy's.
func TestOriginsAreForReading(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	data := []byte("a few bytes")
	from, to := made(t, m, "from", data), made(t, m, "to", nil)
	share(t, m, from, to)
	ns := m.As(root)
	copied, err := ns.Open(t.Context(), to, 1<<40, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	origin, err := ns.Open(t.Context(), from, 1<<40+1, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	if len(copied.Extents) != 1 || copied.Extents[0].Slice.File != from {
		t.Fatalf("not shared: %+v", copied.Extents)
	}
	id := copied.Extents[0].Slice.BlockID(0)
	own := posix.BlockID{File: to, Slice: posix.SliceID{1}}
	blocks := store(h)
	got := make([]byte, len(data))
	if err := blocks.Get(t.Context(), copied.Capability, id, 0, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the origin's block by the copy's capability: %q %v", got, err)
	}
	must(t, blocks.Put(t.Context(), copied.Capability, own, data))
	theirs := id
	theirs.Index = 1
	for _, c := range []struct {
		name string
		err  error
	}{
		{"a put into the origin", blocks.Put(t.Context(), copied.Capability, theirs, data)},
		{"a get of the copy's own by the origin's", blocks.Get(t.Context(), origin.Capability, own, 0, got)},
	} {
		if posix.ErrnoOf(c.err) != posix.EACCES {
			t.Errorf("%s: %v, want EACCES", c.name, c.err)
		}
	}
}
