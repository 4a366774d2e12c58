package fuse

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/client/cache"
)

// gatedKernel is a kernel whose locks are held: each notice waits until the
// test lets it through.
type gatedKernel struct {
	entered chan string
	gate    chan struct{}
}

func (k *gatedKernel) take(s string) raw.Status {
	k.entered <- s
	<-k.gate
	return raw.OK
}

func (k *gatedKernel) InodeNotify(node uint64, off, length int64) raw.Status {
	return k.take(fmt.Sprintf("inode %d %d+%d", node, off, length))
}

func (k *gatedKernel) EntryNotify(parent uint64, name string) raw.Status {
	return k.take(fmt.Sprintf("entry %d %s", parent, name))
}

func (k *gatedKernel) DeleteNotify(parent, child uint64, name string) raw.Status {
	return k.take(fmt.Sprintf("delete %d %d %s", parent, child, name))
}

// TestNotifier sees that putting never waits for the kernel, that the same
// notice waits only once, but comes again if it came while being sent, and
// that a full queue becomes a notice of everything.
func TestNotifier(t *testing.T) {
	k := &gatedKernel{entered: make(chan string), gate: make(chan struct{})}
	var doubts cache.Doubts
	all := func() []notice { return []notice{{dir: 5, name: "b"}, {ino: 6}} }
	n := newNotifier(k, slog.New(slog.DiscardHandler), &doubts, all)
	expect := func(want string) {
		t.Helper()
		if got := <-k.entered; got != want {
			t.Errorf("the kernel got %q, want %q", got, want)
		}
	}
	mark := doubts.Mark()
	n.InvalidateInode(7, 0, 0)
	if !doubts.InodeSince(mark, 7) {
		t.Error("no doubt about what was recalled")
	}
	expect("inode 7 0+0")
	n.InvalidateInode(7, 0, 0) // while it is being sent: again
	n.InvalidateEntry(1, "a")
	n.InvalidateEntry(1, "a")
	n.Delete(1, 9, "a")
	k.gate <- struct{}{}
	for _, want := range []string{"inode 7 0+0", "entry 1 a", "delete 1 9 a"} {
		expect(want)
		if want == "delete 1 9 a" {
			break
		}
		k.gate <- struct{}{}
	}
	settled := make(chan struct{})
	go func() { n.settle(); close(settled) }()
	for waiting := false; !waiting; { // until settle is in the queue
		n.mu.Lock()
		waiting = len(n.queue) > 0
		n.mu.Unlock()
		runtime.Gosched()
	}
	for i := range maxNotices {
		n.InvalidateEntry(2, fmt.Sprint(i))
	}
	k.gate <- struct{}{}
	expect("entry 5 b")
	k.gate <- struct{}{}
	expect("inode 6 0+0")
	k.gate <- struct{}{}
	<-settled
	stopped := make(chan struct{})
	go func() { n.stop(); close(stopped) }()
	for running := true; running; { // the kernel lets all through
		select {
		case <-k.entered:
		case k.gate <- struct{}{}:
		case <-stopped:
			running = false
		}
	}
	n.InvalidateEntry(3, "late") // nobody caches any more
}
