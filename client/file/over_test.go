package file

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// TestOver: what is buffered shows in every attribute.
func TestOver(t *testing.T) {
	now := time.Unix(1000, 5)
	r := newRig(t, Config{Now: func() time.Time { return now }})
	ns, ctx := r.Over(r.tree), t.Context()
	h := r.create("f", readWrite)
	r.write(h, make([]byte, 100), 900)
	look := func(what string, a posix.Attr, err error) {
		t.Helper()
		if err != nil || a.Size != 1000 || a.Mtime != posix.TimeOf(now) || a.Alloc != 100 || a.Ctime.Before(a.Mtime) {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
	a, err := ns.Getattr(ctx, h.Ino())
	look("getattr", a, err)
	a, err = ns.Lookup(ctx, posix.RootIno, "f")
	look("lookup", a, err)
	list, err := ns.Readdir(ctx, posix.RootIno, 0, 0, 10, true)
	look("readdir", list[0].Attr, err)
	list, err = ns.Readdir(ctx, posix.RootIno, 0, 0, 10, false)
	if err != nil || list[0].Attr.Size != 0 {
		t.Error("readdir without attributes was touched", list, err)
	}
	list, err = ns.Readdir(ctx, posix.RootIno, 0, 0, 10, true)
	look("readdir by handle", list[0].Attr, err)
	h2, a, err := r.Open(ctx, r.tree, h.Ino(), posix.OpenRead)
	look("open", a, err)
	o, err := ns.Open(ctx, h.Ino(), 1000, posix.OpenRead)
	look("Over.Open", o.Attr, err)
	r.close(h2)
	r.close(h)
	a, err = ns.Getattr(ctx, h.Ino())
	a.Ctime = a.Mtime // the server's clock is another
	look("after close", a, err)
}

// TestTimesStay: the time that was set last wins, whatever was buffered before.
func TestTimesStay(t *testing.T) {
	r := newRig(t, Config{})
	ns, ctx := r.Over(r.tree), t.Context()
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	want := posix.Time{Sec: 12345}
	a, err := ns.Setattr(ctx, h.Ino(), posix.SetAttr{Set: posix.SetMtime, Mtime: want})
	if err != nil || a.Mtime != want || a.Size != 5 {
		t.Fatal(a, err)
	}
	r.close(h)
	if got := r.tree.files[h.Ino()].attr.Mtime; got != want {
		t.Fatal("closed with", got)
	}

	// The same where the data could not be committed before.
	h = r.open(h.Ino(), readWrite)
	r.write(h, []byte("world"), 5)
	fault, on := failing("put", posix.E("put", posix.ENOSPC, nil))
	r.blocks.setFault(fault)
	if a, err = ns.Setattr(ctx, h.Ino(), posix.SetAttr{Set: posix.SetMtime, Mtime: want}); err != nil || a.Mtime != want || a.Size != 10 {
		t.Fatal(a, err)
	}
	on.Store(false)
	wantErrno(t, posix.ENOSPC, h.Sync(ctx))
	if got := r.tree.files[h.Ino()].attr; got.Mtime != want || got.Size != 10 {
		t.Fatal("committed with", got)
	}
	r.close(h)
}

// TestTruncateAmongCommits: a truncation waits for the commit under way, so
// that it comes after it on the server too.
func TestTruncateAmongCommits(t *testing.T) {
	r := newRig(t, Config{})
	ns, ctx := r.Over(r.tree), t.Context()
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	reached, free := make(chan bool), make(chan bool)
	var once sync.Once
	r.tree.setFault(func(op string) error {
		if op == "commit" {
			once.Do(func() { close(reached); <-free })
		}
		return nil
	})
	synced, cut := make(chan error), make(chan error)
	go func() { synced <- h.Sync(ctx) }()
	<-reached
	go func() {
		_, err := ns.Setattr(ctx, h.Ino(), posix.SetAttr{Set: posix.SetSize, Size: 2})
		cut <- err
	}()
	select {
	case <-cut:
		t.Error("truncated in the middle of a commit")
	case <-time.After(20 * time.Millisecond):
	}
	close(free)
	wantErrno(t, 0, <-synced)
	wantErrno(t, 0, <-cut)
	if a, err := ns.Setattr(ctx, h.Ino(), posix.SetAttr{Set: posix.SetSize, Size: 4}); err != nil || a.Size != 4 {
		t.Fatal(a, err)
	}
	r.reads(h, []byte("he\x00\x00"), 0)
	r.close(h)
	r.stored(h.Ino(), []byte("he\x00\x00"))
}

// TestRefusedTruncate: what is dirty stays as it was.
func TestRefusedTruncate(t *testing.T) {
	r := newRig(t, Config{})
	ns := r.Over(r.tree)
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	r.tree.setFault(func(op string) error {
		if op == "setattr" {
			return posix.E(op, posix.EPERM, nil)
		}
		return nil
	})
	_, err := ns.Setattr(t.Context(), h.Ino(), posix.SetAttr{Set: posix.SetSize})
	wantErrno(t, posix.EPERM, err)
	r.reads(h, []byte("hello"), 0)
	r.close(h)
	r.stored(h.Ino(), []byte("hello"))
}

// TestLateAnswer: attributes from before a commit, which arrive after it, and
// even after the close, are not believed.
func TestLateAnswer(t *testing.T) {
	r := newRig(t, Config{})
	late := &lateTree{fakeTree: r.tree, asked: make(chan bool), free: make(chan bool)}
	ns := r.Over(late)
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	for range maxIdle { // so that the file would be forgotten otherwise
		r.release(r.hold(posix.Ino(r.clock + 1000)))
	}
	got := make(chan posix.Attr)
	go func() {
		a, _ := ns.Lookup(t.Context(), posix.RootIno, "f")
		got <- a
	}()
	<-late.asked
	r.close(h)
	for range 2 * maxIdle {
		r.release(r.hold(posix.Ino(r.clock + 1000)))
	}
	close(late.free)
	if a := <-got; a.Size != 5 {
		t.Errorf("size %d, want 5", a.Size)
	}
	if n := len(r.inodes); n > maxIdle {
		t.Errorf("%d files are remembered", n)
	}
}

// lateTree answers one lookup or open with what was true some time ago.
type lateTree struct {
	*fakeTree
	asked, free chan bool
}

func (t *lateTree) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	a, err := t.fakeTree.Lookup(ctx, dir, name)
	close(t.asked)
	<-t.free
	return a, err
}

func (t *lateTree) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	o, err := t.fakeTree.Open(ctx, ino, h, flags)
	close(t.asked)
	<-t.free
	return o, err
}

// TestCreateTrunc: a create that finds the file with dirty bytes drops them.
func TestCreateTrunc(t *testing.T) {
	r := newRig(t, Config{})
	a := r.create("f", readWrite)
	r.write(a, []byte("hello"), 0)
	b := r.create("f", readWrite|posix.OpenTrunc)
	r.write(b, []byte("x"), 1)
	r.reads(a, []byte("\x00x"), 0)
	r.close(a)
	r.close(b)
	r.stored(a.Ino(), []byte("\x00x"))
}

// TestKept: the page cache is true after this client's own writes, and not
// after another's.
func TestKept(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	r.close(h)
	h = r.open(h.Ino(), readWrite)
	if !h.Kept() {
		t.Error("our own write was taken for another's")
	}
	r.close(h)
	other := r.other()
	defer other.Shutdown(t.Context())
	h2, _, err := other.Open(t.Context(), r.tree, h.Ino(), readWrite)
	if err != nil {
		t.Fatal(err)
	}
	h2.Write(t.Context(), []byte("world!"), 0)
	wantErrno(t, 0, h2.Close(t.Context()))
	h = r.open(h.Ino(), readWrite)
	if h.Kept() {
		t.Error("another's write went unnoticed")
	}
	r.reads(h, []byte("world!"), 0)
	r.close(h)
}
