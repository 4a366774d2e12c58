package chunktest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// edges are sizes around every border that a format may have.
var edges = []int{1, 2, 511, 512, 513, 4095, 4096, 4097, 16<<10 - 1, 16 << 10, 16<<10 + 1,
	32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 100_000, 1<<20 + 7, posix.BlockSize, posix.BlockMax - 1, posix.BlockMax}

func testPutGet(t *testing.T, b Body) {
	s := b.open(t)
	for i, n := range edges {
		put(t, s, ID(i), Bytes(i, n))
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatalf("sync: %v", err)
	}
	for i, n := range edges {
		want(t, s, ID(i), 0, Bytes(i, n))
	}
}

// testPieces puts a block in pieces of all kinds and changes them afterwards:
// a store keeps nothing of what it was given.
func testPieces(t *testing.T, b Body) {
	s := b.open(t)
	whole := Bytes(1, 70_000)
	for i, cuts := range [][]int{{}, {0}, {1}, {16 << 10}, {16<<10 - 1, 16 << 10, 16<<10 + 1}, {5, 5, 5, 69_999, 70_000}} {
		mine := bytes.Clone(whole)
		var pieces [][]byte
		from := 0
		for _, c := range append(cuts, len(mine)) {
			pieces = append(pieces, mine[from:c])
			from = c
		}
		put(t, s, ID(i), pieces...)
		clear(mine)
		want(t, s, ID(i), 0, whole)
	}
	many := make([][]byte, 3000) // more than one system call takes
	for i := range many {
		many[i] = whole[i : i+1]
	}
	put(t, s, ID(100), many...)
	want(t, s, ID(100), 0, whole[:3000])
}

// testRanges reads from and to every offset around a unit's edge.
func testRanges(t *testing.T, b Body) {
	s := b.open(t)
	const unit = 16 << 10
	for i, n := range []int{1, 100, unit, unit + 1, 3*unit + 77, 4 * unit} {
		data := Bytes(i, n)
		put(t, s, ID(i), data)
		var at []int
		for edge := 0; edge <= n+unit; edge += unit {
			for d := -2; d <= 2; d++ {
				if p := min(edge, n) + d; p >= 0 && p <= n {
					at = append(at, p)
				}
			}
		}
		for _, from := range at {
			for _, to := range at {
				if from <= to {
					want(t, s, ID(i), from, data[from:to])
				}
			}
		}
		for _, c := range []struct{ off, n int }{{0, n + 1}, {n, 1}, {n + 1, 0}, {n - 1, 2}, {1 << 31, 1}, {1<<32 - 1, 2}} {
			wantErr(t, s.Get(ctx, ID(i), uint32(c.off), make([]byte, c.n)), posix.EINVAL)
		}
	}
}

func testImmutable(t *testing.T, b Body) {
	s := b.open(t)
	first := Bytes(1, 50_000)
	put(t, s, ID(1), first)
	put(t, s, ID(1), first[:7], first[7:]) // the same bytes once more
	for _, other := range [][]byte{Bytes(2, 50_000), first[:49_999], append(bytes.Clone(first), 0)} {
		wantErr(t, s.Put(ctx, ID(1), [][]byte{other}), chunk.ErrExists)
	}
	flipped := bytes.Clone(first)
	flipped[49_999] ^= 0x80
	wantErr(t, s.Put(ctx, ID(1), [][]byte{flipped}), chunk.ErrExists)
	want(t, s, ID(1), 0, first)
	if n := len(list(t, s)); n != 1 {
		t.Fatalf("%d blocks, want 1", n)
	}
}

func testStat(t *testing.T, b Body) {
	s := b.open(t)
	_, err := s.Stat(ctx, ID(1))
	wantErr(t, err, chunk.ErrNotFound)
	before := time.Now().Truncate(time.Second)
	put(t, s, ID(1), Bytes(1, 50_000))
	i, err := s.Stat(ctx, ID(1))
	if err != nil || i.ID != ID(1) || i.Size != 50_000 || i.Stored.Before(before) || i.Stored.After(time.Now()) {
		t.Fatalf("stat: %+v, %v", i, err)
	}
	if l := list(t, s)[ID(1)]; l != i {
		t.Fatalf("stat says %+v, list %+v", i, l)
	}
	if err := s.Delete(ctx, ID(1)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Stat(ctx, ID(1))
	wantErr(t, err, chunk.ErrNotFound)
}

// testNames tells apart names that differ in one part only.
func testNames(t *testing.T, b Body) {
	s := b.open(t)
	slice := posix.SliceID{15: 1}
	names := []chunk.BlockID{
		{},
		{File: 1},
		{File: 1 << 63},
		{Slice: slice},
		{Slice: posix.SliceID{0: 1}},
		{Index: 1},
		{Index: 1<<32 - 1},
		{File: 1, Slice: slice, Index: 1},
	}
	for i, id := range names {
		put(t, s, id, Bytes(i, 100))
	}
	for i, id := range names {
		want(t, s, id, 0, Bytes(i, 100))
	}
	if n := len(list(t, s)); n != len(names) {
		t.Fatalf("%d blocks, want %d", n, len(names))
	}
}

func testDelete(t *testing.T, b Body) {
	s := b.open(t)
	missing(t, s, ID(1))
	if err := s.Delete(ctx, ID(1)); err != nil {
		t.Fatalf("delete of nothing: %v", err)
	}
	put(t, s, ID(1), Bytes(1, 5000))
	put(t, s, ID(2), Bytes(2, 5000))
	if err := s.Delete(ctx, ID(1)); err != nil {
		t.Fatalf("delete: %v", err)
	}
	missing(t, s, ID(1))
	want(t, s, ID(2), 0, Bytes(2, 5000))
	put(t, s, ID(1), Bytes(3, 6000)) // the name is free again
	want(t, s, ID(1), 0, Bytes(3, 6000))
}

func testRefusals(t *testing.T, b Body) {
	s := b.open(t)
	wantErr(t, s.Put(ctx, ID(1), nil), posix.EINVAL)
	wantErr(t, s.Put(ctx, ID(1), [][]byte{{}, {}}), posix.EINVAL)
	half := make([]byte, posix.BlockMax/2)
	wantErr(t, s.Put(ctx, ID(1), [][]byte{half, half, {1}}), posix.EINVAL)
	missing(t, s, ID(1))
	wantErr(t, s.Get(ctx, ID(1), 0, nil), chunk.ErrNotFound)
}

func testList(t *testing.T, b Body) {
	s := b.open(t)
	if n := len(list(t, s)); n != 0 {
		t.Fatalf("a new store lists %d blocks", n)
	}
	before := time.Now().Truncate(time.Second)
	for i := range 500 {
		put(t, s, ID(i), Bytes(i, i+1))
	}
	for i := 0; i < 500; i += 5 {
		if err := s.Delete(ctx, ID(i)); err != nil {
			t.Fatal(err)
		}
	}
	seen := list(t, s)
	for i := range 500 {
		info, ok := seen[ID(i)]
		if ok != (i%5 != 0) || ok && info.Size != uint32(i+1) {
			t.Fatalf("block %d is listed as %+v, %v", i, info, ok)
		}
		if ok && (info.Stored.Before(before) || info.Stored.After(time.Now())) {
			t.Fatalf("block %d was stored at %v", i, info.Stored)
		}
	}
	n := 0
	err := s.List(ctx, func(i chunk.Info) bool {
		n++
		return n < 3 && s.Delete(ctx, i.ID) == nil // f may call the store
	})
	if err != nil || n != 3 {
		t.Fatalf("list stopped after %d with %v, want 3", n, err)
	}
}

func testUsage(t *testing.T, b Body) {
	s := b.open(t)
	u, err := s.Usage(ctx)
	if err != nil || u.Capacity == 0 || u.Free > u.Capacity {
		t.Fatalf("usage %+v, %v", u, err)
	}
}

func testCancelled(t *testing.T, b Body) {
	s := b.open(t)
	put(t, s, ID(1), Bytes(1, 10))
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, stat := s.Stat(gone, ID(1))
	for op, err := range map[string]error{
		"stat":   stat,
		"put":    s.Put(gone, ID(2), [][]byte{{1}}),
		"get":    s.Get(gone, ID(1), 0, make([]byte, 1)),
		"delete": s.Delete(gone, ID(1)),
		"sync":   s.Sync(gone),
		"list":   s.List(gone, func(chunk.Info) bool { return true }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", op, err)
		}
	}
	missing(t, s, ID(2))
	want(t, s, ID(1), 0, Bytes(1, 10))
}

func testClose(t *testing.T, b Body) {
	s := b.Open(t)
	put(t, s, ID(1), Bytes(1, 10))
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	_, usage := s.Usage(ctx)
	_, stat := s.Stat(ctx, ID(1))
	for op, err := range map[string]error{
		"put":    s.Put(ctx, ID(2), [][]byte{{1}}),
		"get":    s.Get(ctx, ID(1), 0, make([]byte, 1)),
		"delete": s.Delete(ctx, ID(1)),
		"sync":   s.Sync(ctx),
		"list":   s.List(ctx, func(chunk.Info) bool { return true }),
		"usage":  usage,
		"stat":   stat,
		"close":  s.Close(),
	} {
		if !errors.Is(err, chunk.ErrClosed) {
			t.Errorf("%s after close: %v", op, err)
		}
	}
}

func testDamage(t *testing.T, b Body) {
	if b.Damage == nil {
		t.Skip("this body cannot be damaged from here")
	}
	const unit, at = 16 << 10, 40_000 // in the third unit
	s := b.open(t)
	data := Bytes(1, 5*unit+100)
	put(t, s, ID(1), data)
	put(t, s, ID(2), data)
	b.Damage(t, s, ID(1), at)
	err := s.Get(ctx, ID(1), at, make([]byte, 1))
	wantErr(t, err, chunk.ErrCorrupt)
	wantErr(t, err, posix.EIO)
	if !bytes.Contains([]byte(err.Error()), []byte(ID(1).String())) {
		t.Errorf("the error does not name the block: %v", err)
	}
	wantErr(t, s.Get(ctx, ID(1), 0, make([]byte, len(data))), chunk.ErrCorrupt)
	wantErr(t, s.Get(ctx, ID(1), 3*unit-1, make([]byte, 2)), chunk.ErrCorrupt)
	want(t, s, ID(1), 0, data[:2*unit]) // the other units are well
	want(t, s, ID(1), 3*unit, data[3*unit:])
	want(t, s, ID(2), 0, data)

	wantErr(t, s.Put(ctx, ID(1), [][]byte{Bytes(2, len(data))}), chunk.ErrExists)
	put(t, s, ID(1), data) // the right bytes mend it
	want(t, s, ID(1), 0, data)
}
