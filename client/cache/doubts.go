package cache

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
)

// buckets is how many things Doubts can tell apart.
const buckets = 4096

// Doubts tells whether an answer may be believed after the call that brought
// it. Between the server's looking and our hearing of it somebody may have
// changed what it is about; then the word of the change can come before the
// answer, and who keeps the answer keeps it for long.
//
// Who asks takes a Mark before, and keeps the answer only if there is no doubt
// since. Many inodes share a bucket, and many names, so that it sometimes doubts
// what nobody has changed; never the other way round. The zero value is ready;
// it is safe for concurrent use.
type Doubts struct {
	clock  atomic.Uint64
	all    atomic.Uint64
	inodes [buckets]atomic.Uint64
	names  [buckets]atomic.Uint64
}

// seed makes the buckets of this process.
var seed = maphash.MakeSeed()

// Mark is the moment before a question.
func (d *Doubts) Mark() uint64 { return d.clock.Load() }

// Inode notes that ino is not what it was.
func (d *Doubts) Inode(ino posix.Ino) { d.raise(&d.inodes[ino%buckets]) }

// Entry notes that name in dir is not what it was.
func (d *Doubts) Entry(dir posix.Ino, name string) { d.raise(&d.names[entry(dir, name)]) }

// All notes that nothing is known to be what it was.
func (d *Doubts) All() { d.raise(&d.all) }

// InodeSince reports whether ino may have changed since the mark.
func (d *Doubts) InodeSince(mark uint64, ino posix.Ino) bool {
	return d.inodes[ino%buckets].Load() > mark || d.all.Load() > mark
}

// EntrySince reports whether name in dir may have changed since the mark.
func (d *Doubts) EntrySince(mark uint64, dir posix.Ino, name string) bool {
	return d.names[entry(dir, name)].Load() > mark || d.all.Load() > mark
}

func entry(dir posix.Ino, name string) uint64 {
	return maphash.Comparable(seed, key{dir, name}) % buckets
}

func (d *Doubts) raise(at *atomic.Uint64) {
	now := d.clock.Add(1)
	for was := at.Load(); was < now && !at.CompareAndSwap(was, now); was = at.Load() {
	}
}
