package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

// life is a store on a simulated disk and what it promised.
type life struct {
	t      testing.TB
	fs     *simFS
	s      *Store
	r      *rand.Rand
	synced map[chunk.BlockID][]byte   // promised: a Sync covered it
	put    map[chunk.BlockID][]byte   // a Put was answered
	ever   map[chunk.BlockID][][]byte // all that was ever tried
	n      int
}

func newLife(t testing.TB, seed uint64) *life {
	return &life{
		t: t, fs: newSim(seed), r: rand.New(rand.NewPCG(seed, 3)),
		synced: map[chunk.BlockID][]byte{}, put: map[chunk.BlockID][]byte{}, ever: map[chunk.BlockID][][]byte{},
	}
}

func simConfig() Config { return Config{Dir: "sim", VolumeSize: 256 << 10, CompactRate: 1 << 50} }

// open opens the store; a disk that fails now and then is asked again.
func (l *life) open() error {
	for {
		s, err := open(simConfig(), l.fs)
		if err == nil {
			l.s = s
			return nil
		}
		if l.fs.dead || l.fs.fault == nil {
			return err
		}
	}
}

// live does n random operations, or fewer if the disk dies.
func (l *life) live(n int) {
	for range n {
		if l.fs.dead {
			return
		}
		l.step()
	}
}

func (l *life) step() {
	id := chunktest.ID(l.r.IntN(25))
	switch k := l.r.IntN(20); {
	case k < 9:
		l.tryPut(id)
	case k < 13:
		delete(l.put, id)
		delete(l.synced, id)
		_ = l.s.Delete(ctx, id)
	case k < 16:
		l.sync()
	case k < 18:
		l.s.maintain(ctx)
	case k < 19:
		l.s.compact()
		l.s.maintain(ctx)
	default:
		l.restart()
	}
}

func (l *life) tryPut(id chunk.BlockID) {
	if l.put[id] != nil {
		return
	}
	l.n++
	sizes := []int{10, 5000, 5000, 20_000, 90_000}
	data := chunktest.Bytes(l.n, sizes[l.r.IntN(len(sizes))])
	l.ever[id] = append(l.ever[id], data)
	if err := l.s.Put(ctx, id, [][]byte{data[:5], data[5:]}); err == nil {
		l.put[id] = data
	} else if errors.Is(err, chunk.ErrExists) || errors.Is(err, chunk.ErrCorrupt) {
		l.t.Fatalf("put of %s: %v", id, err)
	}
}

func (l *life) sync() {
	if l.s.Sync(ctx) == nil {
		for id, data := range l.put {
			l.synced[id] = data
		}
	}
}

// restart closes the store in good order and opens it again.
func (l *life) restart() {
	if l.s.Close() != nil {
		if !l.fs.dead { // what was lost is told; start anew from what there is
			l.reopen()
		}
		return
	}
	for id, data := range l.put {
		l.synced[id] = data
	}
	if err := l.open(); err != nil && !l.fs.dead {
		l.t.Fatalf("open after a clean close: %v", err)
	}
}

// reopen opens the store after a crash and holds it to its promises.
func (l *life) reopen() {
	if err := l.open(); err != nil {
		if l.fs.dead {
			return
		}
		l.t.Fatalf("open after a crash: %v", err)
	}
	l.check()
}

func (l *life) check() {
	l.t.Helper()
	for id, data := range l.synced {
		got := make([]byte, len(data))
		if err := l.s.Get(ctx, id, 0, got); err != nil || !bytes.Equal(got, data) {
			l.t.Fatalf("a synced block is not whole: %s: %v", id, err)
		}
	}
	l.put = map[chunk.BlockID][]byte{}
	err := l.s.List(ctx, func(i chunk.Info) bool {
		got := make([]byte, i.Size)
		if err := l.s.Get(ctx, i.ID, 0, got); err != nil {
			l.t.Fatalf("a listed block cannot be read: %v", err)
		}
		known := false
		for _, data := range l.ever[i.ID] {
			known = known || bytes.Equal(data, got)
		}
		if !known {
			l.t.Fatalf("%s has bytes that were never put", i.ID)
		}
		l.put[i.ID] = got
		l.synced[i.ID] = got // what is there at the start is durable
		return true
	})
	if err != nil {
		l.t.Fatal(err)
	}
	live := map[uint32]int64{}
	l.s.index.each(func(e entry) bool { live[e.at.vol]++; return true })
	for _, v := range l.s.vols.all() {
		if v.live.Load() != live[v.number] {
			l.t.Fatalf("volume %d counts %d live blocks, the index has %d", v.number, v.live.Load(), live[v.number])
		}
	}
}

// TestCrashEverywhere cuts the power, or kills the process, at every single
// operation of a random life, and after some more life once again.
func TestCrashEverywhere(t *testing.T) {
	seeds, stride := uint64(4), 1
	if testing.Short() {
		stride = 7
	}
	for seed := range seeds {
		l := newLife(t, seed)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		l.live(150)
		total := l.fs.ops
		if l.fs.direct == 0 {
			t.Fatal("nothing was written past the page cache")
		}
		for at := 1; at <= total; at += stride {
			crashAt(t, seed, at)
		}
		t.Logf("seed %d: %d crash points", seed, total)
	}
}

func crashAt(t *testing.T, seed uint64, at int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, crash at operation %d", seed, at)
		}
	}()
	l := newLife(t, seed)
	l.fs.dieAt = at
	if l.open() == nil {
		l.live(150)
	}
	for again := range 3 {
		l.fs = l.fs.revive((seed+uint64(again)+uint64(at))%3 == 0)
		if again == 1 {
			l.fs.dieAt = 1 + at%17 // also in the middle of the mending
		}
		l.reopen()
		l.live(25)
	}
}

// TestFailedSync has syncs fail while the kernel forgets what it did not
// write: no later Sync may call that a success, not even after a restart of
// the process that finds all bytes in the page cache.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := newLife(t, seed)
			faults := rand.New(rand.NewPCG(seed, 4))
			l.fs.fault = func(op, name string) error {
				if op == "sync" && name != formatName+tmpSuffix && faults.IntN(6) == 0 {
					return unix.EIO
				}
				return nil
			}
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			for range 6 {
				l.live(20)
				if seed%2 == 0 {
					l.fs.evict()
				}
				l.fs.fault = nil
				l.fs = l.fs.revive(faults.IntN(2) == 0)
				l.reopen()
				l.sync()
				l.fs.fault = func(op, name string) error {
					if op == "sync" && faults.IntN(6) == 0 {
						return unix.EIO
					}
					return nil
				}
			}
			l.fs.fault = nil
			l.fs = l.fs.revive(false)
			l.reopen()
		})
	}
}

// TestFailedSyncForgotten kills the process after a failed sync. The next one
// finds the bytes in the page cache, where the kernel takes them for written;
// the disk must get them all the same.
func TestFailedSyncForgotten(t *testing.T) {
	for seed := range uint64(20) {
		l := newLife(t, seed)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		l.tryPut(chunktest.ID(1))
		l.sync()
		l.tryPut(chunktest.ID(2))
		l.fs.fault = failSync
		if err := l.s.Sync(ctx); posix.ErrnoOf(err) != posix.EIO {
			t.Fatalf("sync: %v, want EIO", err)
		}
		l.fs = l.fs.revive(true)
		l.reopen()
		l.sync()
		if len(l.synced) != 2 {
			t.Fatalf("seed %d: %d blocks after the kill, want 2", seed, len(l.synced))
		}
		l.fs.evict()
		l.fs = l.fs.revive(false)
		l.reopen()
	}
}

func failSync(op, _ string) error {
	if op == "sync" {
		return unix.EIO
	}
	return nil
}

// TestLostBlocks loses a block in a failed sync for good.
func TestLostBlocks(t *testing.T) {
	l := newLife(t, 1)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	l.tryPut(chunktest.ID(1))
	l.sync()
	l.tryPut(chunktest.ID(2))
	l.fs.fault = failSync
	if err := l.s.Sync(ctx); posix.ErrnoOf(err) != posix.EIO {
		t.Fatalf("sync: %v, want EIO", err)
	}
	l.fs.fault = nil
	f := l.fs.names[volumeName(1)]
	clear(f.cur[l.s.vols.get(1).durable.Load():]) // evicted, never written
	for range 2 {
		if err := l.s.Sync(ctx); posix.ErrnoOf(err) != posix.EIO {
			t.Fatalf("sync after a loss: %v, want EIO", err)
		}
		if err := l.s.Put(ctx, chunktest.ID(3), [][]byte{{1}}); posix.ErrnoOf(err) != posix.EIO {
			t.Fatalf("put after a loss: %v, want EIO", err)
		}
	}
	if err := l.s.Get(ctx, chunktest.ID(1), 0, make([]byte, 1)); err != nil {
		t.Fatalf("what was durable before: %v", err)
	}
	if err := l.s.Get(ctx, chunktest.ID(2), 0, make([]byte, 1)); err == nil {
		t.Fatal("a lost block can be read")
	}
	l.fs = l.fs.revive(true)
	l.reopen()
	l.tryPut(chunktest.ID(4))
	if err := l.s.Sync(ctx); err != nil {
		t.Fatalf("sync after the restart: %v", err)
	}
}

// TestSalvage has one sync fail while the page cache still has the bytes.
func TestSalvage(t *testing.T) {
	l := newLife(t, 1)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		l.tryPut(chunktest.ID(i))
	}
	l.fs.fault = func(op, name string) error {
		if op == "sync" && name == volumeName(1) {
			return unix.EIO
		}
		return nil
	}
	if err := l.s.Sync(ctx); posix.ErrnoOf(err) != posix.EIO {
		t.Fatalf("sync: %v, want EIO", err)
	}
	for i := range 10 {
		if l.put[chunktest.ID(i)] != nil {
			if err := l.s.Get(ctx, chunktest.ID(i), 0, make([]byte, 1)); err != nil {
				t.Fatalf("a block in doubt: %v", err)
			}
		}
	}
	if err := l.s.Sync(ctx); err != nil {
		t.Fatalf("sync of a new copy elsewhere: %v", err)
	}
	l.sync()
	l.fs.fault = nil
	l.fs = l.fs.revive(false)
	l.reopen()
	if len(l.synced) != 10 {
		t.Fatalf("%d blocks were synced, want 10", len(l.synced))
	}
}
