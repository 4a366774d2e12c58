package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
)

// certificate is that of a principal.
func (h *house) certificate(name string) *certs.Store {
	h.t.Helper()
	pair, err := h.ca.Client(name, name)
	must(h.t, err)
	s, err := certs.Load(certs.Config{Cert: pair.Cert, Key: pair.Key, CA: h.ca.CA()})
	must(h.t, err)
	return s
}

// people lets root, alice, bob (of analysts) and svc have accounts, and puts
// rules in force.
func (h *house) people(rules export.Rules) {
	h.stop()
	uids := map[string]posix.UID{"root": 0, "alice": 1000, "bob": 1001, "svc": 500}
	h.auth.Resolve = func(_ context.Context, p identity.Principal) (posix.Cred, error) {
		uid, ok := uids[p.Name]
		if !ok {
			return posix.Cred{}, fmt.Errorf("no account %s", p.Name)
		}
		return posix.Cred{UID: uid, GID: posix.GID(uid)}, nil
	}
	h.auth.Groups = groups.Func(func(_ context.Context, name string) ([]string, error) {
		if name == "bob" {
			return []string{"analysts"}, nil
		}
		return nil, nil
	})
	h.rules = rules
	h.start()
}

func acting(for_ string) *proto.Hello {
	return &proto.Hello{Version: proto.Version, Mechanism: identity.X509, Impersonate: for_}
}

func TestImpersonation(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{
		Exports: []export.Rule{{Path: "/", Who: []string{"*"}, Squash: export.SquashNone, Trusted: true}},
		Proxies: []export.Proxy{{Principal: "svc", Users: []string{"alice", "ghost"}, Groups: []string{"analysts"}}, {Principal: "any", Users: []string{"*"}}},
	})
	svc := h.certificate("svc")
	p := newPeerBy(h, svc, acting("alice"))
	if p.w.GetErrno() != 0 || p.w.Principal != "alice" || p.w.Via != "svc" {
		t.Fatal(p.w)
	}
	root := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.X509})
	root.must(root.mkdir(1, "open", 0o777))
	root.must(root.do(&proto.Call{Op: &proto.Call_Setattr{Setattr: &proto.Setattr{Ino: root.must(root.lookup(1, "open")), Set: uint32(posix.SetMode), Mode: 0o777}}}))
	open := p.must(p.lookup(1, "open"))
	// The caller that a hostile client states counts for nothing.
	r := p.mkdir(open, "hers", 0o700, &proto.Cred{Super: true})
	p.must(r)
	if r.Attr.Uid != 1000 {
		t.Errorf("alice via svc made what is %d's", r.Attr.Uid)
	}
	if w := newPeerBy(h, svc, acting("bob")).w; w.GetErrno() != 0 || w.Principal != "bob" {
		t.Errorf("a member of the group: %v", w)
	}
	if own := newPeerBy(h, svc, acting("")); own.errno(own.mkdir(own.must(own.lookup(open, "hers")), "x", 0o755)) != posix.EACCES {
		t.Error("svc itself may what alice may")
	}

	const failed = `Failed to authenticate client user=%q connecting to wardfs server and impersonating as impersonationUser=%q to access wardfs file system. User %q `
	text := func(client, user string) string { return fmt.Sprintf(failed, client, user, client) }
	simple := &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("svc"), Impersonate: "alice"}
	both := acting("alice")
	both.Trusted = true
	stolen := acting("bob")
	stolen.Session, stolen.Secret = p.w.Session, p.w.Secret
	for _, c := range []struct {
		name, want string
		cert       *certs.Store
		hello      *proto.Hello
	}{
		{"no rule at all", text("alice", "bob") + "is not configured to allow any impersonation.", h.certificate("alice"), acting("bob")},
		{"not that user", text("svc", "carol") + `is not configured to allow impersonation of user "carol" or of any group of that user.`, svc, acting("carol")},
		{"the superuser by a star", text("any", "root") + "acts for the superuser only where a rule names it.", h.certificate("any"), acting("root")},
		{"a name that is none", text("any", "a b") + "asks for what is no user", h.certificate("any"), acting("a b")},
		{"by a name alone", text("svc", "alice") + "has proven nothing by SIMPLE", svc, simple},
		{"and states callers", "not both", svc, both},
		{"states callers without a rule", "svc (X509) may not state its callers", svc, trustedHello()},
		{"who has no account", "no account ghost", svc, acting("ghost")},
		{"another's session", "not this principal's", svc, stolen},
	} {
		w := newPeerBy(h, c.cert, c.hello).w
		if w.GetErrno() == 0 || !strings.Contains(w.GetMessage(), c.want) || w.Session != 0 {
			t.Errorf("%s: errno %d %q, want %q", c.name, w.GetErrno(), w.GetMessage(), c.want)
		}
	}
}

// TestSuperuserByName: a rule that names the superuser lends its power, on an
// export that squashes nobody.
func TestSuperuserByName(t *testing.T) {
	h := newHouse(t)
	rules := export.Rules{
		Exports: []export.Rule{{Path: "/", Who: []string{"root"}, Squash: export.SquashNone}},
		Proxies: []export.Proxy{{Principal: "svc", Users: []string{"root"}}},
	}
	h.people(rules)
	p := newPeerBy(h, h.certificate("svc"), acting("root"))
	p.must(p.mkdir(1, "x", 0o755))
	rules.Exports = []export.Rule{{Path: "/", Who: []string{"root"}}}
	if n := h.srv.SetRules(t.Context(), rules); n != 0 {
		t.Errorf("%d sessions were ended", n)
	}
	if got := p.errno(p.mkdir(1, "y", 0o755)); got != posix.EACCES {
		t.Errorf("squashed at once: %v", got)
	}
}

// TestLostRight: a mount whose right is taken away is told so, and recovers
// when it is given back.
func TestLostRight(t *testing.T) {
	h := newHouse(t)
	m := h.connect()
	ns := m.As(root)
	_, err := ns.Mkdir(t.Context(), posix.RootIno, "d", 0o755, 0)
	must(t, err)
	p := newPeer(h, trustedHello())
	o := p.create(1, "f", 0o600, 0, 1)
	p.must(o)

	if n := h.srv.SetRules(t.Context(), export.Rules{Exports: []export.Rule{{Path: "/", Who: []string{"bob"}, Trusted: true}}, Proxies: []export.Proxy{{Principal: "root", StatesCallers: true}}}); n != 2 {
		t.Errorf("%d sessions were ended, want 2", n)
	}
	const why = "/ is not exported to root (X509) at 127.0.0.1"
	for { // what an end of the stream looks like to a peer
		m := new(proto.ToClient)
		must(t, p.st.RecvMsg(m))
		if e := m.GetEnded(); e != nil {
			if posix.ErrnoOf(proto.Failure("x", e.Errno, "")) != posix.EACCES || !strings.Contains(e.Message, why) {
				t.Errorf("told %v", e)
			}
			break
		}
	}
	if e := p.errno(p.getattr(1)); e == 0 {
		t.Error("the session goes on")
	}
	put := &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: o.Opened.Capability, File: o.Opened.Attr.Ino, Slice: make([]byte, 16)}
	put.Slice[0] = 1
	if got := frame(t, dialLane(h), put, []byte("x")); got != posix.EACCES {
		t.Errorf("its capability still opens blocks: %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := ns.Getattr(ctx, posix.RootIno); !errors.Is(err, posix.EACCES) || !strings.Contains(err.Error(), why) {
		t.Errorf("the mount: %v", err)
	}
	if s := m.Status().Session; s.Connected || !strings.Contains(s.LastError, why) {
		t.Errorf("status: %+v", s)
	}

	h.srv.SetRules(t.Context(), export.Everything("root"))
	for err = errors.New("not asked"); err != nil; _, err = ns.Lookup(ctx, posix.RootIno, "d") {
		if ctx.Err() != nil {
			t.Fatalf("it does not recover: %v", err)
		}
	}
}

// TestMountOfSubtree: the client's side, through a restart of the server.
func TestMountOfSubtree(t *testing.T) {
	h := newHouse(t)
	whole := h.connect().As(root)
	sub, err := whole.Mkdir(t.Context(), posix.RootIno, "sub", 0o755, 0)
	must(t, err)
	c := h.config()
	c.Path = "/sub"
	m, err := client.Connect(t.Context(), c)
	must(t, err)
	t.Cleanup(func() { m.Close(context.Background()) })
	ns := m.As(root)
	o, err := ns.Create(t.Context(), posix.RootIno, "f", 0o644, 0, 1, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	h.stop()
	h.start()
	if a, err := ns.Getattr(t.Context(), o.Attr.Ino); err != nil || a.Nlink != 1 {
		t.Errorf("after a restart: %+v, %v", a, err)
	}
	if _, _, err := ns.Layout(t.Context(), 1, 0, 1); err != nil {
		t.Errorf("the handle after a restart: %v", err)
	}
	if a, err := whole.Lookup(t.Context(), sub.Ino, "f"); err != nil || a.Ino != o.Attr.Ino {
		t.Errorf("seen from above: %+v, %v", a, err)
	}
	if s := m.Status().Session; s.Path != "/sub" || s.ReadOnly {
		t.Errorf("status: %+v", s)
	}
	c.Path = "/nowhere"
	if _, err := client.Connect(t.Context(), c); !errors.Is(err, posix.ENOENT) || !strings.HasSuffix(err.Error(), ": /nowhere is not there on the server") {
		t.Errorf("got %v", err)
	}
}
