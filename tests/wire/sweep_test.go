package wire

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/chunk"
)

// A block that was put beside those of a slice that a file names is nobody's,
// and goes as all that no commit names: else it would be room without a quota.
func TestBlockBesideASliceIsSwept(t *testing.T) {
	h := newHouse(t)
	p := newPeer(h, trustedHello())
	r := p.create(1, "f", 0o600, 0, 1)
	ino := p.must(r)
	st := dialLane(h)
	slice := bytes.Repeat([]byte{7}, 16)
	for index := range uint32(2) {
		hd := &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: r.GetOpened().GetCapability(), File: ino, Slice: slice, Index: index}
		if e := frame(t, st, hd, []byte("data")); e != 0 {
			t.Fatal(e)
		}
	}
	p.must(p.do(&proto.Call{Op: &proto.Call_Commit{Commit: &proto.Commit{
		Handle: 1, Extents: []*proto.Extent{{Len: 4, Slice: slice, SliceLen: 4, File: ino}}}}}))
	h.stop()
	h.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	h.start()
	if n, err := h.srv.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("%d blocks were swept, %v; want 1", n, err)
	}
	id := posix.BlockID{File: posix.Ino(ino), Slice: posix.SliceID(slice)}
	if _, err := h.blocks.Stat(t.Context(), id); err != nil {
		t.Errorf("the slice's own block: %v", err)
	}
	id.Index = 1
	if _, err := h.blocks.Stat(t.Context(), id); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("the block beside: %v", err)
	}
}
