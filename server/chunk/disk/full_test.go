package disk

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

// fill puts blocks of n bytes until the disk is full, and answers how many.
func fill(t testing.TB, s chunk.Store, first, n int) (blocks int) {
	t.Helper()
	for i := first; ; i++ {
		err := s.Put(ctx, chunktest.ID(i), [][]byte{chunktest.Bytes(i, n)})
		if err == nil {
			continue
		}
		if posix.ErrnoOf(err) != posix.ENOSPC || !errors.Is(err, posix.ENOSPC) {
			t.Fatalf("put on a full disk: %v", err)
		}
		if err := s.Get(ctx, chunktest.ID(i), 0, make([]byte, 1)); !errors.Is(err, chunk.ErrNotFound) {
			t.Fatalf("the block that had no room: %v", err)
		}
		return i - first
	}
}

// hold fails unless blocks first to end are whole.
func hold(t testing.TB, s chunk.Store, first, end, n int) {
	t.Helper()
	got := make([]byte, n)
	for i := first; i < end; i++ {
		if err := s.Get(ctx, chunktest.ID(i), 0, got); err != nil || !bytes.Equal(got, chunktest.Bytes(i, n)) {
			t.Fatalf("block %d of %d to %d on a full disk: %v", i, first, end, err)
		}
	}
}

// fullDisk fills a disk, looks, frees, and fills it again, three times over.
func fullDisk(t *testing.T, s chunk.Store, n int) {
	t.Helper()
	first, end := 0, 0
	for round := range 3 {
		got := fill(t, s, end, n)
		if got < 4 {
			t.Fatalf("round %d: %d blocks fitted", round, got)
		}
		end += got
		hold(t, s, first, end, n)
		if err := s.Sync(ctx); err != nil {
			t.Fatalf("sync on a full disk: %v", err)
		}
		for i := range (end - first) * 3 / 4 {
			if err := s.Delete(ctx, chunktest.ID(first+i)); err != nil {
				t.Fatalf("delete on a full disk: %v", err)
			}
		}
		first += (end - first) * 3 / 4
		hold(t, s, first, end, n)
	}
	hold(t, s, first, end, n)
}

func TestFullSim(t *testing.T) {
	for _, c := range []struct {
		n      int
		volume int64
	}{
		{100_000, 256 << 10},
		{300_000, 256 << 10},
		{100_000, 64 << 20}, // one volume: there must be room to write down what is deleted
	} {
		fs := newSim(1)
		fs.room = 4 << 20
		cfg := simConfig()
		cfg.VolumeSize = c.volume
		s, err := open(cfg, fs)
		if err != nil {
			t.Fatal(err)
		}
		fullDisk(t, s, c.n)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullTmpfs is the same on a disk of the kernel's.
func TestFullTmpfs(t *testing.T) {
	for _, c := range []struct {
		name   string
		n      int
		volume int64
	}{{"4 MiB", 4 << 20, 1 << 30}, {"100 kB", 100_000, 16 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			dir := smallDisk(t)
			s, err := Open(Config{Dir: dir, VolumeSize: c.volume, Log: testLog(t)})
			if err != nil {
				t.Fatal(err)
			}
			fullDisk(t, s, c.n)
			seen := count(t, s)
			if err := s.Close(); err != nil {
				t.Fatalf("close on a full disk: %v", err)
			}
			if s, err = Open(Config{Dir: dir, VolumeSize: c.volume, Log: testLog(t)}); err != nil {
				t.Fatalf("open on a full disk: %v", err)
			}
			if n := count(t, s); n != seen {
				t.Errorf("%d blocks after the restart, want %d", n, seen)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func count(t testing.TB, s chunk.Store) (n int) {
	t.Helper()
	if err := s.List(ctx, func(chunk.Info) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// smallDisk mounts 32 MiB of memory for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m,mode=0700"); err != nil {
		t.Skipf("no small disk to be had: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullWrite has the disk run out in the middle of writing a record, in
// spite of what it had promised, and at a sync.
func TestFullWrite(t *testing.T) {
	for _, op := range []string{"write", "allocate", "create", "sync"} {
		t.Run(op, func(t *testing.T) {
			fs := newSim(2)
			s, err := open(simConfig(), fs)
			if err != nil {
				t.Fatal(err)
			}
			data := func(i int) [][]byte { return [][]byte{chunktest.Bytes(i, 50_000)} }
			for i := range 3 {
				if err := s.Put(ctx, chunktest.ID(i), data(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			fs.fault = func(o, _ string) error {
				if o == op {
					return unix.ENOSPC
				}
				return nil
			}
			put := 3
			for ; put < 40; put++ {
				if err = s.Put(ctx, chunktest.ID(put), data(put)); err != nil {
					break
				}
				if err = s.Sync(ctx); err != nil {
					put++ // it is there, and in doubt
					break
				}
			}
			if posix.ErrnoOf(err) != posix.ENOSPC {
				t.Fatalf("after %d puts: %v, want ENOSPC", put, err)
			}
			hold(t, s, 0, put, 50_000)
			fs.fault = nil
			for i := put; i < put+20; i++ {
				if err := s.Put(ctx, chunktest.ID(i), data(i)); err != nil {
					t.Fatalf("put when there is room again: %v", err)
				}
			}
			if err := s.Sync(ctx); err != nil {
				t.Fatalf("sync when there is room again: %v", err)
			}
			if s, err = open(simConfig(), fs.revive(false)); err != nil {
				t.Fatal(err)
			}
			hold(t, s, 0, put+20, 50_000)
		})
	}
}

// TestFullToTheBrim leaves no room for anything but what the store keeps in
// reserve to write down what is deleted.
func TestFullToTheBrim(t *testing.T) {
	fs := newSim(1)
	fs.room = 4 << 20
	cfg := simConfig()
	cfg.VolumeSize = 64 << 20
	s, err := open(cfg, fs)
	if err != nil {
		t.Fatal(err)
	}
	large := fill(t, s, 0, 100_000)
	small := fill(t, s, large, 1)
	for i := range large {
		if err := s.Delete(ctx, chunktest.ID(i)); err != nil {
			t.Fatal(err)
		}
	}
	next := large + small
	if n := fill(t, s, next, 100_000); n < large/2 {
		t.Fatalf("%d blocks fitted when %d were gone", n, large)
	}
	hold(t, s, large, next, 1)
}
