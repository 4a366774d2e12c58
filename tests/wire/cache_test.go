package wire

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/posix"
)

// believer is a mount that would believe what it knows for an hour.
func (h *house) believer() *client.Mount {
	h.t.Helper()
	c := h.config()
	c.Age = time.Hour
	m, err := client.Connect(h.t.Context(), c)
	must(h.t, err)
	h.t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// until asks again and again, as long as the test may last.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		if t.Context().Err() != nil {
			t.Fatal(what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestRecallReachesCache changes on one mount what another would believe for
// an hour.
func TestRecallReachesCache(t *testing.T) {
	h := newHouse(t)
	a, b := h.believer().As(root), h.connect().As(root)
	ctx := t.Context()
	d, err := a.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)
	_, err = b.Setattr(ctx, d.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o700})
	must(t, err)
	until(t, "the mode", func() bool {
		got, err := a.Lookup(ctx, posix.RootIno, "d")
		must(t, err)
		return got.Mode.Perm() == 0o700
	})
	must(t, b.Rename(ctx, posix.RootIno, "d", posix.RootIno, "e", 0))
	until(t, "the rename", func() bool {
		_, err := a.Lookup(ctx, posix.RootIno, "d")
		return posix.ErrnoOf(err) == posix.ENOENT
	})
	got, err := a.Lookup(ctx, posix.RootIno, "e")
	must(t, err)
	if got.Ino != d.Ino {
		t.Errorf("e is %d, want %d", got.Ino, d.Ino)
	}
}

// TestCutForgets changes things while a mount can't be told.
func TestCutForgets(t *testing.T) {
	h := newHouse(t)
	m := h.believer()
	all := make(chan bool, 64)
	m.OnRecall(func(_ []posix.Change, everything bool) { all <- everything })
	away := h.config()
	away.Servers = []string{h.direct}
	other, err := client.Connect(t.Context(), away)
	must(t, err)
	defer other.Close(context.Background())
	a, b := m.As(root), other.As(root)
	ctx := t.Context()
	d, err := a.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)

	h.proxy.to("127.0.0.1:1") // nobody is there
	h.proxy.cut()
	for everything := false; !everything; {
		everything = <-all
	}
	_, err = b.Setattr(ctx, d.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o700})
	must(t, err)
	h.proxy.to(h.direct)
	got, err := a.Getattr(ctx, d.Ino)
	must(t, err)
	if got.Mode.Perm() != 0o700 {
		t.Errorf("mode %o: what was changed while the mount was away", got.Mode)
	}
}

// TestRecallComesBeforeAnswers: whoever has heard anything from the server has
// heard of all that was changed before.
func TestRecallComesBeforeAnswers(t *testing.T) {
	h := newHouse(t)
	a, b := h.believer().As(root), h.connect().As(root)
	ctx := t.Context()
	d, err := a.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)
	for mode := range posix.Mode(200) {
		_, err = b.Setattr(ctx, d.Ino, posix.SetAttr{Set: posix.SetMode, Mode: mode})
		must(t, err)
		_, err := a.Statfs(ctx, posix.RootIno)
		must(t, err)
		got, err := a.Getattr(ctx, d.Ino)
		must(t, err)
		if got.Mode.Perm() != mode {
			t.Fatalf("mode %o after an answer of the server, want %o", got.Mode.Perm(), mode)
		}
	}
}

// TestCloseSoon closes many handles at once, and each of them.
func TestCloseSoon(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	fs := m.As(root)
	ctx := t.Context()
	const many = 1000
	for i := range posix.Handle(many) {
		_, err := fs.Open(ctx, posix.RootIno, i+1, posix.OpenRead|posix.OpenDir)
		must(t, err)
	}
	if n := m.Status().Session.Handles; n != many {
		t.Fatalf("%d handles", n)
	}
	for i := range posix.Handle(many) {
		must(t, posix.CloseSoon(ctx, fs, i+1))
	}
	until(t, "the end of all handles", func() bool { return m.Status().Session.Handles == 0 })
	for i := range posix.Handle(many) {
		if _, err := fs.Readdir(ctx, posix.RootIno, i+1, 0, 10, false); posix.ErrnoOf(err) != posix.EBADF {
			t.Fatalf("handle %d: %v", i+1, err)
		}
	}
}
