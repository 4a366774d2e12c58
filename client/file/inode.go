package file

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
)

// inode is what all handles of one file share: its size and bytes as this
// client sees them.
//
// Two locks. order is held over calls of the server: commits and changes of
// the size take it, so that they reach the server one after the other. mu
// guards what is in memory and is never held over a call. order comes first.
type inode struct {
	f     *Files
	ino   posix.Ino
	order gate

	// Guarded by f.mu.
	refs   int       // handles, parked ones too, and calls under way
	closed uint64    // f.clock when the last of them went
	parked []*Handle // in order of parking

	words atomic.Uint64 // how often there was word that others have changed it

	mu      sync.RWMutex
	attr    posix.Attr // the newest that the server told; Ino 0 until it did
	stale   bool       // attr may be old: ask before its size counts
	doubted uint64     // f.doubts when it became so the last time
	era     uint64     // how often the session was lost since
	foreign bool       // another client has changed the file since the last open
	layout  layout
	gen     uint64        // grows whenever the layout changes but by learning
	writers []*Handle     // open for writing, in order of opening
	wroteBy *posix.Life   // the session that wrote last; see writer.go
	shunned []*posix.Life // sessions through which this round can't commit

	chunks  map[uint64]*chunk // what is dirty, by chunk index; nil if nothing is
	slices  map[posix.SliceID]*slice
	extents int        // how many dirty ones there are
	end     uint64     // after the last dirty byte; 0 if none is dirty
	writes  uint64     // how many there were: what a flush has seen
	wrote   posix.Time // the mtime that goes with the dirty bytes
	last    uint64     // the end of the last write,
	stream  int64      // and how many bytes went before it without a gap
	full    int64      // bytes of closed slices that no flush has taken on
	tail    tail

	running, next *round
	failing       error // a final error of the newest flush, until one succeeds
	errs          errseq
	lost          uint64 // errs.seq of the newest error whose data had to be dropped untold
}

// gate is a lock that one can stop waiting for.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) lock(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) unlock() { <-g }

// hold answers the state of ino and keeps it until release.
func (f *Files) hold(ino posix.Ino) *inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.inodes[ino]
	if i == nil {
		i = &inode{f: f, ino: ino, order: newGate()}
		f.inodes[ino] = i
	}
	i.refs++
	return i
}

// find is hold, but nil where there is nothing to keep.
func (f *Files) find(ino posix.Ino) *inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.inodes[ino]
	if i != nil {
		i.refs++
	}
	return i
}

// release ends a hold. The state of a file that nobody uses is kept for a
// while: while a call is under way that may yet bring attributes from before
// the file's last commit, and, up to maxIdle files, for the next open.
func (f *Files) release(i *inode) {
	if !f.retire(i) {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.layout.extents) > maxIdleLayout {
		i.forget()
	}
}

// retire reports whether that was the last hold.
func (f *Files) retire(i *inode) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.refs--; i.refs > 0 {
		return false
	}
	f.clock++
	i.closed = f.clock
	f.idle.PushBack(idle{i, i.closed})
	f.trim()
	return true
}

// idle is an inode as it was when its last holder went. If it was used again
// since, its clock differs.
type idle struct {
	i      *inode
	closed uint64
}

// trim forgets files that were closed long ago. f.mu is held.
func (f *Files) trim() {
	oldest := f.clock + 1
	if e := f.calls.Front(); e != nil {
		oldest = e.Value.(uint64)
	}
	for f.idle.Len() > maxIdle {
		e := f.idle.Front()
		x := e.Value.(idle)
		if x.closed >= oldest {
			return
		}
		f.idle.Remove(e)
		if x.i.refs == 0 && x.i.closed == x.closed {
			delete(f.inodes, x.i.ino)
		}
	}
}

// enter notes the beginning of a call that will bring attributes of files
// unknown yet, and answers its end.
func (f *Files) enter() (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	e := f.calls.PushBack(f.clock)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls.Remove(e)
		f.trim()
	}
}

// adopt takes note of attributes that the server answered and gives the
// newest there are. A change that this client did not make itself means that
// the layout may be another. i.mu is held.
func (i *inode) adopt(a posix.Attr) posix.Attr {
	switch {
	case i.attr.Ino != 0 && a.Change < i.attr.Change:
		return i.attr // from before something that is known already
	case a.Change != i.attr.Change || i.attr.Ino == 0:
		i.forget()
		i.foreign = true
	}
	i.attr = a
	return a
}

// sure notes that attributes asked for when f.doubts was mark have come: there
// is no doubt left but for what was told since. i.mu is held.
func (i *inode) sure(mark uint64) {
	if i.doubted <= mark {
		i.stale = false
	}
}

// adoptOwn is adopt for the answer to a change that this client has made. The
// layout, brought up to date by then, stays if nobody else came between.
// i.mu is held.
func (i *inode) adoptOwn(a posix.Attr, update func(*layout)) {
	if a.Change != i.attr.Change+1 || i.attr.Ino == 0 || i.stale {
		i.adopt(a)
		i.forget() // an attribute that came first may have hidden a change
		return
	}
	update(&i.layout)
	i.gen++
	i.attr = a
}

// forget drops the layout. i.mu is held.
func (i *inode) forget() {
	i.layout = layout{}
	i.gen++
}

// size is the file's size as this client sees it. i.mu is held.
func (i *inode) size() uint64 { return max(i.attr.Size, i.end) }

// show answers a with what is buffered here. i.mu is held.
func (i *inode) show(a posix.Attr) posix.Attr {
	if i.end == 0 {
		return a
	}
	a.Size = max(a.Size, i.end)
	a.Alloc = max(a.Alloc, min(a.Alloc+i.covered(), a.Size))
	a.Mtime = i.wrote
	if a.Ctime.Before(i.wrote) {
		a.Ctime = i.wrote
	}
	return a
}

// covered is how many bytes are dirty. i.mu is held.
func (i *inode) covered() uint64 {
	var n uint64
	for _, c := range i.chunks {
		n += c.dirty.Covered(0, posix.FileSizeMax)
	}
	return n
}

// refresh asks the server for the attributes if the ones here may be old.
func (i *inode) refresh(ctx context.Context, ns posix.Namespace) error {
	i.mu.RLock()
	stale := i.stale
	i.mu.RUnlock()
	if !stale {
		return nil
	}
	mark := i.f.doubts.Load()
	a, err := posix.GetattrNow(ctx, ns, i.ino)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.adopt(a)
	i.sure(mark)
	return nil
}

// doubt notes that the file may have changed in a way unknown here.
func (i *inode) doubt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.suspect()
}

// suspect is doubt with i.mu held.
func (i *inode) suspect() {
	i.stale, i.foreign = true, true
	i.doubted = i.f.doubts.Add(1)
	i.forget()
}
