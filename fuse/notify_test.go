package fuse

import (
	"fmt"
	"log/slog"
	"testing"

	raw "github.com/hanwen/go-fuse/v2/fuse"
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
// that a full queue says so.
func TestNotifier(t *testing.T) {
	k := &gatedKernel{entered: make(chan string), gate: make(chan struct{})}
	n := newNotifier(k, slog.New(slog.DiscardHandler))
	expect := func(want string) {
		t.Helper()
		if got := <-k.entered; got != want {
			t.Errorf("the kernel got %q, want %q", got, want)
		}
	}
	if !n.InvalidateInode(7, 0, 0) {
		t.Error("refused at an empty queue")
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
	for i := range maxNotices {
		if !n.InvalidateEntry(2, fmt.Sprint(i)) {
			t.Fatalf("full at %d", i)
		}
	}
	if n.InvalidateEntry(2, "one more") {
		t.Error("a full queue took one more")
	}
	if !n.InvalidateEntry(2, "0") {
		t.Error("what waits already was refused")
	}
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
	if !n.InvalidateEntry(3, "late") {
		t.Error("refused after the end, when nobody caches any more")
	}
}
