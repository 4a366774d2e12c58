package wire

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// stored is how many bytes of blocks there are.
func (h *house) stored() (n uint64) {
	h.t.Helper()
	must(h.t, h.blocks.List(h.t.Context(), func(b chunk.Info) bool { n += uint64(b.Size); return true }))
	return n
}

// A file that was overwritten bit by bit takes little more room than it has
// bytes once it was left alone, and all that while its bytes are what they
// were: to who opened it before and to who opens it after.
func TestCompactionGivesBack(t *testing.T) {
	h := newHouse(t)
	var ahead atomic.Int64 // how far the server's clock is
	h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	h.stop()
	h.start()
	m := h.connect()
	rnd := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 9<<20) // three blocks
	f, a, err := m.Files().Create(t.Context(), m.As(root), posix.RootIno, "f", 0o600, 0, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	for range 3 { // each time all of it, in pieces that no one commit has
		for off := 0; off < len(want); off += 100_000 {
			piece := want[off:min(off+100_000, len(want))]
			for i := range piece {
				piece[i] = byte(rnd.Uint32())
			}
			_, err := f.Write(t.Context(), piece, uint64(off))
			must(t, err)
			must(t, f.Sync(t.Context()))
		}
	}
	must(t, f.Close(t.Context()))
	other := h.connect()
	reader, _, err := other.Files().Open(t.Context(), other.As(root), a.Ino, posix.OpenRead)
	must(t, err)
	same(t, "before", reader, want)

	ahead.Store(int64(time.Hour))
	_, err = h.srv.Compact(t.Context()) // or the server's own round has come before
	must(t, err)
	same(t, "after", reader, want)
	ahead.Store(int64(2 * time.Hour)) // what was freed is old enough to go
	for h.stored() > uint64(len(want))*5/4 {
		must(t, t.Context().Err())
		time.Sleep(50 * time.Millisecond) // until the server's collector came by
	}
	same(t, "when the old slices are gone", reader, want)
	late := h.connect()
	f, _, err = late.Files().Open(t.Context(), late.As(root), a.Ino, posix.OpenRead)
	must(t, err)
	got := make([]byte, len(want))
	if n, err := f.Read(t.Context(), got, 0); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Fatalf("a new mount reads %d bytes, %v", n, err)
	}
}
