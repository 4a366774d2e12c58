package disk

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// volume is one append-only file of records. While it is the active one it
// keeps what its index file will say; sealed, it is little more than counters.
type volume struct {
	number uint32

	mu   sync.Mutex // guards the four below
	f    file       // nil while nobody needs it
	refs int
	gone bool   // removed: f is closed with the last reference
	used uint64 // when it was last asked for, in calls of acquire

	live      atomic.Int64 // records that the index names
	liveBytes atomic.Int64 // the room they take
	durable   atomic.Int64 // the volume is on disk up to here
	held      atomic.Int64 // what it held of the disk when last asked
	stuck     atomic.Bool  // it could not be compacted: not tried again

	// What follows is guarded by Store.log.
	tail      int64 // where the next record goes
	allocated int64 // up to here the disk has promised room
	zeroed    int64 // up to here zeros were written ahead of the tail
	trickle   bool  // the last sync was of little: see zeroAhead
	sealed    bool  // an index file covers it all; items and graves are nil
	items     []item
	graves    []place
}

func volumeName(n uint32) string { return fmt.Sprintf("vol-%08d", n) }
func indexName(n uint32) string  { return volumeName(n) + ".idx" }

// count adds a record of the index to the volume's figures, or takes it off.
func (v *volume) count(n int64, size uint32) {
	v.live.Add(n)
	v.liveBytes.Add(n * recordSize(size))
}

// volumes are the open store's volumes by number. They keep at most maxOpen
// files open that nobody is reading.
type volumes struct {
	fs      filesystem
	maxOpen int

	mu    sync.RWMutex
	byNum map[uint32]*volume

	clock  atomic.Uint64
	opened atomic.Int64
}

func (vs *volumes) get(n uint32) *volume {
	vs.mu.RLock()
	defer vs.mu.RUnlock()
	return vs.byNum[n]
}

func (vs *volumes) add(v *volume) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.byNum[v.number] = v
}

func (vs *volumes) all() []*volume {
	vs.mu.RLock()
	defer vs.mu.RUnlock()
	out := make([]*volume, 0, len(vs.byNum))
	for _, v := range vs.byNum {
		out = append(out, v)
	}
	return out
}

// highest is the largest number in use. Its volume is never removed, so that
// numbers grow even across a restart.
func (vs *volumes) highest() (n uint32) {
	for _, v := range vs.all() {
		n = max(n, v.number)
	}
	return n
}

// acquire answers the volume's file, which stays open until release.
func (vs *volumes) acquire(v *volume) (file, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return nil, unix.ENOENT
	}
	if v.f == nil {
		f, err := vs.fs.open(volumeName(v.number), false)
		if err != nil {
			return nil, err
		}
		v.f = f
		if vs.opened.Add(1) > int64(vs.maxOpen) {
			defer vs.closeIdle()
		}
	}
	v.refs++
	v.used = vs.clock.Add(1)
	return v.f, nil
}

func (vs *volumes) release(v *volume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refs--; v.refs == 0 && v.gone {
		vs.shut(v)
	}
}

// shut closes the file. v.mu is held and nobody refers to it.
func (vs *volumes) shut(v *volume) {
	if v.f != nil {
		v.f.close()
		v.f = nil
		vs.opened.Add(-1)
	}
}

// closeIdle closes the half of the idle files that was used longest ago. The
// caller may hold the lock of one volume, which then is skipped, being in use.
func (vs *volumes) closeIdle() {
	all := vs.all()
	now, oldest := vs.clock.Load(), uint64(math.MaxUint64)
	idle := all[:0]
	for _, v := range all {
		if !v.mu.TryLock() {
			continue
		}
		if v.f != nil && v.refs == 0 {
			oldest = min(oldest, v.used)
			idle = append(idle, v)
		}
		v.mu.Unlock()
	}
	for _, v := range idle {
		if v.mu.TryLock() {
			if v.refs == 0 && v.used <= oldest+(now-oldest)/2 {
				vs.shut(v)
			}
			v.mu.Unlock()
		}
	}
}

// drop forgets the volume; its file is closed when the last reader is done.
func (vs *volumes) drop(v *volume) {
	vs.mu.Lock()
	delete(vs.byNum, v.number)
	vs.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone = true
	if v.refs == 0 {
		vs.shut(v)
	}
}
