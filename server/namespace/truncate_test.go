package namespace

import (
	"context"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// deletes tells how many extents each transaction deletes.
type deletes struct {
	engine.Engine
	most *int
}

type deletesTx struct {
	engine.Tx
	n int
}

func (x *deletesTx) Delete(key []byte) {
	if key[0] == keyExtent {
		x.n++
	}
	x.Tx.Delete(key)
}

func (e deletes) Update(ctx context.Context, f func(engine.Tx) error) error {
	return e.Engine.Update(ctx, func(tx engine.Tx) error {
		x := &deletesTx{Tx: tx}
		err := f(x)
		*e.most = max(*e.most, x.n)
		return err
	})
}

// No transaction of a long truncation, or of reclaiming, cuts more than a
// step; the file's size goes down only.
func TestStepsAreBounded(t *testing.T) {
	most := 0
	tr := open(t, deletes{mem.New(), &most}, Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	fill := func() {
		for id := range byte(100) {
			s := posix.Slice{File: f, ID: posix.SliceID{1 + id, byte(tr.files.Load()), byte(most)}, Len: 10}
			_, err := v.Commit(t.Context(), 1, posix.Commit{Extents: []posix.Extent{{Off: uint64(id) * 10, Len: 10, Slice: s}}})
			ok(t, err)
		}
	}
	fill()
	tr.step, most = 7, 0
	for _, to := range []uint64{955, 500, 13, 0} {
		a, err := v.Setattr(t.Context(), f, posix.SetAttr{Set: posix.SetSize, Size: to})
		ok(t, err)
		if a.Size != to || a.Alloc != to {
			t.Errorf("%+v, want %d bytes", a, to)
		}
	}
	if most == 0 || most > tr.step+1 { // the one that is cut in two is deleted too
		t.Errorf("a transaction deleted %d extents, a step is %d", most, tr.step)
	}
	fill()
	ok(t, v.Close(t.Context(), 1))
	ok(t, v.Unlink(t.Context(), 1, "f"))
	most = 0
	for n := 1; n > 0; {
		var err error
		if n, err = tr.Reclaim(t.Context(), 9); n > 9+1 || err != nil {
			t.Fatalf("did %d, %v", n, err)
		}
		well(t, tr)
	}
	if most == 0 || most > 9 {
		t.Errorf("a transaction deleted %d extents, asked for 9", most)
	}
	settled(t, tr)
}

// A truncation that is sent again, when the file has long been written anew,
// cuts nothing.
func TestOldTruncationAgain(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	tr.step = 3
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	cut := func() {
		t.Helper()
		_, err := v.Once(1, 1).Setattr(t.Context(), f, posix.SetAttr{Set: posix.SetSize, Size: 5})
		ok(t, err)
	}
	cut()
	for id := range byte(20) {
		write(t, v, 1, f, 1+id, uint64(id)*10, 10)
	}
	before := dump(t, tr)
	cut()
	if after := dump(t, tr); after != before {
		t.Errorf("changed\n%s\nto\n%s", before, after)
	}
	settled(t, tr)
}
