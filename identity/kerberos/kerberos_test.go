package kerberos

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
)

const server = Service + "/localhost"

// site is a realm with a server and a user with a keytab.
type site struct {
	*kdctest.Realm
	t      *testing.T
	dir    string
	keytab string // of the server
	tls    *tls.Config
	dial   *tls.Config
}

func newSite(t *testing.T) *site {
	s := &site{Realm: kdctest.Start(t, "EXAMPLE.TEST"), t: t, dir: t.TempDir()}
	s.keytab = s.file("server.keytab")
	s.Keytab(s.keytab, server)
	s.Keytab(s.file("alice.keytab"), "alice")
	ca, err := certs.Open(s.dir, nil)
	must(t, err)
	pair, err := ca.Server("server", certs.Hosts())
	must(t, err)
	store, err := certs.Load(certs.Config{Cert: pair.Cert, Key: pair.Key, CA: ca.CA(), ClientAuth: certs.RequestCert})
	must(t, err)
	bare, err := certs.Load(certs.Config{CA: ca.CA()})
	must(t, err)
	s.tls, s.dial = store.Server(), bare.Client("127.0.0.1")
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

// channel is a TLS connection as its two ends see it.
func (s *site) channel() (mine, theirs identity.Channel) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	defer l.Close()
	accepted := make(chan *tls.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		t := tls.Server(c, s.tls)
		if err := t.Handshake(); err != nil {
			s.t.Error(err)
		}
		accepted <- t
	}()
	client, err := tls.Dial("tcp", l.Addr().String(), s.dial)
	must(s.t, err)
	s.t.Cleanup(func() { client.Close() })
	must(s.t, client.Handshake())
	srv := <-accepted
	s.t.Cleanup(func() { srv.Close() })
	return identity.Channel{Remote: client.RemoteAddr(), TLS: client.ConnectionState()},
		identity.Channel{Remote: srv.RemoteAddr(), TLS: srv.ConnectionState()}
}

func (s *site) verifier(change func(*AcceptConfig)) *Verifier {
	s.t.Helper()
	c := AcceptConfig{Keytab: s.keytab}
	if change != nil {
		change(&c)
	}
	v, err := NewVerifier(c)
	must(s.t, err)
	return v
}

func (s *site) alice() *Prover {
	s.t.Helper()
	return s.prover(InitiateConfig{Principal: "alice@" + s.Name, Keytab: s.file("alice.keytab")})
}

func (s *site) prover(c InitiateConfig) *Prover {
	s.t.Helper()
	c.Server, c.Conf = server, s.Conf
	p, err := NewProver(c)
	must(s.t, err)
	s.t.Cleanup(p.Close)
	return p
}

// login does a whole handshake.
func (s *site) login(p *Prover, v *Verifier) (identity.Verified, error) {
	mine, theirs := s.channel()
	proof, err := p.Prove(s.t.Context(), mine)
	if err != nil {
		return identity.Verified{}, err
	}
	got, err := v.Verify(s.t.Context(), theirs, proof.Bytes)
	if err != nil {
		return got, err
	}
	return got, proof.Confirm(got.Reply)
}

func wantRefused(t *testing.T, what string, err error, text string) {
	t.Helper()
	if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

func TestKeytabAndCache(t *testing.T) {
	s := newSite(t)
	v := s.verifier(nil)
	got, err := s.login(s.alice(), v)
	must(t, err)
	if got.Principal != (identity.Principal{Name: "alice", Mechanism: identity.Kerberos}) || time.Until(got.Expires) < time.Hour {
		t.Errorf("%+v", got)
	}

	s.Add("bob", "secret")
	cache := s.file("cc")
	p := s.prover(InitiateConfig{Cache: "FILE:" + cache})
	if _, err := s.login(p, v); err == nil || !strings.Contains(err.Error(), "run kinit") {
		t.Errorf("without a cache: %v", err)
	}
	s.Kinit(cache, "bob", "secret")
	got, err = s.login(p, v)
	must(t, err)
	if got.Name != "bob" {
		t.Errorf("bob is %q", got.Name)
	}
	// Another kinit into the same cache is another user, at once.
	s.Add("carol", "secret")
	s.Kinit(cache, "carol", "secret")
	if got, err = s.login(p, v); err != nil || got.Name != "carol" {
		t.Errorf("carol is %q, %v", got.Name, err)
	}
	if _, err := s.login(s.prover(InitiateConfig{Cache: cache, Principal: "bob@" + s.Name}), v); err == nil || !strings.Contains(err.Error(), "run kinit bob") {
		t.Errorf("carol's cache for bob: %v", err)
	}
	later := InitiateConfig{Cache: cache, Now: func() time.Time { return time.Now().Add(24 * time.Hour) }}
	if _, err := s.login(s.prover(later), v); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired ticket: %v", err)
	}
}

// A proof is good on its own channel and once; the answer to it on no other.
func TestRelayAndReplay(t *testing.T) {
	s := newSite(t)
	v, p := s.verifier(nil), s.alice()
	mine, theirs := s.channel()
	_, other := s.channel()
	proof, err := p.Prove(t.Context(), mine)
	must(t, err)
	_, err = v.Verify(t.Context(), other, proof.Bytes)
	wantRefused(t, "relayed", err, "relays it")
	got, err := v.Verify(t.Context(), theirs, proof.Bytes)
	must(t, err)
	_, err = v.Verify(t.Context(), theirs, proof.Bytes)
	wantRefused(t, "replayed", err, "replays it")

	second, err := p.Prove(t.Context(), mine)
	must(t, err)
	for what, reply := range map[string][]byte{"none": nil, "another's": got.Reply, "the proof itself": second.Bytes, "cut": got.Reply[:len(got.Reply)-1]} {
		if err := second.Confirm(reply); err == nil {
			t.Errorf("%s reply was taken", what)
		}
	}
	must(t, proof.Confirm(got.Reply))

	// Of many copies at once, one is good.
	third, err := p.Prove(t.Context(), mine)
	must(t, err)
	var good atomic.Int32
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			if _, err := v.Verify(t.Context(), theirs, third.Bytes); err == nil {
				good.Add(1)
			}
		})
	}
	if all.Wait(); good.Load() != 1 {
		t.Errorf("%d of 300 copies were taken", good.Load())
	}
}

func TestRefusedTickets(t *testing.T) {
	s := newSite(t)
	p := s.alice()
	for name, c := range map[string]struct {
		change func(*AcceptConfig)
		want   string
	}{
		"another name":     {func(c *AcceptConfig) { c.Principals = []string{"wardfs/other"} }, "not this server"},
		"another realm":    {func(c *AcceptConfig) { c.Realms = []string{"OTHER.TEST"} }, "may not come"},
		"no rule":          {func(c *AcceptConfig) { c.Rules = "RULE:[2:$1]" }, "no rule of auth_to_local"},
		"no simple name":   {func(c *AcceptConfig) { c.Rules = "RULE:[1:$1@$0]" }, "no simple name"},
		"keys of before":   {func(c *AcceptConfig) { c.Keytab = s.file("old.keytab") }, "older or newer"},
		"keys of another":  {func(c *AcceptConfig) { c.Keytab = s.file("alice.keytab"); c.Realms = []string{s.Name} }, "has no key of wardfs/localhost"},
		"clocks far apart": {func(c *AcceptConfig) { c.Skew = time.Nanosecond }, "clocks"},
	} {
		if name == "keys of before" {
			b, err := os.ReadFile(s.keytab)
			must(t, err)
			must(t, os.WriteFile(s.file("old.keytab"), b, 0o600))
			s.Keytab(s.keytab, server) // the KDC has a new version now
			p = s.alice()
		}
		_, err := s.login(p, s.verifier(c.change))
		wantRefused(t, name, err, c.want)
	}
	v := s.verifier(nil)
	_, theirs := s.channel()
	for name, bad := range map[string][]byte{"nothing": nil, "text": []byte("alice"), "a huge one": make([]byte, maxToken+1)} {
		_, err := v.Verify(t.Context(), theirs, bad)
		wantRefused(t, name, err, "token")
	}
	_, err := s.login(s.alice(), v)
	must(t, err)
}

// The KDC gives the server new keys; the keytab follows while sessions come.
func TestKeytabRotation(t *testing.T) {
	s := newSite(t)
	v := s.verifier(nil)
	old := s.alice()
	_, err := s.login(old, v)
	must(t, err)
	s.Keytab(s.keytab, server) // adds the new version to the old one
	for what, p := range map[string]*Prover{"ticket of before": old, "ticket of now": s.alice()} {
		if _, err := s.login(p, v); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.WriteFile(s.keytab, []byte("half"), 0o600))
	if _, err := s.login(old, v); err != nil {
		t.Errorf("a half-written keytab: %v", err)
	}
}

func TestWrongProvers(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		c    InitiateConfig
		want string
	}{
		"nothing":            {InitiateConfig{}, "run kinit"},
		"keytab of nobody":   {InitiateConfig{Keytab: "x"}, "principal=USER@REALM"},
		"keytab, no realm":   {InitiateConfig{Keytab: "x", Principal: "alice"}, "principal=USER@REALM"},
		"no keytab there":    {InitiateConfig{Keytab: s.file("none"), Principal: "alice@" + s.Name}, "no such file"},
		"not in the keytab":  {InitiateConfig{Keytab: s.file("alice.keytab"), Principal: "bob@" + s.Name}, "bob@"},
		"no keytab at all":   {InitiateConfig{Keytab: s.Conf, Principal: "alice@" + s.Name}, "not a keytab"},
		"KCM":                {InitiateConfig{Cache: "KCM:0"}, "type KCM"},
		"a cache of nothing": {InitiateConfig{Cache: s.Conf}, "not a ticket cache"},
	} {
		c.c.Server, c.c.Conf = server, s.Conf
		p, err := NewProver(c.c)
		if err == nil {
			mine, _ := s.channel()
			_, err = p.Prove(t.Context(), mine)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := NewProver(InitiateConfig{Cache: "x"}); err == nil {
		t.Error("no server was named")
	}
}

func TestDirCache(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, want string }{
		{"FILE:/a/b", "/a/b"}, {"/a/b", "/a/b"}, {"/a:b/c", "/a:b/c"}, {"DIR::/a/tktx", "/a/tktx"},
		{"DIR:" + dir, dir + "/tkt"}, {"KEYRING:persistent:0", ""}, {"", ""},
	} {
		if got, err := CachePath(c.name, os.ReadFile); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q %v", c.name, got, err)
		}
	}
	for primary, ok := range map[string]bool{"tktAbc\n": true, "../tkt": false, "x": false, "": false} {
		must(t, os.WriteFile(filepath.Join(dir, "primary"), []byte(primary), 0o600))
		if got, err := CachePath("DIR:"+dir, os.ReadFile); (err == nil) != ok {
			t.Errorf("primary %q: %q %v", primary, got, err)
		}
	}
}

// The parsers of the library, with panics caught, on whatever comes.
func FuzzToken(f *testing.F) {
	f.Add([]byte{0x60, 0x10, 6, 9, 42, 134, 72, 134, 247, 18, 1, 2, 2, 1, 0, 0x6e, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseRequest(b); err == nil {
			v := &Verifier{c: AcceptConfig{Skew: time.Minute, Log: slog.New(slog.DiscardHandler)}, keys: &keys{path: "/nowhere"}}
			if v.open(&q, identity.Channel{}) == nil {
				t.Error("taken by no key")
			}
		}
		if m, err := unwrap(idRequest, b); err == nil {
			if again, err := wrap(idRequest, m); err != nil || len(again) > len(b)+8 {
				t.Errorf("%x %v", again, err)
			}
		}
	})
}

// krb5.conf is a host's own, but what it says must not take the mount down.
func FuzzConf(f *testing.F) {
	f.Add("[libdefaults]\n default_realm = A\n[realms]\n A = {\n  kdc = h:88\n }\n")
	f.Add("[libdefaults]\n clockskew = x\n")
	f.Add("[realms]\n A = {\n B = {\n }\n")
	f.Add("[domain_realm]\n = \n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseConf(text); err == nil && len(c.LibDefaults.DefaultTktEnctypeIDs) != 4 {
			t.Error("weak kinds of encryption are in it")
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte{5, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x05\x02\x00\x00\x00\x10"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseKeytab(b)
		parseCache(b)
	})
}
