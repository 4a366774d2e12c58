package file

import (
	"bytes"
	"context"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// givingTree answers the blocks of a file with its open, as bend has them, and
// counts how often it was asked to.
type givingTree struct {
	*fakeTree
	asked int
	bend  func([]posix.Block) []posix.Block
}

func (t *givingTree) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	o, err := t.fakeTree.Open(ctx, ino, h, flags&^posix.OpenData)
	if flags&posix.OpenData == 0 || err != nil {
		return o, err
	}
	t.asked++
	t.blocks.mu.Lock()
	defer t.blocks.mu.Unlock()
	for _, e := range o.Extents {
		id := e.Slice.BlockID(0)
		o.Blocks = append(o.Blocks, posix.Block{ID: id, Data: bytes.Clone(t.blocks.blocks[id])})
	}
	o.Blocks = t.bend(o.Blocks)
	return o, nil
}

// TestOpenWithBytes: what comes with an open is read without another question,
// what does not fit the layout is asked for, and what is here is not asked for
// again.
func TestOpenWithBytes(t *testing.T) {
	data := bytes.Repeat([]byte("bytes"), 2000)
	for _, c := range []struct {
		name string
		bend func([]posix.Block) []posix.Block
		gets int
	}{
		{"all of it", func(b []posix.Block) []posix.Block { return b }, 0},
		{"nothing", func([]posix.Block) []posix.Block { return nil }, 1},
		{"too little", func(b []posix.Block) []posix.Block { b[0].Data = b[0].Data[:7]; return b }, 1},
		{"too much", func(b []posix.Block) []posix.Block { b[0].Data = append(b[0].Data, 0); return b }, 1},
		{"another block", func(b []posix.Block) []posix.Block { b[0].ID.Slice[0]++; return b }, 1},
		{"a block beyond the slice", func(b []posix.Block) []posix.Block { b[0].ID.Index = 9; return b }, 1},
		{"another file's", func(b []posix.Block) []posix.Block { b[0].ID.File++; return b }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Config{})
			h := r.create("f", readWrite)
			r.write(h, data, 0)
			wantErrno(t, 0, h.Sync(t.Context()))
			ino := h.Ino()
			r.close(h)
			other := r.other()
			defer other.Shutdown(t.Context())
			tree := &givingTree{fakeTree: r.tree, bend: c.bend}
			for range 2 {
				h, _, err := other.Open(t.Context(), tree, ino, posix.OpenRead)
				wantErrno(t, 0, err)
				got := make([]byte, len(data)+1)
				n, err := h.Read(t.Context(), got, 0)
				wantErrno(t, 0, err)
				if !bytes.Equal(got[:n], data) {
					t.Error("other bytes than were written")
				}
				wantErrno(t, 0, h.Close(t.Context()))
			}
			if r.blocks.gets != c.gets || tree.asked != 1 {
				t.Errorf("%d blocks were got and %d opens asked for bytes, want %d and 1", r.blocks.gets, tree.asked, c.gets)
			}
		})
	}
}
