package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

var alice = Bond{Principal: identity.Principal{Name: "alice", Mechanism: identity.Simple}, Path: "/", Root: 1}

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(c.at.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func open(t *testing.T, e engine.Engine, c *clock, ended chan ID) *Registry {
	t.Helper()
	r, err := Open(t.Context(), Config{
		Engine: e, Timeout: 60 * time.Second, Now: c.now,
		Ended: func(_ context.Context, id ID) { ended <- id },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func start(t *testing.T, r *Registry, fence func()) (*Session, Secret) {
	t.Helper()
	s, secret, epoch, err := r.Start(t.Context(), alice, "host:/mnt", fence)
	if err != nil || epoch != 1 || !s.Current(1) {
		t.Fatalf("Start: epoch %d, %v", epoch, err)
	}
	return s, secret
}

func TestResumeFencesTheStreamBefore(t *testing.T) {
	r := open(t, mem.New(), new(clock), nil)
	fenced := 0
	s, secret := start(t, r, func() { fenced++ })
	again, epoch, err := r.Resume(t.Context(), s.ID, secret[:], alice, func() {})
	if err != nil || again != s || epoch != 2 || fenced != 1 {
		t.Fatalf("Resume: epoch %d, fenced %d, %v", epoch, fenced, err)
	}
	if s.Current(1) || !s.Current(2) {
		t.Fatal("the old epoch is still in force")
	}
	s.Detach(1) // the old stream's end is no end of the new one
	if r.Away() != 0 {
		t.Fatal("an old stream detached a new one")
	}
}

func TestResumeRefused(t *testing.T) {
	r := open(t, mem.New(), new(clock), nil)
	s, secret := start(t, r, func() {})
	bob, proven, via, elsewhere, replaced := alice, alice, alice, alice, alice
	bob.Principal.Name = "bob"
	proven.Principal.Mechanism = identity.X509
	via.Principal.Via = "gateway"
	elsewhere.Path = "/other"
	replaced.Root = 7
	for _, c := range []struct {
		name   string
		want   error
		id     ID
		secret []byte
		b      Bond
	}{
		{"unknown", ErrUnknown, s.ID + 1, secret[:], alice},
		{"wrong secret", ErrRefused, s.ID, make([]byte, 16), alice},
		{"no secret", ErrRefused, s.ID, nil, alice},
		{"another principal", ErrRefused, s.ID, secret[:], bob},
		{"proven in another way", ErrRefused, s.ID, secret[:], proven},
		{"through another", ErrRefused, s.ID, secret[:], via},
		{"for another path", ErrRefused, s.ID, secret[:], elsewhere},
		{"the path is another directory", ErrUnknown, s.ID, secret[:], replaced},
	} {
		if _, _, err := r.Resume(t.Context(), c.id, c.secret, c.b, func() {}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if !s.Current(1) {
		t.Error("a refused Resume moved the epoch")
	}
}

// TestSessionsOfBefore: a session's record of version 1 had the whole tree.
func TestSessionsOfBefore(t *testing.T) {
	e := mem.New()
	put := func(v string) {
		if err := e.Update(t.Context(), func(tx engine.Tx) error { tx.Put(key(5), []byte(v)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	hash := sha256.Sum256(make([]byte, 16))
	secret := base64.StdEncoding.EncodeToString(hash[:])
	put(`{"v":1,"secret_sha256":"` + secret + `","principal":"alice","mechanism":"SIMPLE","client":"h","since":"2026-01-01T00:00:00Z","epoch":3}`)
	r := open(t, e, new(clock), nil)
	if _, epoch, err := r.Resume(t.Context(), 5, make([]byte, 16), alice, func() {}); err != nil || epoch != 4 {
		t.Errorf("epoch %d, %v", epoch, err)
	}
	put(`{"v":3,"secret_sha256":"` + secret + `"}`)
	if _, err := Open(t.Context(), Config{Engine: e}); err == nil || !strings.Contains(err.Error(), "has version 3, this server knows 1 to 2") {
		t.Errorf("a newer record: %v", err)
	}
}

func TestSessionsOutliveTheServer(t *testing.T) {
	e, c := mem.New(), new(clock)
	first := open(t, e, c, nil)
	s, secret := start(t, first, func() {})
	if _, _, err := first.Resume(t.Context(), s.ID, secret[:], alice, func() {}); err != nil {
		t.Fatal(err)
	}
	first.Close()

	r := open(t, e, c, nil)
	if r.Away() != 1 {
		t.Fatalf("%d sessions are away, want 1", r.Away())
	}
	_, epoch, err := r.Resume(t.Context(), s.ID, secret[:], alice, func() {})
	if err != nil || epoch != 3 {
		t.Fatalf("Resume after a restart: epoch %d, %v; want 3", epoch, err)
	}
	if l := r.List(); len(l) != 1 || l[0].Principal != "alice" || !l[0].Attached || l[0].Client != "host:/mnt" {
		t.Fatalf("List = %+v", l)
	}
}

func TestAwayTooLongEnds(t *testing.T) {
	e, c, ended := mem.New(), new(clock), make(chan ID, 1)
	r, err := Open(t.Context(), Config{Engine: e, Timeout: 80 * time.Millisecond, Now: c.now,
		Ended: func(_ context.Context, id ID) { ended <- id }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s, secret := start(t, r, func() {})
	s.Detach(1)
	c.advance(time.Second)
	select {
	case id := <-ended:
		if id != s.ID {
			t.Fatalf("session %d ended, want %d", id, s.ID)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing ended")
	}
	if _, _, err := r.Resume(t.Context(), s.ID, secret[:], alice, func() {}); !errors.Is(err, ErrUnknown) {
		t.Fatalf("Resume of an ended session: %v", err)
	}
}

func TestEndFencesAndForgets(t *testing.T) {
	e, c, ended := mem.New(), new(clock), make(chan ID, 1)
	r := open(t, e, c, ended)
	fenced := false
	s, _ := start(t, r, func() { fenced = true })
	if err := r.End(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if !fenced || <-ended != s.ID || s.Current(1) {
		t.Fatal("the stream was not fenced, or nobody was told")
	}
	if err := r.End(t.Context(), s.ID); !errors.Is(err, ErrUnknown) {
		t.Fatalf("ending twice: %v", err)
	}
	r.Close()
	if n := open(t, e, c, ended).Away(); n != 0 {
		t.Fatalf("%d sessions after a restart, want none", n)
	}
}

func TestDamagedRecordIsNamed(t *testing.T) {
	for _, v := range []string{"{", `{"v":2}`, `{"v":1,"secret_sha256":"AAAA"}`} {
		e := mem.New()
		if err := e.Update(t.Context(), func(tx engine.Tx) error { tx.Put(key(7), []byte(v)); return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{Engine: e}); err == nil {
			t.Errorf("a record of %q was taken", v)
		}
	}
}

// hooked is an engine that does something else before its next Update.
type hooked struct {
	engine.Engine
	next func() error
}

func (h *hooked) Update(ctx context.Context, f func(engine.Tx) error) error {
	if next := h.next; next != nil {
		h.next = nil
		if err := next(); err != nil {
			return err
		}
	}
	return h.Engine.Update(ctx, f)
}

// TestResumeOvertaken: what comes between a Resume's decision and its record
// is neither undone nor overwritten, and a Resume that fails attaches nothing.
func TestResumeOvertaken(t *testing.T) {
	e, c := &hooked{Engine: mem.New()}, new(clock)
	ended := make(chan ID, 1)
	r := open(t, e, c, ended)
	s, secret := start(t, r, func() {})
	resume := func(r *Registry) (uint64, error) {
		_, epoch, err := r.Resume(t.Context(), s.ID, secret[:], alice, func() {})
		return epoch, err
	}
	full := errors.New("full")
	e.next = func() error { return full }
	if _, err := resume(r); !errors.Is(err, full) || r.Away() != 1 {
		t.Errorf("a Resume that can't be written: %v, %d away", err, r.Away())
	}
	e.next = func() error {
		if epoch, err := resume(r); epoch != 4 {
			t.Errorf("the second Resume: epoch %d, %v", epoch, err)
		}
		return nil
	}
	if epoch, err := resume(r); epoch != 3 || err != nil {
		t.Errorf("the first Resume: epoch %d, %v", epoch, err)
	}
	if epoch, err := resume(open(t, e, c, ended)); epoch != 5 {
		t.Errorf("after a restart: epoch %d, %v; want 5: the older record came last", epoch, err)
	}
	e.next = func() error { return r.End(t.Context(), s.ID) }
	if _, err := resume(r); !errors.Is(err, ErrUnknown) {
		t.Errorf("a Resume that an End came before: %v", err)
	}
	if n := open(t, e, c, ended).Away(); n != 0 {
		t.Errorf("%d sessions after a restart: the record of one that had ended came back", n)
	}
}
