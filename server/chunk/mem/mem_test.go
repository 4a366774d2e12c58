package mem_test

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
	"github.com/wardfs/wardfs/server/chunk/mem"
)

func TestContract(t *testing.T) {
	chunktest.Run(t, chunktest.Body{
		Open: func(testing.TB) chunk.Store { return mem.New() },
		Damage: func(t testing.TB, s chunk.Store, id chunk.BlockID, off uint32) {
			if !s.(*mem.Store).Damage(id, off) {
				t.Fatalf("%s has no byte %d", id, off)
			}
		},
	})
}

func TestFull(t *testing.T) {
	ctx := context.Background()
	s := mem.New()
	s.SetCapacity(100)
	if err := s.Put(ctx, chunktest.ID(1), [][]byte{make([]byte, 60)}); err != nil {
		t.Fatal(err)
	}
	if got := posix.ErrnoOf(s.Put(ctx, chunktest.ID(2), [][]byte{make([]byte, 41)})); got != posix.ENOSPC {
		t.Fatalf("put on a full disk: %v", got)
	}
	if err := s.Delete(ctx, chunktest.ID(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, chunktest.ID(2), [][]byte{make([]byte, 41)}); err != nil {
		t.Fatalf("put when there is room again: %v", err)
	}
	if u, _ := s.Usage(ctx); u != (chunk.Usage{Capacity: 100, Free: 59}) {
		t.Fatalf("usage %+v", u)
	}
}

func TestClock(t *testing.T) {
	ctx := context.Background()
	s := mem.New()
	at := time.Unix(1234, 5)
	s.SetNow(func() time.Time { return at })
	if err := s.Put(ctx, chunktest.ID(1), [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	err := s.List(ctx, func(i chunk.Info) bool {
		if !i.Stored.Equal(at) {
			t.Errorf("stored at %v, want %v", i.Stored, at)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}
