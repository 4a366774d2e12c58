package file

import (
	"context"
	"slices"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// A handle that was only read through is not closed on the server when nobody
// has it open any more, but parked, and serves the next open for reading of the
// same caller without a question: the server has let him open the file, and has
// promised word of whatever could make that wrong. So what is open here is open
// there, whatever others remove or forbid.
//
// The word ends it: of the file (Invalidate), of anything (InvalidateAll), and
// what this mount itself changes of who may open the file. The handle remembers
// how often there had been word when its open was asked for; one that came
// since, be it before the answer, makes it worthless to others than its opener.

const (
	// maxParked is how many handles are parked at most: 1 KB each.
	maxParked = 1 << 14
	// maxParkedOf is how many of one file: as many readers at once.
	maxParkedOf = 8
	// parkedFor is how long one is parked at most.
	parkedFor = 5 * time.Minute
)

// parking is what of a handle says whom it may serve again.
type parking struct {
	caller any // nil: nobody
	asked  time.Time
	word   word
	since  time.Time // when it was parked
}

// word is how often there was any: of the file, and of all.
type word struct{ of, all uint64 }

func (i *inode) word() word { return word{i.words.Load(), i.f.words.Load()} }

// Park makes the files park their handles. It is for who calls Forget.
func (f *Files) Park() { f.parks.Store(true) }

// Forget notes that nobody knows the file any more: should this mount have
// taken its last name, nothing here keeps it any longer.
func (f *Files) Forget(ino posix.Ino) {
	f.mu.Lock()
	i := f.inodes[ino]
	none := i == nil || len(i.parked) == 0
	f.mu.Unlock()
	if !none {
		f.unpark(i)
	}
}

// parkable reports whether a handle opened with flags may be parked.
func parkable(flags posix.OpenFlags) bool { return flags == posix.OpenRead || flags == posix.OpenExec }

// asking notes the moment before the handle's open is asked for.
func (h *Handle) asking(ctx context.Context, i *inode) {
	if !i.f.parks.Load() || !parkable(h.flags) {
		return
	}
	h.parking.word, h.parking.asked = i.word(), i.f.now()
	h.parking.caller, _ = posix.Promised(ctx, h.ns)
}

// Pin keeps the handle from being parked: something belongs to it that only the
// server's close ends for sure.
func (h *Handle) Pin() { h.pinned.Store(true) }

// park keeps a handle that nobody has open any more, or answers false.
func (f *Files) park(h *Handle) bool {
	i := h.i
	if h.parking.caller == nil || h.pinned.Load() || h.stale() || h.parking.word != i.word() {
		return false
	}
	f.mu.Lock()
	if f.shut || len(i.parked) >= maxParkedOf {
		f.mu.Unlock()
		return false
	}
	h.parking.since = f.now()
	i.parked = append(i.parked, h)
	h.parkedAt = f.parked.PushBack(h)
	var oldest *Handle
	if f.parked.Len() > maxParked {
		oldest = f.parked.Front().Value.(*Handle)
		f.take(oldest)
	}
	f.mu.Unlock()
	if oldest != nil {
		oldest.closeSoon()
	}
	if h.parking.word != i.word() { // it came meanwhile, and did not find the handle
		f.unpark(i)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.layout.extents) > maxIdleLayout {
		i.forget()
	}
	return true
}

// take takes a handle from the parked ones. f.mu is held.
func (f *Files) take(h *Handle) {
	f.parked.Remove(h.parkedAt)
	h.parkedAt = nil
	h.i.parked = slices.DeleteFunc(h.i.parked, func(x *Handle) bool { return x == h })
}

// unpark closes all parked handles of a file. It waits for nothing.
func (f *Files) unpark(i *inode) {
	f.mu.Lock()
	list := slices.Clone(i.parked)
	for _, h := range list {
		f.take(h)
	}
	f.mu.Unlock()
	f.closeAll(list)
}

// unparkAll is unpark of every file, or of what is parked since then at most.
func (f *Files) unparkAll(since time.Time) {
	var list []*Handle
	f.mu.Lock()
	for e := f.parked.Front(); e != nil; e = f.parked.Front() {
		h := e.Value.(*Handle)
		if h.parking.since.After(since) {
			break
		}
		f.take(h)
		list = append(list, h)
	}
	f.mu.Unlock()
	f.closeAll(list)
}

// closeAll closes handles in the background: who brings the word must not wait.
func (f *Files) closeAll(list []*Handle) {
	if len(list) == 0 {
		return
	}
	f.spawn(func() {
		for _, h := range list {
			h.closeSoon()
		}
	})
}

func (h *Handle) closeSoon() {
	_ = posix.CloseSoon(h.i.f.ctx, h.ns, h.id)
	h.i.f.release(h.i)
}

// again answers a parked handle for an open, nil if there is none that may
// serve it.
func (f *Files) again(ctx context.Context, ns posix.Namespace, ino posix.Ino, flags posix.OpenFlags) (*Handle, posix.Attr) {
	if !parkable(flags) || !f.parks.Load() {
		return nil, posix.Attr{}
	}
	caller, age := posix.Promised(ctx, ns)
	if caller == nil || age <= 0 {
		return nil, posix.Attr{}
	}
	h := f.served(ino, caller, flags, f.now().Add(-age))
	if h == nil {
		return nil, posix.Attr{}
	}
	i := h.i
	i.mu.Lock()
	if h.stale() || i.stale || i.attr.Ino == 0 || h.parking.word != i.word() {
		i.mu.Unlock()
		h.closeSoon()
		return nil, posix.Attr{}
	}
	h.kept, h.shrunk, i.foreign = !i.foreign, false, false
	h.seen = i.errs.seq
	a := i.show(i.attr)
	i.mu.Unlock()
	h.reopen()
	posix.Reopened(ctx, ns, h.id)
	f.stats.reopened.Add(1)
	return h, a
}

// served takes a parked handle of a caller that was asked for after then.
func (f *Files) served(ino posix.Ino, caller any, flags posix.OpenFlags, then time.Time) *Handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.inodes[ino]
	if i == nil {
		return nil
	}
	for k := len(i.parked) - 1; k >= 0; k-- {
		if h := i.parked[k]; h.parking.caller == caller && h.flags == flags && h.parking.asked.After(then) {
			f.take(h)
			return h
		}
	}
	return nil
}

// reopen makes a handle that was closed what an open has made.
func (h *Handle) reopen() {
	h.ahead.reset()
	h.mu.Lock()
	h.closing = false
	h.mu.Unlock()
	f := h.i.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[h.id] = h
}

// hears notes that there is word of the file.
func (i *inode) hears() {
	i.words.Add(1)
	i.f.mu.Lock()
	none := len(i.parked) == 0
	i.f.mu.Unlock()
	if !none {
		i.f.unpark(i)
	}
}

func (f *Files) hears(ino posix.Ino) {
	if i := f.find(ino); i != nil {
		i.hears()
		f.release(i)
	}
}
