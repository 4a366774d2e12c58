package wire

import (
	"context"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/audit"
)

var plain = posix.Cred{UID: 1000, GID: 1000}

// parking is a mount whose handles serve again, as those below a kernel do.
func parking(h *house) *client.Mount {
	m := h.connect()
	m.Files().Park()
	return m
}

func open(t *testing.T, m *client.Mount, as posix.Cred, ino posix.Ino) *file.Handle {
	t.Helper()
	f, _, err := m.Files().Open(t.Context(), m.As(as), ino, posix.OpenRead)
	must(t, err)
	return f
}

// reopens opens and closes the file as a caller, and reports whether the server
// was not asked.
func reopens(t *testing.T, m *client.Mount, as posix.Cred, ino posix.Ino) bool {
	t.Helper()
	before := m.Status().Files.Reopened
	must(t, open(t, m, as, ino).Close(t.Context()))
	return m.Status().Files.Reopened > before
}

// soon waits until something is so.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for start := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("never:", what)
		}
	}
}

func overwrite(t *testing.T, m *client.Mount, ino posix.Ino, data []byte) {
	t.Helper()
	f, _, err := m.Files().Open(t.Context(), m.As(root), ino, posix.OpenWrite|posix.OpenTrunc)
	must(t, err)
	_, err = f.Write(t.Context(), data, 0)
	must(t, err)
	must(t, f.Close(t.Context()))
}

// An open serves the next of the same caller; what anybody changes of the file
// ends that before he has his answer, whether or not the caller still may.
func TestReopen(t *testing.T) {
	h := newHouse(t)
	a, b := parking(h), h.connect()
	ino := made(t, b, "f", []byte("old"))
	set := func(m *client.Mount, mode posix.Mode) {
		t.Helper()
		_, err := m.Files().Over(m.As(root)).Setattr(t.Context(), ino, posix.SetAttr{Set: posix.SetMode, Mode: mode})
		must(t, err)
	}
	set(b, 0o644)
	want := func(what string, as posix.Cred, want bool) {
		t.Helper()
		if got := reopens(t, a, as, ino); got != want {
			t.Errorf("%s: answered here: %v, want %v", what, got, want)
		}
	}
	want("the first", root, false)
	// Of b's chmod nobody was promised word, so that it may come after the first.
	soon(t, "an open served by another", func() bool { return reopens(t, a, root, ino) })
	want("another caller's first", plain, false)
	want("his second", plain, true)

	overwrite(t, b, ino, []byte("new!"))
	f := open(t, a, plain, ino)
	same(t, "after an overwriting elsewhere", f, []byte("new!"))
	must(t, f.Close(t.Context()))
	soon(t, "once more", func() bool { return reopens(t, a, plain, ino) })

	for _, m := range []*client.Mount{b, a} {
		set(m, 0)
		if _, _, err := a.Files().Open(t.Context(), a.As(plain), ino, posix.OpenRead); posix.ErrnoOf(err) != posix.EACCES {
			t.Errorf("after a chmod: %v, want EACCES", err)
		}
		set(m, 0o644)
		want("after the chmod back", plain, false)
		soon(t, "an open served by another", func() bool { return reopens(t, a, plain, ino) })
	}

	f = open(t, a, plain, ino) // by the promise
	set(b, 0)
	same(t, "open before the chmod", f, []byte("new!"))
	must(t, b.As(root).Unlink(t.Context(), posix.RootIno, "f"))
	same(t, "open before the unlink", f, []byte("new!"))
	must(t, f.Close(t.Context()))
	soon(t, "the end of what was unlinked, after its last close", func() bool {
		_, err := a.As(root).Getattr(t.Context(), ino)
		return posix.ErrnoOf(err) == posix.ESTALE
	})
}

// A server that is restarted, and one that has forgotten the session, know
// nothing of parked handles, and no open is answered out of them.
func TestReopenAfterRestart(t *testing.T) {
	h := newHouse(t)
	a := parking(h)
	ino := made(t, a, "f", []byte("bytes"))
	reopens(t, a, root, ino)
	f := open(t, a, root, ino)
	h.stop()
	h.start()
	same(t, "opened by the promise of a server that is gone", f, []byte("bytes"))
	must(t, f.Close(t.Context()))
	if reopens(t, a, root, ino) {
		t.Error("the first open after a restart was not asked")
	}
	if !reopens(t, a, root, ino) {
		t.Error("the second one was")
	}
	handles := func() int { return a.Status().Session.Handles }
	soon(t, "only the parked handle is open", func() bool { return handles() == 1 })
	a.Files().Forget(ino)
	soon(t, "a file that the kernel has forgotten is closed", func() bool { return handles() == 0 })
}

// promised is a peer that has been promised word of a file.
func promised(h *house, ino posix.Ino) *peer {
	hello := trustedHello()
	hello.Recalled = true
	p := newPeer(h, hello)
	if p.w.GetPromiseMs() == 0 {
		h.t.Fatal("the server promises nothing")
	}
	r := p.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Open{Open: &proto.Open{
		Ino: uint64(ino), Handle: 1, Flags: uint32(posix.OpenRead)}}})
	must(h.t, proto.Failure("open", r.GetErrno(), r.GetMessage()))
	return p
}

// Who changes a file has his answer when the mount that was promised word says
// that it has it, and not before.
func TestPromiseIsKept(t *testing.T) {
	h := newHouse(t)
	h.term = time.Hour
	h.stop()
	h.start()
	b := h.connect()
	ino := made(t, b, "f", []byte("old"))
	p := promised(h, ino)
	done := make(chan error, 1)
	go func() {
		_, err := b.As(root).Setattr(context.Background(), ino, posix.SetAttr{Set: posix.SetMode, Mode: 0})
		done <- err
	}()
	told := false
	for {
		m := new(proto.ToClient)
		must(t, p.st.RecvMsg(m))
		for _, c := range m.GetRecall().GetChanges() {
			told = told || posix.Ino(c.GetIno()) == ino
		}
		if m.GetRecall() == nil || m.Id == 0 {
			continue
		}
		if !told {
			t.Error("asked whether it has heard, and was not told of the file")
		}
		must(t, p.st.SendMsg(&proto.ToServer{Id: m.Id + 1, Body: &proto.ToServer_Recalled{Recalled: &proto.Recalled{}}}))
		select {
		case err := <-done:
			// What was not asked is taken for the newest that was: all before is heard.
			must(t, err)
			return
		case <-time.After(20 * time.Second):
			t.Fatal("no answer though the word was heard")
		}
	}
}

// A mount that does not say so holds others up for a while, and its stream is
// ended; then it is not waited for any more.
func TestPromiseLapses(t *testing.T) {
	h := newHouse(t)
	h.term = 300 * time.Millisecond
	h.stop()
	h.start()
	b := h.connect()
	ino := made(t, b, "f", []byte("old"))
	p := promised(h, ino)
	start := time.Now()
	_, err := b.As(root).Setattr(t.Context(), ino, posix.SetAttr{Set: posix.SetMode, Mode: 0})
	must(t, err)
	if took := time.Since(start); took < h.term {
		t.Errorf("answered after %v, within the term of a mount that said nothing", took)
	}
	for p.st.RecvMsg(new(proto.ToClient)) == nil {
	}
}

// An open that the server was not asked for is written down: who, what and when.
func TestReopenIsAudited(t *testing.T) {
	h, read := audited(t, audit.Config{Operations: []string{"open"}})
	a := parking(h)
	ino := made(t, a, "f", []byte("bytes"))
	_, err := a.Files().Over(a.As(root)).Setattr(t.Context(), ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o644})
	must(t, err)
	if reopens(t, a, plain, ino) || !reopens(t, a, plain, ino) || !reopens(t, a, plain, ino) {
		t.Error("want one open that was asked for and two that were not")
	}
	a.Files().Forget(ino) // what is closed is told before
	soon(t, "the close", func() bool { return a.Status().Session.Handles == 0 })
	again := 0
	for _, l := range read() {
		if l.Cmd != "open" || l.Src != "/f" || l.UID != "1000" || !l.Succeeded {
			t.Errorf("%+v", l)
		}
		if l.Dst == "again" {
			again++
		}
	}
	if again != 2 {
		t.Errorf("%d opens are said to have been served, want 2", again)
	}
}
