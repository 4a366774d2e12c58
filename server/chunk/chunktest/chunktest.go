// Package chunktest is the contract of [chunk.Store] as tests: each body of
// the interface passes Run.
//
//	func TestStore(t *testing.T) {
//		chunktest.Run(t, chunktest.Body{Open: func(t testing.TB) chunk.Store { return mem.New() }})
//	}
//
// It says nothing of crashes, which need a body's own doubles.
package chunktest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// Body is what is put to the test.
type Body struct {
	// Open answers a new, empty store. The suite closes it.
	Open func(t testing.TB) chunk.Store
	// Damage changes a stored byte of a block behind the store's back. Nil
	// skips the tests of damage.
	Damage func(t testing.TB, s chunk.Store, id chunk.BlockID, off uint32)
}

// Run tests the body against the whole contract.
func Run(t *testing.T, b Body) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Body)
	}{
		{"PutGet", testPutGet},
		{"Pieces", testPieces},
		{"Ranges", testRanges},
		{"Immutable", testImmutable},
		{"Stat", testStat},
		{"Names", testNames},
		{"Delete", testDelete},
		{"Refusals", testRefusals},
		{"List", testList},
		{"Usage", testUsage},
		{"Cancelled", testCancelled},
		{"Close", testClose},
		{"Damage", testDamage},
		{"Atomic", testAtomic},
		{"SamePut", testSamePut},
		{"Busy", testBusy},
		{"Model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b) })
	}
}

var ctx = context.Background()

// open opens a store for the length of the test.
func (b Body) open(t testing.TB) chunk.Store {
	s := b.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, chunk.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// ID is the n-th of the suite's block names.
func ID(n int) chunk.BlockID {
	id := chunk.BlockID{File: posix.Ino(n/7 + 2), Index: uint32(n % 3)}
	binary.LittleEndian.PutUint64(id.Slice[3:], uint64(n)+1)
	return id
}

// Bytes are n bytes that no other seed has.
func Bytes(seed, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

func put(t testing.TB, s chunk.Store, id chunk.BlockID, data ...[]byte) {
	t.Helper()
	if err := s.Put(ctx, id, data); err != nil {
		t.Fatalf("put %s: %v", id, err)
	}
}

// want fails unless the store has just these bytes of the block at off.
func want(t testing.TB, s chunk.Store, id chunk.BlockID, off int, b []byte) {
	t.Helper()
	got := make([]byte, len(b))
	if err := s.Get(ctx, id, uint32(off), got); err != nil {
		t.Fatalf("get %d bytes at %d of %s: %v", len(b), off, id, err)
	}
	if !bytes.Equal(got, b) {
		t.Fatalf("get %d bytes at %d of %s: other bytes than were put", len(b), off, id)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func missing(t testing.TB, s chunk.Store, id chunk.BlockID) {
	t.Helper()
	wantErr(t, s.Get(ctx, id, 0, make([]byte, 1)), chunk.ErrNotFound)
}

// list answers what the store lists, and fails if it lists a block twice.
func list(t testing.TB, s chunk.Store) map[chunk.BlockID]chunk.Info {
	t.Helper()
	seen := map[chunk.BlockID]chunk.Info{}
	err := s.List(ctx, func(i chunk.Info) bool {
		if _, twice := seen[i.ID]; twice {
			t.Errorf("%s is listed twice", i.ID)
		}
		seen[i.ID] = i
		return true
	})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return seen
}
