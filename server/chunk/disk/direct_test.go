package disk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

// TestDirect puts large blocks among small ones, so that they begin and end
// anywhere in a page, and finds them before and after a restart.
func TestDirect(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, VolumeSize: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{directSize - 1, directSize, 1000, directSize + 1, 3000, 1 << 20, 500, posix.BlockSize, 70_000, posix.BlockMax, 1, posix.BlockSize - 1}
	for i, n := range sizes {
		data := chunktest.Bytes(i, n)
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{data[:n/3], data[n/3:]}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i, n := range sizes {
			got := make([]byte, n)
			if err := s.Get(ctx, chunktest.ID(i), 0, got); err != nil || !bytes.Equal(got, chunktest.Bytes(i, n)) {
				t.Errorf("block of %d bytes: %v", n, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNotDirect has a filesystem that can't write past the page cache. It is
// asked once.
func TestNotDirect(t *testing.T) {
	fs := newSim(1)
	fs.fault = func(op, _ string) error {
		if op == "direct" {
			return errors.ErrUnsupported
		}
		return nil
	}
	s, err := open(simConfig(), fs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		want, got := chunktest.Bytes(i, 50_000), make([]byte, 50_000)
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{want}); err != nil {
			t.Fatal(err)
		}
		if err := s.Get(ctx, chunktest.ID(i), 0, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("block %d: %v", i, err)
		}
	}
	if fs.direct != 1 {
		t.Errorf("asked %d times", fs.direct)
	}
}
