package disk

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

// held is what the volumes hold of the disk.
func held(s *Store) (n int64) {
	for _, v := range s.vols.all() {
		f, err := s.vols.acquire(v)
		if err != nil {
			continue
		}
		_, h, _ := f.size()
		s.vols.release(v)
		n += h
	}
	return n
}

// thinOut puts n blocks of size bytes and leaves every tenth.
func thinOut(t *testing.T, s *Store, n, size int) {
	t.Helper()
	for i := range n {
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{chunktest.Bytes(i, size)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if i%10 != 0 {
			if err := s.Delete(ctx, chunktest.ID(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func checkThin(t *testing.T, s *Store, n, size int) {
	t.Helper()
	got := make([]byte, size)
	for i := range n {
		err := s.Get(ctx, chunktest.ID(i), 0, got)
		if i%10 != 0 && !errors.Is(err, chunk.ErrNotFound) {
			t.Fatalf("deleted block %d: %v", i, err)
		}
		if i%10 == 0 && (err != nil || !bytes.Equal(got, chunktest.Bytes(i, size))) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
}

// TestCompact gives the room of many small blocks back, and of large ones.
func TestCompact(t *testing.T) {
	for _, size := range []int{3000, 200_000} {
		dir := t.TempDir()
		var s *Store
		fs, err := openDir(dir)
		if err == nil {
			s, err = open(Config{Dir: dir, VolumeSize: 4 << 20, CompactRate: 1 << 40}, fs)
		}
		if err != nil {
			t.Fatal(err)
		}
		n := 24 << 20 / size
		thinOut(t, s, n, size)
		before := held(s)
		s.maintain(ctx)
		s.compact()
		s.maintain(ctx)
		checkThin(t, s, n, size)
		after := held(s)
		if live := int64(n/10) * recordSize(uint32(size)); after > 2*live+4<<20 {
			t.Errorf("blocks of %d: %d bytes held before, %d after, %d live", size, before, after, live)
		}
		t.Logf("blocks of %d bytes: %d bytes held before, %d after", size, before, after)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		checkThin(t, s, n, size)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompactDamaged moves a damaged block: what was readable of it stays so.
func TestCompactDamaged(t *testing.T) {
	fs := newSim(1)
	s, err := open(simConfig(), fs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // two in three die, too little at a time for a hole
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{chunktest.Bytes(i, 20_000)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if i%3 == 0 {
			continue
		}
		if err := s.Delete(ctx, chunktest.ID(i)); err != nil {
			t.Fatal(err)
		}
	}
	damage(t, s, chunktest.ID(0), 18_000) // the second unit
	s.maintain(ctx)
	from, _ := s.index.get(chunktest.ID(0))
	s.compact()
	to, _ := s.index.get(chunktest.ID(0))
	if from.at == to.at {
		t.Fatal("the block was not moved")
	}
	want := chunktest.Bytes(0, 20_000)
	got := make([]byte, unitSize)
	if err := s.Get(ctx, chunktest.ID(0), 0, got); err != nil || !bytes.Equal(got, want[:unitSize]) {
		t.Fatalf("the first unit: %v", err)
	}
	if err := s.Get(ctx, chunktest.ID(0), unitSize, got[:1]); !errors.Is(err, chunk.ErrCorrupt) {
		t.Fatalf("the damaged unit: %v", err)
	}
}

// TestCompactBusy reads, puts and deletes while volumes are moved and removed.
func TestCompactBusy(t *testing.T) {
	dir := t.TempDir()
	fs, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(Config{Dir: dir, VolumeSize: minVolume, CompactRate: 1 << 40}, fs)
	if err != nil {
		t.Fatal(err)
	}
	s.vols.maxOpen = 3
	const n, size = 200, 3000
	thinOut(t, s, n, size)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			got := make([]byte, size)
			for i := 0; ; i = (i + 1) % n {
				select {
				case <-done:
					return
				default:
				}
				err := s.Get(ctx, chunktest.ID(i), 0, got)
				if i%10 == 0 && (err != nil || !bytes.Equal(got, chunktest.Bytes(i, size))) || i%10 != 0 && !errors.Is(err, chunk.ErrNotFound) {
					t.Errorf("block %d during compaction: %v", i, err)
					return
				}
			}
		})
		wg.Go(func() { comeAndGo(t, s, 1000+1000*w) })
	}
	for range 8 {
		s.maintain(ctx)
		s.compact()
	}
	close(done)
	wg.Wait()
	checkThin(t, s, n, size)
	s.maintain(ctx)
	if open, all := s.vols.opened.Load(), len(s.vols.all()); open > 10 {
		t.Errorf("%d of %d volumes are open", open, all)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.vols.opened.Load(); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
}

// comeAndGo puts blocks and deletes them at once.
func comeAndGo(t *testing.T, s *Store, first int) {
	for i := range 60 {
		id := chunktest.ID(first + i%50)
		if err := s.Put(ctx, id, [][]byte{chunktest.Bytes(i%50, 9000)}); err != nil {
			t.Error(err)
		}
		if err := s.Delete(ctx, id); err != nil {
			t.Error(err)
		}
	}
}

// TestGroup joins callers to a round that has not begun.
func TestGroup(t *testing.T) {
	var g group
	var runs int
	begun, finish := make(chan struct{}), make(chan error)
	do := func() error {
		runs++
		begun <- struct{}{}
		return <-finish
	}
	results := make(chan error, 2)
	go func() { results <- g.sync(ctx, do) }()
	<-begun
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for range 10 { // each joins the next round and does not wait for it
		if err := g.sync(gone, do); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	finish <- nil
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	<-begun
	go func() { results <- g.sync(ctx, do) }() // while the second runs: a third
	finish <- unix.EIO
	<-begun
	finish <- nil
	if err := <-results; err != nil {
		t.Fatalf("the third round has the answer of the second: %v", err)
	}
	if runs != 3 {
		t.Fatalf("%d rounds, want 3", runs)
	}
}
