package server

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	chunkmem "github.com/wardfs/wardfs/server/chunk/mem"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

// What one go has no time for is done by the next, whichever file it is of.
func TestCompactForgetsNoFile(t *testing.T) {
	const files, extents = 3, 16
	ctx := t.Context()
	tree, err := namespace.Open(ctx, namespace.Config{Engine: mem.New()})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{tree: tree, c: Config{
		Blocks: chunkmem.New(), Rand: rand.Reader, Now: func() time.Time { return time.Now().Add(time.Hour) }}}
	s.blocks = blocks{s.c.Blocks, tree}
	v := tree.As(posix.Cred{Super: true}).In(1)
	for i := range posix.Handle(files) {
		o, err := v.Create(ctx, posix.RootIno, string('a'+rune(i)), 0o600, 0, i+1, posix.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		var c posix.Commit
		for chunk := range uint64(2) {
			for j := range uint64(extents) {
				sl := posix.Slice{File: o.Attr.Ino, ID: posix.SliceID{1, byte(chunk), byte(j)}, Len: 1 << 10}
				c.Extents = append(c.Extents, posix.Extent{Off: chunk*posix.ChunkSize + j<<10, Len: 1 << 10, Slice: sl})
				if err := s.c.Blocks.Put(ctx, sl.BlockID(0), [][]byte{make([]byte, 1<<10)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := v.Commit(ctx, i+1, c); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for {
		did, err := s.compact(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if did == 0 {
			break
		}
		total += did
	}
	if want := files * 2 * extents; total != want {
		t.Errorf("%d extents were rewritten, want %d", total, want)
	}
}
