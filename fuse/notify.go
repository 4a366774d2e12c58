package fuse

import (
	"log/slog"
	"sync"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/client/cache"
	"github.com/wardfs/wardfs/posix"
)

const (
	// maxNotices is how many notices wait at most; where there are more the
	// kernel is told to forget everything.
	maxNotices = 4096
	// echoAfter is when each notice is sent once more. An answer that was
	// ready before the notice may reach the kernel after it, and who writes
	// answers does not tell when he has.
	echoAfter = 500 * time.Millisecond
)

// notifier tells the kernel what to forget. A notice can wait inside the
// kernel for the lock of a directory whose holder waits for an answer of ours,
// so it must never be sent where a request would wait for it: all are put into
// a queue, which one goroutine of its own sends. Putting never blocks.
type notifier struct {
	kernel kernel
	log    *slog.Logger
	doubts *cache.Doubts
	all    func() []notice // what there is to forget

	mu      sync.Mutex
	wake    sync.Cond
	queue   []notice // in order of arrival
	queued  map[notice]struct{}
	sending bool // a notice is with the kernel
	ended   bool
	done    chan struct{}
}

// kernel is the library's side of the notices.
type kernel interface {
	InodeNotify(node uint64, off, length int64) raw.Status
	EntryNotify(parent uint64, name string) raw.Status
	DeleteNotify(parent, child uint64, name string) raw.Status
}

// notice is one thing to forget: name in dir if name is not empty, for good if
// ino is given; else what is cached of ino.
type notice struct {
	dir, ino   posix.Ino
	name       string
	off, len   int64
	everything bool          // all there is
	echo       bool          // it was sent before
	reached    chan struct{} // if not nil, the notice is none and this is closed
}

func newNotifier(k kernel, log *slog.Logger, doubts *cache.Doubts, all func() []notice) *notifier {
	n := &notifier{kernel: k, log: log, doubts: doubts, all: all, queued: make(map[notice]struct{}), done: make(chan struct{})}
	n.wake.L = &n.mu
	go n.send()
	return n
}

// Recall makes the kernel forget what others have changed; everything means all
// that it may believe. A name that came or went has changed its directory too.
func (n *notifier) Recall(changes []posix.Change, everything bool) {
	if everything {
		n.doubts.All()
		n.put(notice{everything: true})
		return
	}
	for _, c := range changes {
		if c.Name != "" {
			n.InvalidateEntry(c.Dir, c.Name)
			n.InvalidateInode(c.Dir, 0, 0)
		}
		if c.Ino != 0 {
			n.InvalidateInode(c.Ino, 0, 0)
		}
	}
}

// InvalidateInode makes the kernel forget the attributes of ino, and its pages
// from off on: length bytes, all for 0, none for an off below 0. A kernel that
// does not know the inode has nothing to forget. It never blocks.
func (n *notifier) InvalidateInode(ino posix.Ino, off, length int64) {
	n.doubts.Inode(ino)
	n.put(notice{ino: ino, off: off, len: length})
}

// InvalidateEntry makes the kernel look name up again in dir. It never blocks.
func (n *notifier) InvalidateEntry(dir posix.Ino, name string) {
	n.doubts.Entry(dir, name)
	n.put(notice{dir: dir, name: name})
}

// Delete tells that name, which was ino, is gone from dir: a directory that
// some process works in is cut off too. It never blocks.
func (n *notifier) Delete(dir, ino posix.Ino, name string) {
	n.doubts.Entry(dir, name)
	n.put(notice{dir: dir, ino: ino, name: name})
}

// settle returns when all that was put before has been sent. It is for the
// goroutine of a request that no notice waits for: one about a file's locks,
// which holds nothing in the kernel.
func (n *notifier) settle() {
	n.mu.Lock()
	if n.ended || len(n.queue) == 0 && !n.sending {
		n.mu.Unlock()
		return
	}
	reached := make(chan struct{})
	n.queue = append(n.queue, notice{reached: reached})
	n.wake.Signal()
	n.mu.Unlock()
	select {
	case <-reached:
	case <-n.done:
	}
}

// put queues x unless the same is waiting already. Where too many wait, all of
// them make place for one that means everything.
func (n *notifier) put(x notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, same := n.queued[x]; same || n.ended {
		return
	}
	if len(n.queue) >= maxNotices {
		x = notice{everything: true}
		rest := []notice{x}
		for _, q := range n.queue {
			if q.reached != nil {
				rest = append(rest, q)
			}
		}
		n.queue = rest
		clear(n.queued)
	} else {
		n.queue = append(n.queue, x)
	}
	n.queued[x] = struct{}{}
	n.wake.Signal()
}

// send sends until the end. What comes while a notice is being sent is queued
// anew, for the kernel may have read the old state in between.
func (n *notifier) send() {
	defer close(n.done)
	for {
		x, ok := n.next()
		if !ok {
			return
		}
		switch {
		case x.reached != nil:
			close(x.reached)
			continue
		case x.everything:
			for _, y := range n.all() {
				n.tell(y)
			}
		default:
			n.tell(x)
		}
		if !x.echo {
			x.echo = true
			time.AfterFunc(echoAfter, func() { n.put(x) })
		}
	}
}

// tell sends one notice.
func (n *notifier) tell(x notice) {
	st := raw.OK
	switch {
	case x.name == "":
		st = n.kernel.InodeNotify(uint64(x.ino), x.off, x.len)
	case x.ino == 0:
		st = n.kernel.EntryNotify(uint64(x.dir), x.name)
	default:
		st = n.kernel.DeleteNotify(uint64(x.dir), uint64(x.ino), x.name)
	}
	if st != raw.OK && st != raw.ENOENT { // unknown to the kernel: nothing was cached
		n.log.Debug("notice refused", "dir", x.dir, "ino", x.ino, "status", int(st))
	}
}

func (n *notifier) next() (notice, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sending = false
	for len(n.queue) == 0 && !n.ended {
		n.wake.Wait()
	}
	if n.ended {
		return notice{}, false
	}
	n.sending = true
	x := n.queue[0]
	n.queue = n.queue[1:]
	delete(n.queued, x)
	return x, true
}

// stop drops what waits and returns when nothing is sent any more. The kernel
// must have let go of the mount, so that no notice can be stuck in it.
func (n *notifier) stop() {
	n.mu.Lock()
	n.ended, n.queue = true, nil
	n.wake.Signal()
	n.mu.Unlock()
	<-n.done
}
