package disk

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// entry is what memory keeps of a block: 48 bytes without pointers, so that
// the garbage collector has nothing to walk. A size of zero is an empty slot.
type entry struct {
	file   posix.Ino
	slice  posix.SliceID
	index  uint32
	size   uint32
	at     place
	sum    uint32 // of the record's table of sums
	stored uint32 // seconds since the epoch
}

func (e *entry) id() chunk.BlockID {
	return chunk.BlockID{File: e.file, Slice: e.slice, Index: e.index}
}

func (e *entry) is(id chunk.BlockID) bool {
	return e.slice == id.Slice && e.index == id.Index && e.file == id.File
}

func (e *entry) info() chunk.Info {
	return chunk.Info{ID: e.id(), Size: e.size, Stored: time.Unix(int64(e.stored), 0)}
}

func (it *item) entry(vol uint32) entry {
	return entry{it.id.File, it.id.Slice, it.id.Index, it.size, place{vol, it.sector}, it.sum, uint32(it.stored / 1e9)}
}

const shards = 64

// index finds a block's entry. It is safe for concurrent use.
type index struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shard is a hash table with linear probing. It grows by a quarter when seven
// eighths are full: about 60 bytes a block.
type shard struct {
	mu    sync.RWMutex
	used  int
	slots []entry
	_     [64]byte // no two shards' locks in one cache line
}

func newIndex() *index { return &index{seed: maphash.MakeSeed()} }

func (x *index) hash(id chunk.BlockID) uint64 {
	var b [28]byte
	le.PutUint64(b[:], uint64(id.File))
	copy(b[8:], id.Slice[:])
	le.PutUint32(b[24:], id.Index)
	return maphash.Bytes(x.seed, b[:])
}

func (x *index) shard(h uint64) *shard { return &x.shards[h%shards] }

// home is the slot where the search for h begins.
func (t *shard) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.slots)))
	return int(hi)
}

// find is the slot of id, or the empty one where it belongs; -1 in an empty table.
func (t *shard) find(h uint64, id chunk.BlockID) int {
	if len(t.slots) == 0 {
		return -1
	}
	i := t.home(h)
	for t.slots[i].size != 0 && !t.slots[i].is(id) {
		i = t.next(i)
	}
	return i
}

func (t *shard) next(i int) int {
	if i++; i == len(t.slots) {
		return 0
	}
	return i
}

// get answers the block's entry.
func (x *index) get(id chunk.BlockID) (entry, bool) {
	h := x.hash(id)
	t := x.shard(h)
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := t.find(h, id)
	if i < 0 || t.slots[i].size == 0 {
		return entry{}, false
	}
	return t.slots[i], true
}

// swap puts e in the place of old, which is empty where there was none. It
// changes nothing and answers false when something else stands there now.
func (x *index) swap(old place, e entry) bool {
	id := e.id()
	h := x.hash(id)
	t := x.shard(h)
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(h, id)
	if i >= 0 && t.slots[i].size != 0 {
		if t.slots[i].at == old {
			t.slots[i] = e
			return true
		}
		return false
	}
	if old != (place{}) {
		return false
	}
	if t.used >= len(t.slots)*7/8 {
		t.grow(x, max(16, len(t.slots)+len(t.slots)/4))
		i = t.find(h, id)
	}
	t.slots[i] = e
	t.used++
	return true
}

// grow makes room for slots entries.
func (t *shard) grow(x *index, slots int) {
	old := t.slots
	t.slots = make([]entry, slots)
	for i := range old {
		if old[i].size != 0 {
			id := old[i].id()
			t.slots[t.find(x.hash(id), id)] = old[i]
		}
	}
}

// reserve makes room for n more blocks at once, as a start wants it. Blocks are
// spread unevenly: a shard gets a little more than its part.
func (x *index) reserve(n int) {
	for i := range x.shards {
		t := &x.shards[i]
		t.mu.Lock()
		if slots := (t.used + n/shards) * 5 / 4; slots > len(t.slots) {
			t.grow(x, slots)
		}
		t.mu.Unlock()
	}
}

// remove takes the block out; the entry it had.
func (x *index) remove(id chunk.BlockID) (entry, bool) {
	h := x.hash(id)
	t := x.shard(h)
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(h, id)
	if i < 0 || t.slots[i].size == 0 {
		return entry{}, false
	}
	e := t.slots[i]
	t.slots[i] = entry{}
	t.used--
	t.close(x, i)
	return e, true
}

// close moves entries that a search would no longer find past the emptied
// slot i back towards their homes.
func (t *shard) close(x *index, i int) {
	for j := t.next(i); t.slots[j].size != 0; j = t.next(j) {
		h := t.home(x.hash(t.slots[j].id()))
		if i <= j && (h <= i || h > j) || i > j && h <= i && h > j {
			t.slots[i], t.slots[j] = t.slots[j], entry{}
			i = j
		}
	}
}

// each calls f for every entry until it answers false; f may use the index.
func (x *index) each(f func(entry) bool) {
	var batch []entry
	for i := range x.shards {
		t := &x.shards[i]
		t.mu.RLock()
		batch = batch[:0]
		for _, e := range t.slots {
			if e.size != 0 {
				batch = append(batch, e)
			}
		}
		t.mu.RUnlock()
		for _, e := range batch {
			if !f(e) {
				return
			}
		}
	}
}

// len is how many blocks there are.
func (x *index) len() (n int) {
	for i := range x.shards {
		t := &x.shards[i]
		t.mu.RLock()
		n += t.used
		t.mu.RUnlock()
	}
	return n
}
