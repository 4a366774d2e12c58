package tokens

import (
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestLife(t *testing.T) {
	ctx, now := t.Context(), time.Unix(1_800_000_000, 0).UTC()
	start := now
	e := mem.New()
	tab := New(Config{Engine: e, MaxLife: 50 * time.Hour, Renewal: 24 * time.Hour, Most: 3, Now: func() time.Time { return now }})
	is := func(what string, want posix.Errno, err error) {
		t.Helper()
		if err == nil && want != 0 || err != nil && posix.ErrnoOf(err) != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	id, public := delegation.ID{1}, make([]byte, 32)
	token, err := tab.Issue(ctx, id, public, "alice", "yarn")
	is("issue", 0, err)
	if !token.Expires.Equal(start.Add(24*time.Hour)) || !token.Max.Equal(start.Add(50*time.Hour)) {
		t.Errorf("%+v", token)
	}
	_, err = tab.Issue(ctx, id, public, "alice", "yarn")
	is("the same once more", 0, err)
	_, err = tab.Issue(ctx, id, public, "mallory", "yarn")
	is("another's id", posix.EEXIST, err)
	_, err = tab.Issue(ctx, delegation.ID{2}, public[:31], "alice", "yarn")
	is("half a key", posix.EINVAL, err)
	_, err = tab.Issue(ctx, delegation.ID{2}, public, "alice", "a b")
	is("a renewer who is none", posix.EINVAL, err)

	renew := func(what, who string, want posix.Errno, until time.Duration) {
		t.Helper()
		token, err := tab.Renew(ctx, id, who)
		is(what, want, err)
		if err == nil && !token.Expires.Equal(start.Add(until)) {
			t.Errorf("%s: until %v", what, token.Expires.Sub(start))
		}
	}
	now = start.Add(20 * time.Hour)
	renew("by a stranger", "mallory", posix.ENOENT, 0)
	renew("by its owner", "alice", posix.EPERM, 0)
	renew("by its renewer", "yarn", 0, 44*time.Hour)
	now = start.Add(43 * time.Hour)
	renew("up to its end", "yarn", 0, 50*time.Hour)
	renew("no further", "yarn", 0, 50*time.Hour)
	g, ok, err := tab.Lookup(ctx, id)
	is("lookup", 0, err)
	if !ok || g.Owner != "alice" || !g.Expires.Equal(start.Add(50*time.Hour)) {
		t.Errorf("%+v %v", g, ok)
	}
	now = start.Add(50 * time.Hour)
	renew("past its end", "yarn", posix.EKEYEXPIRED, 0)
	if all, err := tab.List(ctx, "alice", false); err != nil || len(all) != 0 {
		t.Errorf("expired ones are listed: %v, %v", all, err)
	}
	for i := range byte(4) {
		_, err = tab.Issue(ctx, delegation.ID{3, i}, public, "alice", "alice")
		is("one of four", []posix.Errno{0, 0, 0, posix.EDQUOT}[i], err)
	}
	if _, ok, _ := tab.Lookup(ctx, id); ok {
		t.Error("the expired one is there still")
	}
	is("cancel by a stranger", posix.ENOENT, tab.Cancel(ctx, delegation.ID{3, 0}, "mallory", false))
	is("cancel by its owner", 0, tab.Cancel(ctx, delegation.ID{3, 0}, "alice", false))
	is("once more", posix.ENOENT, tab.Cancel(ctx, delegation.ID{3, 0}, "alice", false))
	is("cancel by a superuser", 0, tab.Cancel(ctx, delegation.ID{3, 1}, "root", true))
	for who, want := range map[string]int{"alice": 1, "mallory": 0} {
		if all, err := tab.List(ctx, who, false); err != nil || len(all) != want {
			t.Errorf("%s sees %v, %v", who, all, err)
		}
	}
	if all, err := tab.List(ctx, "root", true); err != nil || len(all) != 1 {
		t.Errorf("a superuser sees %v, %v", all, err)
	}
}

// A record of a newer version or with damage lets nobody in.
func TestDamage(t *testing.T) {
	for _, v := range []string{`{"v":2,"owner":"alice"}`, `{`, ``} {
		e := mem.New()
		id := delegation.ID{7}
		if err := e.Update(t.Context(), func(tx engine.Tx) error { tx.Put(key(id), []byte(v)); return nil }); err != nil {
			t.Fatal(err)
		}
		tab := New(Config{Engine: e})
		if _, ok, err := tab.Lookup(t.Context(), id); ok || posix.ErrnoOf(err) != posix.EIO {
			t.Errorf("%q: %v, %v", v, ok, err)
		}
		if err := tab.Cancel(t.Context(), id, "root", true); err != nil {
			t.Errorf("%q can't be taken away: %v", v, err)
		}
	}
}
