package soak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server"
	chunkmem "github.com/wardfs/wardfs/server/chunk/mem"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/export"
)

// site is a server with all that its mounts prove themselves by.
type site struct {
	t     testing.TB
	dir   string
	addr  string
	realm *kdctest.Realm
	ca    *certs.Authority
	cas   int

	keys   atomic.Int64 // how often the key of capabilities turned
	turned map[string]int

	sign jose.Signer
	set  []jose.JSONWebKey // published, the newest last
	kids int
}

const ticketLife, tokenLife = 40 * time.Second, 40 * time.Second

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), realm: kdctest.Start(t, "SOAK.TEST"), turned: map[string]int{}}
	s.newAuthority()
	s.trust(s.ca)
	s.issue()
	s.realm.Keytab(s.file("server.keytab"), "wardfs/localhost")
	s.realm.Add("alice", "secret")
	s.realm.Keytab(s.file("bob.keytab"), "bob")
	s.newTickets()
	s.newTokenKey()
	s.newTokens()
	s.serve(t)
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

// put publishes a file, whole.
func (s *site) put(name string, data []byte) {
	must(s.t, os.WriteFile(s.file(name+".new"), data, 0o600))
	must(s.t, os.Rename(s.file(name+".new"), s.file(name)))
}

func (s *site) copy(from, to string) {
	b, err := os.ReadFile(from)
	must(s.t, err)
	s.put(to, b)
}

// serve starts the server, which follows its files as wardfs serve does.
func (s *site) serve(t *testing.T) {
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	log := slog.New(counting{slog.NewTextHandler(said{t}, &slog.HandlerOptions{Level: level}), &s.keys})
	store, err := certs.Load(certs.Config{Cert: s.file("server.pem"), Key: s.file("server.key"), CA: s.file("ca.pem"),
		ClientAuth: certs.RequestCert, Every: 50 * time.Millisecond, Log: log})
	must(t, err)
	tickets, err := kerberos.NewVerifier(kerberos.AcceptConfig{Keytab: s.file("server.keytab"), Log: log})
	must(t, err)
	tokens, err := oidc.New(oidc.Config{Issuer: "https://issuer.test", JWKS: s.file("jwks"), Log: log})
	must(t, err)
	life := max(*duration/50, 2*time.Second) // of a capability, in whole seconds; its key has five times that
	srv, err := server.New(t.Context(), server.Config{
		Engine: mem.New(), Blocks: chunkmem.New(), TLS: store.Server(),
		Judge: func(st tls.ConnectionState) error { return store.Judge(st, false) },
		Auth: server.Auth{
			Mechanisms: []string{identity.X509, identity.Kerberos, identity.OIDC}, Verifiers: []identity.Verifier{tickets, tokens}, Superuser: "root",
			Resolve: func(_ context.Context, p identity.Principal) (posix.Cred, error) {
				return posix.Cred{UID: posix.UID(1000 + len(p.Name)), GID: 1000}, nil
			},
		},
		Rules:          export.Rules{Exports: []export.Rule{{Path: "/", Who: []string{"*"}}}},
		CapabilityLife: life, CapabilityKeyLife: 5 * life, Log: log,
		Root: struct {
			UID         posix.UID
			GID         posix.GID
			Mode        posix.Mode
			User, Group string
		}{Mode: 0o1777},
	})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	s.addr = net.JoinHostPort("localhost", port)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	watch, stop := context.WithCancel(context.Background())
	go store.Watch(watch, srv.JudgeChannels)
	t.Cleanup(func() {
		stop()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	})
}

// newAuthority makes the next authority; nobody trusts it yet.
func (s *site) newAuthority() {
	a, err := certs.Found(s.file(fmt.Sprint("ca", s.cas)), certs.Order{Name: fmt.Sprint("authority ", s.cas)}, nil)
	must(s.t, err)
	s.ca = a
	s.cas++
}

// trust makes both sides trust these.
func (s *site) trust(all ...*certs.Authority) {
	var text []byte
	for _, a := range all {
		b, err := os.ReadFile(a.CA())
		must(s.t, err)
		text = append(text, b...)
	}
	s.put("ca.pem", text)
}

// issue gives everybody a certificate of the newest authority. Key and
// certificate change one after the other: who looks in between keeps the last.
func (s *site) issue() {
	s.issueServer()
	c, err := s.ca.Issue(fmt.Sprint("carol", s.turned["authority"], "-", s.turned["server certificate"]), certs.Order{Name: "carol"})
	must(s.t, err)
	s.copy(c.Key, "carol.key")
	s.copy(c.Cert, "carol.pem")
}

func (s *site) issueServer() {
	p, err := s.ca.Issue(fmt.Sprint("server", s.turned["authority"], "-", s.turned["server certificate"]), certs.Order{Name: "server", Hosts: []string{"localhost", "127.0.0.1"}})
	must(s.t, err)
	s.copy(p.Key, "server.key")
	s.copy(p.Cert, "server.pem")
}

// newTickets is alice's kinit into the cache that her mounts read.
func (s *site) newTickets() {
	s.realm.Kinit("FILE:"+s.file("cc.new"), "alice", "secret", "-l", fmt.Sprint(int(ticketLife.Seconds()), "s"))
	must(s.t, os.Rename(s.file("cc.new"), s.file("cc")))
}

// newTokenKey publishes one more key; the newest signs from the next token on.
func (s *site) newTokenKey() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	s.kids++
	kid := fmt.Sprint("k", s.kids)
	s.sign, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	must(s.t, err)
	s.set = append(s.set, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
	s.publish()
}

func (s *site) publish() {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: s.set})
	must(s.t, err)
	s.put("jwks", text)
}

func (s *site) newTokens() {
	now := time.Now()
	token, err := jwt.Signed(s.sign).Claims(map[string]any{"iss": "https://issuer.test", "sub": "dave", "iat": now.Unix(), "exp": now.Add(tokenLife).Unix()}).Serialize()
	must(s.t, err)
	s.put("token", []byte(token))
}
