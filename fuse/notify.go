package fuse

import (
	"log/slog"
	"sync"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// maxNotices is how many notices wait at most.
const maxNotices = 4096

// notifier tells the kernel what to forget. A notice can wait inside the
// kernel for the lock of a directory whose holder waits for an answer of ours,
// so it must never be sent where a request would wait for it: all are put into
// a queue, which one goroutine of its own sends. Putting never blocks.
type notifier struct {
	kernel kernel
	log    *slog.Logger

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
	dir, ino posix.Ino
	name     string
	off, len int64
	reached  chan struct{} // if not nil, the notice is none and this is closed
}

func newNotifier(k kernel, log *slog.Logger) *notifier {
	n := &notifier{kernel: k, log: log, queued: make(map[notice]struct{}), done: make(chan struct{})}
	n.wake.L = &n.mu
	go n.send()
	return n
}

// InvalidateInode makes the kernel forget the attributes of ino, and its pages
// from off on: length bytes, all for 0, none for an off below 0. A kernel that
// does not know the inode has nothing to forget.
//
// It never blocks. It answers false when too many notices wait already: this
// one is dropped, and the kernel goes on believing what it has until its
// timeouts end and, of pages, until the file is opened again.
func (n *notifier) InvalidateInode(ino posix.Ino, off, length int64) bool {
	return n.put(notice{ino: ino, off: off, len: length})
}

// InvalidateEntry makes the kernel look name up again in dir. It answers as
// InvalidateInode does.
func (n *notifier) InvalidateEntry(dir posix.Ino, name string) bool {
	return n.put(notice{dir: dir, name: name})
}

// Delete tells that name, which was ino, is gone from dir: a directory that
// some process works in is cut off too. It answers as InvalidateInode does.
func (n *notifier) Delete(dir, ino posix.Ino, name string) bool {
	return n.put(notice{dir: dir, ino: ino, name: name})
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

// put queues x unless the same is waiting already.
func (n *notifier) put(x notice) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, same := n.queued[x]; same {
		return true
	}
	if n.ended || len(n.queue) >= maxNotices {
		return n.ended // after the end there is nobody to be told
	}
	n.queue = append(n.queue, x)
	n.queued[x] = struct{}{}
	n.wake.Signal()
	return true
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
		st := raw.OK
		switch {
		case x.reached != nil:
			close(x.reached)
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
