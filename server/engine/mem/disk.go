package mem

import (
	"errors"
	"math/rand/v2"
	"sync"
)

// errDiskGone is what an engine finds on a disk that was opened anew.
var errDiskGone = errors.New("mem: the disk was taken away")

// Disk is what a mem engine leaves behind: the states of its commits, of which
// a power cut spares those that were synced and some that followed. It models
// a log that is written in order, so what a cut spares is a prefix.
type Disk struct {
	mu      sync.Mutex
	user    *Engine  // the one that may write
	synced  *state   // survives
	written []*state // after synced, in order: may survive
	onOp    func()
}

// NewDisk makes an empty one.
func NewDisk() *Disk { return &Disk{synced: &state{}} }

// Open makes an engine of what lies on the disk. An engine that was open on it
// can write no more, as after a crash of its process.
func (d *Disk) Open() *Engine {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.written); n > 0 {
		d.synced, d.written = d.written[n-1], nil
	}
	d.user = open(d.synced, d)
	return d.user
}

// OnOp has f called before each write and each sync of the disk. f may call
// Cut and nothing else of the disk.
func (d *Disk) OnOp(f func()) { d.onOp = f }

// Cut is the disk as a power cut at this moment could leave it, in onOp only.
// A nil rng loses all that can be lost.
func (d *Disk) Cut(rng *rand.Rand) *Disk {
	c := &Disk{synced: d.synced}
	if n := len(d.written); rng != nil && n > 0 {
		if k := rng.IntN(n + 1); k > 0 {
			c.synced = d.written[k-1]
		}
	}
	return c
}

func (d *Disk) op() {
	if d.onOp != nil {
		d.onOp()
	}
}

// write takes a state without making it durable.
func (d *Disk) write(e *Engine, s *state) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.user != e {
		return errDiskGone
	}
	d.op()
	d.written = append(d.written, s)
	return nil
}

// sync answers once state n is durable.
func (d *Disk) sync(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.synced.n >= n {
		return
	}
	d.op()
	if k := len(d.written); k > 0 {
		d.synced, d.written = d.written[k-1], nil
	}
}
