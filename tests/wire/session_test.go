package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
)

// Every connection is cut again and again while many callers make and remove
// entries: each operation happens exactly once, so each answer must be that of
// a tree that was never disturbed.
func TestCutsApplyOnce(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	disturb(t, m, 5*time.Second, 150*time.Millisecond, h.proxy.cut)
}

// The same with the server restarted over its stores instead.
func TestRestartsApplyOnce(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	disturb(t, m, 5*time.Second, 400*time.Millisecond, func() {
		h.proxy.cut()
		h.stop()
		h.start()
	})
}

func disturb(t *testing.T, m *client.Mount, d, every time.Duration, trouble func()) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var workers sync.WaitGroup
	var did atomic.Int64
	for w := range 8 {
		workers.Go(func() {
			fs := m.As(root)
			dir, err := fs.Mkdir(t.Context(), posix.RootIno, fmt.Sprint("w", w), 0o777, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprint("f", i)
				steps := []func() error{
					func() error { _, err := fs.Mkdir(t.Context(), dir.Ino, name, 0o777, 0); return err },
					func() error { return fs.Rename(t.Context(), dir.Ino, name, dir.Ino, name+"r", posix.RenameNoReplace) },
					func() error { return fs.Rmdir(t.Context(), dir.Ino, name+"r") },
					func() error { _, err := fs.Lookup(t.Context(), dir.Ino, name+"r"); return want(err, posix.ENOENT) },
				}
				for s, step := range steps {
					if err := step(); err != nil {
						t.Errorf("worker %d, round %d, step %d: %v", w, i, s, err)
						return
					}
					did.Add(1)
				}
			}
		})
	}
	troubles := 0
	for ctx.Err() == nil {
		time.Sleep(every/2 + time.Duration(rand.Int63n(int64(every)))) // the trouble's rhythm, not a wait for anything
		trouble()
		troubles++
	}
	workers.Wait()
	if did.Load() < 50 || m.Status().Session.Streams < 3 {
		t.Errorf("only %d operations and %d streams in %d troubles: nothing was tested", did.Load(), m.Status().Session.Streams, troubles)
	}
	t.Logf("%d operations over %d streams, %d troubles", did.Load(), m.Status().Session.Streams, troubles)
}

func want(err error, errno posix.Errno) error {
	if errors.Is(err, errno) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", err, errno)
}

// An open file stays open over a restart of the server, also one without a
// name, and what was not yet written is written then.
func TestOpenFilesOutliveTheServer(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	ctx := t.Context()
	fs := m.As(root)
	f, a, err := m.Files().Create(ctx, fs, posix.RootIno, "f", 0o600, 0, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	data := bytes.Repeat([]byte("wardfs "), 100_000)
	_, err = f.Write(ctx, data, 0)
	must(t, err)
	must(t, f.Sync(ctx))
	must(t, fs.Unlink(ctx, posix.RootIno, "f"))
	_, err = f.Write(ctx, []byte("more"), uint64(len(data)))
	must(t, err)
	h.stop()
	h.start()
	must(t, f.Sync(ctx))
	got := make([]byte, len(data)+10)
	n, err := f.Read(ctx, got, 0)
	if err != nil || string(got[:n]) != string(data)+"more" {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	must(t, f.Close(ctx))
	if _, err := fs.Getattr(ctx, a.Ino); err == nil {
		// It goes in the background, once the grace period is over.
		t.Log("the inode is still there, as it may be")
	}
}

// Two mounts at once: what one closes, the other opens.
func TestCloseToOpen(t *testing.T) {
	h := newHouse(t)
	a, b := h.connect(), h.connect()
	ctx := t.Context()
	for i := range 20 {
		text := fmt.Sprintf("version %d, %s", i, bytes.Repeat([]byte("x"), i*1000))
		f, attr, err := a.Files().Create(ctx, a.As(root), posix.RootIno, "f", 0o600, 0, posix.OpenWrite|posix.OpenTrunc)
		must(t, err)
		_, err = f.Write(ctx, []byte(text), 0)
		must(t, err)
		must(t, f.Flush(ctx))
		must(t, f.Close(ctx))

		g, attr, err := b.Files().Open(ctx, b.As(root), attr.Ino, posix.OpenRead)
		must(t, err)
		got := make([]byte, len(text)+100)
		n, err := g.Read(ctx, got, 0)
		if err != nil || string(got[:n]) != text || attr.Size != uint64(len(text)) {
			t.Fatalf("round %d: %d bytes of %d, %v", i, n, len(text), err)
		}
		must(t, g.Close(ctx))
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name  string
		want  string
		alter func(*client.Config)
	}{
		{"SIMPLE may not state callers", "may not state its callers", func(c *client.Config) { c.Mechanism, c.User = identity.Simple, "root" }},
		{"no account", "has no account", func(c *client.Config) { c.Mechanism, c.User, c.Trusted = identity.Simple, "alice", false }},
		{"a name that is none", "white space", func(c *client.Config) { c.Mechanism, c.User, c.Trusted = identity.Simple, "a b", false }},
	} {
		conf := h.config()
		c.alter(&conf)
		m, err := client.Connect(t.Context(), conf)
		if err == nil {
			m.Close(t.Context())
		}
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A call that waits for a server that is gone ends with its context, and on a
// soft mount by itself.
func TestWaitingEnds(t *testing.T) {
	h := newHouse(t)
	hard := h.connect()
	conf := h.config()
	conf.Soft, conf.Timeout = true, 200*time.Millisecond
	soft, err := client.Connect(t.Context(), conf)
	must(t, err)
	defer soft.Close(t.Context())
	h.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := hard.As(root).Getattr(ctx, posix.RootIno); posix.ErrnoOf(err) != posix.ETIMEDOUT {
		t.Errorf("a hard mount past its context's deadline: %v", err)
	}
	if _, err := soft.As(root).Getattr(t.Context(), posix.RootIno); posix.ErrnoOf(err) != posix.ETIMEDOUT {
		t.Errorf("a soft mount: %v", err)
	}
	h.start()
	if _, err := hard.As(root).Getattr(t.Context(), posix.RootIno); err != nil {
		t.Errorf("after the server came back: %v", err)
	}
}

// A session that the server has ended is lost: what was open is stale and says
// so, and what is opened afterwards works.
func TestLostSession(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	ctx := t.Context()
	fs := m.As(root)
	f, a, err := m.Files().Create(ctx, fs, posix.RootIno, "f", 0o600, 0, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	_, err = f.Write(ctx, []byte("never committed"), 0)
	must(t, err)
	h.stop()
	h.forgetSessions()
	h.start()
	if err := f.Sync(ctx); err == nil {
		t.Error("what was lost with its session was synced")
	}
	if err := f.Close(ctx); err != nil {
		t.Logf("closing what is stale: %v", err)
	}
	g, a, err := m.Files().Open(ctx, fs, a.Ino, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	if a.Size != 0 {
		t.Errorf("%d bytes are there that were never committed", a.Size)
	}
	_, err = g.Write(ctx, []byte("new"), 0)
	must(t, err)
	must(t, g.Sync(ctx))
	must(t, g.Close(ctx))
}
