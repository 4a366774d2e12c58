package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/owners"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/posix/posixtest"
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
	named := acl.EncodeXattr(acl.ACL{{Tag: acl.UserObj, Perm: 7}, {Tag: acl.User, Perm: 7, ID: nobodys}, {Tag: acl.GroupObj}, {Tag: acl.Mask, Perm: 7}, {Tag: acl.Other}})
	if err := m.As(root).Setxattr(t.Context(), posix.RootIno, acl.XattrAccess, named, 0); posix.ErrnoOf(err) != posix.EINVAL {
		t.Errorf("an ACL for an id without a name: %v", err)
	}
	_, err := m.Table().IDs(t.Context(), idmap.User, []string{"a", "b", "c", "d", "e", "f"})
	must(t, err)
	_, err = m.As(root).Setattr(t.Context(), posix.RootIno, posix.SetAttr{Set: posix.SetOwner, UID: nobodys})
	must(t, err)
	must(t, m.As(root).Setxattr(t.Context(), posix.RootIno, acl.XattrAccess, named, 0))
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

// everyone is a host on which every number has a name.
type everyone struct{}

func (everyone) Name(_ context.Context, _ idmap.Kind, n uint32) (string, error) {
	return fmt.Sprint("n", n), nil
}

func (everyone) Number(_ context.Context, _ idmap.Kind, name string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "n"), 10, 32)
	return uint32(n), err
}

// What every namespace must do, done by name: the numbers of callers and owners
// are this host's, and the server sees only ids of its table.
func TestContractByName(t *testing.T) {
	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace {
		h := newHouse(t)
		m := h.connect()
		as := owners.As(owners.Config{Map: idmap.New(idmap.Config{Host: everyone{}, Table: m.Table()}), Callers: true}, m.As)
		return func(c posix.Cred) posix.Namespace { return stored{as(c), h.blocks} }
	})
}

// Two mounts with other numbers for the same names: what one makes the other
// owns, and what an ACL allows it allows to the person and not to the number.
func TestTwoHosts(t *testing.T) {
	h := newHouse(t)
	host := func(text string) func(posix.Cred) posix.Namespace {
		s, err := idmap.ParseStatic(strings.NewReader(text))
		must(t, err)
		m := h.connect()
		return owners.As(owners.Config{Map: idmap.New(idmap.Config{Host: s.Over(unknown{}), Table: m.Table()}), Callers: true}, m.As)
	}
	one := host("user 1000 alice\nuser 1001 bob\ngroup 100 staff\ngroup 1000 alice")
	two := host("user 1001 alice\nuser 1000 bob\ngroup 200 staff\nuser 5 carol")
	ctx := t.Context()
	_, err := one(root).Setattr(ctx, posix.RootIno, posix.SetAttr{Set: posix.SetMode, Mode: 0o1777})
	must(t, err)
	made, err := one(posix.Cred{UID: 1000, GID: 100}).Create(ctx, posix.RootIno, "f", 0o640, 0, 1, posix.OpenWrite)
	must(t, err)
	if a := made.Attr; a.UID != 1000 || a.GID != 100 {
		t.Errorf("alice made it as %d:%d", a.UID, a.GID)
	}
	a, err := two(root).Lookup(ctx, posix.RootIno, "f")
	if err != nil || a.UID != 1001 || a.GID != 200 {
		t.Errorf("elsewhere it is %d:%d's, %v", a.UID, a.GID, err)
	}
	want := func(who string, ns posix.Namespace, errno posix.Errno) {
		t.Helper()
		if err := ns.Access(ctx, a.Ino, posix.MayRead); posix.ErrnoOf(err) != errno {
			t.Errorf("%s: %v", who, err)
		}
	}
	want("alice by her other number", two(posix.Cred{UID: 1001, GID: 7}), 0)
	want("bob, whose number here is alice's there", two(posix.Cred{UID: 1000, GID: 7}), posix.EACCES)
	want("a member of staff", two(posix.Cred{UID: 8, GID: 7, Groups: []posix.GID{9, 200}}), 0)
	want("a member of what is staff's number there", two(posix.Cred{UID: 8, GID: 100}), posix.EACCES)

	list := acl.ACL{{Tag: acl.UserObj, Perm: 6}, {Tag: acl.User, Perm: 4, ID: 1000}, {Tag: acl.GroupObj, Perm: 4}, {Tag: acl.Mask, Perm: 4}, {Tag: acl.Other}}
	must(t, two(posix.Cred{UID: 1001, GID: 7}).Setxattr(ctx, a.Ino, acl.XattrAccess, acl.EncodeXattr(list), 0))
	want("bob, now that the ACL names him", two(posix.Cred{UID: 1000, GID: 7}), 0)
	want("bob by his other number", one(posix.Cred{UID: 1001, GID: 7}), 0)
	b, err := one(root).Getxattr(ctx, a.Ino, acl.XattrAccess)
	must(t, err)
	list[1].ID = 1001
	if got, err := acl.DecodeXattr(b); err != nil || !slices.Equal(got, list) {
		t.Errorf("elsewhere the ACL is %v, %v", got, err)
	}

	// carol is unknown on one: her id stands for her, and given back is she.
	c, err := two(posix.Cred{UID: 5, GID: 200}).Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)
	seen, err := one(root).Getattr(ctx, c.Ino)
	must(t, err)
	if !seen.UID.Named() || seen.GID != 100 {
		t.Errorf("carol is %d:%d where nobody knows her", seen.UID, seen.GID)
	}
	_, err = one(root).Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetOwner, UID: seen.UID})
	must(t, err)
	if a, err := two(root).Getattr(ctx, a.Ino); err != nil || a.UID != 5 {
		t.Errorf("what was given to carol's id is %d's, %v", a.UID, err)
	}
	if _, err := one(root).Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetOwner, UID: seen.UID + 100}); posix.ErrnoOf(err) != posix.EINVAL {
		t.Errorf("a reserved number that is nobody's: %v", err)
	}
	if all, err := one(root).Readdir(ctx, posix.RootIno, 0, 0, 100, true); err != nil || !slices.ContainsFunc(all, func(d posix.Dirent) bool { return d.Name == "d" && d.Attr.UID == seen.UID }) {
		t.Errorf("a listing with attributes: %+v, %v", all, err)
	}
}

// unknown is a host that knows nobody.
type unknown struct{}

func (unknown) Name(context.Context, idmap.Kind, uint32) (string, error) { return "", idmap.ErrUnknown }
func (unknown) Number(context.Context, idmap.Kind, string) (uint32, error) {
	return 0, idmap.ErrUnknown
}

// directory is a source of groups that a test changes.
type directory struct {
	mu    sync.Mutex
	of    map[string][]string
	err   error
	asked int
}

func (d *directory) Groups(_ context.Context, user string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	names, ok := d.of[user]
	if !ok {
		return nil, groups.ErrUnknown
	}
	return names, nil
}

func (d *directory) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// A principal acts under its own name and in the groups that the server's
// source has for it, which may change while the session lasts.
func TestPrincipalsGroups(t *testing.T) {
	many := []string{"staff"}
	for i := range 200 {
		many = append(many, fmt.Sprint("group", i))
	}
	d := &directory{of: map[string][]string{"alice": many, "bob": nil, "eve": {"supergroup"}}}
	h := newHouse(t)
	h.stop()
	h.auth.Groups, h.auth.Supergroup, h.auth.Recheck, h.auth.Superuser = d, "supergroup", -1, "somebody else"
	h.start()
	trusted, ctx := h.connect(), t.Context()
	id := func(k idmap.Kind, name string) uint32 {
		ids, err := trusted.Table().IDs(ctx, k, []string{name})
		must(t, err)
		return ids[0]
	}
	alice, bob := h.simply("alice"), h.simply("bob")
	c, _, err := alice.Whoami(ctx)
	must(t, err)
	if uint32(c.UID) != id(idmap.User, "alice") || uint32(c.GID) != id(idmap.Group, "staff") || len(c.Groups) != 200 ||
		!slices.Contains(c.Groups, posix.GID(id(idmap.Group, "group199"))) {
		t.Errorf("alice is %+v", c)
	}
	c, _, err = bob.Whoami(ctx)
	must(t, err)
	if uint32(c.GID) != id(idmap.Group, "bob") || len(c.Groups) != 0 {
		t.Errorf("who is in no group is %+v", c)
	}
	made, err := trusted.As(root).Mkdir(ctx, posix.RootIno, "d", 0o070, 0)
	must(t, err)
	_, err = trusted.As(root).Setattr(ctx, made.Ino, posix.SetAttr{Set: posix.SetGroup, GID: posix.GID(id(idmap.Group, "group7"))})
	must(t, err)
	may := func(m *client.Mount, errno posix.Errno) {
		t.Helper()
		if err := m.As(posix.Cred{}).Access(ctx, made.Ino, posix.MayRead); posix.ErrnoOf(err) != errno {
			t.Errorf("%v, want errno %v", err, errno)
		}
	}
	may(alice, 0)
	may(bob, posix.EACCES)
	d.set(func() { d.of["bob"] = []string{"bob", "group7"} })
	may(bob, 0)
	d.set(func() { d.err = errors.New("down") }) // it keeps what it has
	may(bob, 0)
	may(alice, 0)
	d.set(func() { d.err = nil; delete(d.of, "bob") })
	may(bob, posix.EACCES)

	config := h.config()
	config.Mechanism, config.User, config.Trusted = identity.Simple, "bob", false
	if _, err := client.Connect(ctx, config); err == nil || !strings.Contains(err.Error(), "no account") {
		t.Errorf("who has no account comes in: %v", err)
	}
	if c, _, err := h.simply("eve").Whoami(ctx); err != nil || c.Super {
		t.Errorf("a name that nobody has proven is a superuser by its group: %+v, %v", c, err)
	}
	d.set(func() { d.of["root"] = []string{"supergroup"} })
	config.Mechanism = identity.X509
	m, err := client.Connect(ctx, config)
	must(t, err)
	defer m.Close(ctx)
	if c, _, err := m.Whoami(ctx); err != nil || !c.Super {
		t.Errorf("a member of the supergroup is none: %+v, %v", c, err)
	}
}

// Groups that can't be asked for any more are lost in the end, with the power
// that came by one, and are there again when they are told.
func TestStaleGroupsAreLost(t *testing.T) {
	d := &directory{of: map[string][]string{"root": {"staff", "supergroup"}}}
	h := newHouse(t)
	h.stop()
	var ahead atomic.Int64
	h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	h.auth.Groups, h.auth.Supergroup, h.auth.Recheck, h.auth.Superuser = d, "supergroup", -1, "somebody else"
	h.start()
	config := h.config()
	config.Trusted = false
	m, err := client.Connect(t.Context(), config)
	must(t, err)
	defer m.Close(t.Context())
	is := func(when string, super bool, groups int) {
		t.Helper()
		c, _, err := m.Whoami(t.Context())
		must(t, err)
		if c.Super != super || len(c.Groups) != groups {
			t.Errorf("%s: %+v", when, c)
		}
	}
	is("at first", true, 1)
	d.set(func() { d.err = errors.New("down") })
	is("down for a moment", true, 1)
	ahead.Store(int64(2 * time.Minute))
	is("down for longer", false, 0)
	d.set(func() { d.err = nil })
	is("back", true, 1)
}

// A session asks again once in a while, and not at each call.
func TestGroupsAreAskedSeldom(t *testing.T) {
	d := &directory{of: map[string][]string{"alice": {"staff"}}}
	h := newHouse(t)
	h.stop()
	h.auth.Groups, h.auth.Recheck = d, time.Hour
	h.start()
	m := h.simply("alice")
	for range 100 {
		_, err := m.As(posix.Cred{}).Getattr(t.Context(), posix.RootIno)
		must(t, err)
	}
	d.set(func() {
		if d.asked > 2 { // the handshake, and the rules after it
			t.Errorf("asked %d times", d.asked)
		}
	})
}
