package namespace

import (
	"context"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	tr, err := Open(ctx, Config{Engine: mem.New()})
	if err != nil {
		t.Fatal(err)
	}
	v := tr.As(posix.Cred{Super: true}).In(1)
	d, err := v.Mkdir(ctx, 1, "d", 0o755, 0)
	if err != nil {
		t.Fatal(err)
	}
	o, err := v.Create(ctx, d.Ino, "f", 0o644, 0, 1, posix.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Commit(ctx, 1, posix.Commit{Extents: []posix.Extent{{Len: 100, Slice: posix.Slice{File: o.Attr.Ino, ID: posix.SliceID{1}, Len: 100}}}})
	if err != nil || a.Size != 100 || a.Alloc != 100 {
		t.Fatal(a, err)
	}
	if err := v.Rename(ctx, d.Ino, "f", 1, "g", 0); err != nil {
		t.Fatal(err)
	}
	if err := v.Unlink(ctx, 1, "g"); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.Reclaim(ctx, 100); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	v.Close(ctx, 1)
	if n, err := tr.Reclaim(ctx, 100); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if l, err := tr.Freed(ctx, 10); len(l) != 1 || err != nil {
		t.Fatal(l, err)
	}
	es, err := v.Readdir(ctx, 1, 0, 10, true)
	t.Log(es, err)
}
