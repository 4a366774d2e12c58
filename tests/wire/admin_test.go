package wire

import (
	"context"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/audit"
)

// A superuser sees who is there and can end a session, for good.
func TestSessionsAndEvict(t *testing.T) {
	h, read := audited(t, audit.Config{})
	c := h.config()
	c.Name = "victim"
	victim, err := client.Connect(t.Context(), c)
	must(t, err)
	defer victim.Close(context.Background())
	f, _, err := victim.Files().Create(t.Context(), victim.As(root), posix.RootIno, "f", 0o600, 0, posix.OpenWrite)
	must(t, err)
	admin := h.connect()
	find := func() (found []remote.Session) {
		all, err := admin.Sessions(t.Context())
		must(t, err)
		for _, s := range all {
			if s.Client == "victim" {
				found = append(found, s)
			}
		}
		return found
	}
	seen := find()
	if len(seen) != 1 || seen[0].Principal != "root" || seen[0].Mechanism != identity.X509 || seen[0].Handles != 1 || seen[0].Epoch != 1 ||
		!strings.HasPrefix(seen[0].Peer, "127.0.0.1:") || seen[0].Path != "/" || seen[0].Since.IsZero() {
		t.Fatalf("got %+v", seen)
	}
	if err := admin.Evict(t.Context(), seen[0].ID); err != nil {
		t.Fatal(err)
	}
	if len(find()) != 0 {
		t.Error("the session is still there")
	}
	if _, err := f.Write(t.Context(), []byte("late"), 0); err == nil {
		err = f.Sync(t.Context())
		if err == nil {
			t.Error("an evicted mount wrote")
		}
	}
	if err := admin.Evict(t.Context(), seen[0].ID); posix.ErrnoOf(err) != posix.ENOENT {
		t.Errorf("once more: %v", err)
	}
	own, err := admin.Sessions(t.Context())
	must(t, err)
	for _, s := range own {
		if s.Client == t.Name() {
			if err := admin.Evict(t.Context(), s.ID); posix.ErrnoOf(err) != posix.EINVAL {
				t.Errorf("itself: %v", err)
			}
		}
	}
	admin.Close(t.Context())
	found := false
	for _, x := range read() {
		found = found || x.Cmd == "evict" && x.Succeeded && strings.HasPrefix(x.Src, "session:")
	}
	if !found {
		t.Error("the eviction is not in the audit log")
	}
}

// Nobody else does, whatever it states.
func TestSessionsAreNoUsersBusiness(t *testing.T) {
	h := newHouse(t)
	admin := h.connect()
	all, err := admin.Sessions(t.Context())
	must(t, err)
	c := h.config()
	c.Mechanism, c.Trusted, c.User = identity.Simple, false, "root" // a stated name is no proof
	m, err := client.Connect(t.Context(), c)
	must(t, err)
	defer m.Close(context.Background())
	if _, err := m.Sessions(t.Context()); posix.ErrnoOf(err) != posix.EPERM {
		t.Errorf("sessions: %v", err)
	}
	if err := m.Evict(t.Context(), all[0].ID); posix.ErrnoOf(err) != posix.EPERM {
		t.Errorf("evict: %v", err)
	}
}
