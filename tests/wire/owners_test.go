package wire

import (
	"context"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
)

// anybody lets every principal in, as 1000.
func anybody(h *house) {
	h.auth.Resolve = func(context.Context, identity.Principal) (posix.Cred, error) {
		return posix.Cred{UID: 1000, GID: 1000}, nil
	}
	h.stop()
	h.start()
}

// simply is a mount that has stated a name and proven none.
func (h *house) simply(name string) *client.Mount {
	h.t.Helper()
	c := h.config()
	c.Mechanism, c.User, c.Trusted = identity.Simple, name, false
	m, err := client.Connect(h.t.Context(), c)
	must(h.t, err)
	h.t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// Names get their ids from trusted sessions; others ask and make none.
func TestNames(t *testing.T) {
	h := newHouse(t)
	anybody(h)
	trusted, plain := h.connect().Table(), h.simply("mallory").Table()
	ask := func(table idmap.Table, names ...string) []uint32 {
		t.Helper()
		ids, err := table.IDs(t.Context(), idmap.User, names)
		must(t, err)
		return ids
	}
	const first = posix.NamedFirst
	if got := ask(plain, "alice", "root"); !slices.Equal(got, []uint32{idmap.NoID, 0}) {
		t.Errorf("a plain session made %#x", got)
	}
	if got := ask(trusted, "alice", "bob"); !slices.Equal(got, []uint32{first, first + 1}) {
		t.Errorf("a trusted session made %#x", got)
	}
	if got := ask(plain, "bob", "carol"); !slices.Equal(got, []uint32{first + 1, idmap.NoID}) {
		t.Errorf("a plain session sees %#x", got)
	}
	h.stop()
	h.start()
	names, err := plain.Names(t.Context(), idmap.User, []uint32{first + 1, first, first + 2})
	if err != nil || !slices.Equal(names, []string{"bob", "alice", ""}) {
		t.Errorf("after a restart: %q, %v", names, err)
	}
	many := make([]uint32, 10000)
	for i := range many {
		many[i] = first + uint32(i%2)
	}
	if names, err := plain.Names(t.Context(), idmap.User, many); err != nil || len(names) != len(many) || names[9999] != "bob" {
		t.Errorf("%d names of %d, %v", len(names), len(many), err)
	}
}

// An id that the table has not given away can be nobody's: neither an owner nor
// a caller may have it before its name does.
func TestNobodysID(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	const nobodys = posix.NamedFirst + 5
	for name, set := range map[string]posix.SetAttr{
		"chown": {Set: posix.SetOwner, UID: nobodys},
		"chgrp": {Set: posix.SetGroup, GID: nobodys},
	} {
		if _, err := m.As(root).Setattr(t.Context(), posix.RootIno, set); posix.ErrnoOf(err) != posix.EINVAL {
			t.Errorf("%s to an id without a name: %v", name, err)
		}
	}
	for _, c := range []posix.Cred{{UID: nobodys}, {GID: nobodys}, {Groups: []posix.GID{1, nobodys}}} {
		if _, err := m.As(c).Getattr(t.Context(), posix.RootIno); posix.ErrnoOf(err) != posix.EINVAL {
			t.Errorf("a caller %+v: %v", c, err)
		}
	}
	_, err := m.Table().IDs(t.Context(), idmap.User, []string{"a", "b", "c", "d", "e", "f"})
	must(t, err)
	_, err = m.As(root).Setattr(t.Context(), posix.RootIno, posix.SetAttr{Set: posix.SetOwner, UID: nobodys})
	must(t, err)
}

func TestWhoami(t *testing.T) {
	h := newHouse(t)
	anybody(h)
	if _, ok, err := h.connect().Whoami(t.Context()); ok || err != nil {
		t.Errorf("a trusted session is somebody: %v", err)
	}
	if c, ok, err := h.simply("alice").Whoami(t.Context()); !ok || err != nil || c.UID != 1000 || c.Super {
		t.Errorf("alice is %+v, %v, %v", c, ok, err)
	}
}
