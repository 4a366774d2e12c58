package kerberos

import (
	"errors"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
)

// A user of one realm comes to a server of another whose KDC trusts hers: by
// keytab and by ticket cache, if the server's rules take the realm, and as who
// the rules say.
func TestTwoRealms(t *testing.T) {
	s := newSite(t)
	home := kdctest.Start(t, "HOME.TEST")
	home.Add("carol", "secret")
	home.Keytab(s.file("carol.keytab"), "dora")
	s.Trusts(home, s.file("home.conf"))
	home.Kinit("FILE:"+s.file("carol.cc"), "carol", "secret")
	by := func(c InitiateConfig) *Prover {
		c.Server, c.Conf = server, s.file("home.conf")
		p, err := NewProver(c)
		must(t, err)
		t.Cleanup(p.Close)
		return p
	}
	cache := InitiateConfig{Cache: "FILE:" + s.file("carol.cc")}
	keytab := InitiateConfig{Principal: "dora@HOME.TEST", Keytab: s.file("carol.keytab")}
	both := []string{"EXAMPLE.TEST", "HOME.TEST"}
	const rule = "RULE:[1:$1@$0](.*@HOME\\.TEST)s/@.*/_home/ DEFAULT"
	for name, c := range map[string]struct {
		who    InitiateConfig
		realms []string
		rules  string
		want   string // or of the refusal
		ok     bool
	}{
		"by cache":                 {cache, both, rule, "carol_home", true},
		"by keytab":                {keytab, both, rule, "dora_home", true},
		"a realm that may not":     {cache, nil, rule, "may not come", false},
		"a realm without any rule": {cache, both, "DEFAULT", "carol@HOME.TEST", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.verifier(func(a *AcceptConfig) { a.Realms, a.Rules = c.realms, c.rules })
			mine, theirs := s.channel()
			proof, err := by(c.who).Prove(t.Context(), mine)
			must(t, err)
			got, err := v.Verify(t.Context(), theirs, proof.Bytes)
			switch {
			case c.ok && (err != nil || got.Name != c.want):
				t.Errorf("%q, %v; want %q", got.Name, err, c.want)
			case c.ok:
				must(t, proof.Confirm(got.Reply))
			case !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), c.want):
				t.Errorf("%q, %v; want a refusal with %q", got.Name, err, c.want)
			}
		})
	}
}

// Every kind of AES that a server's only key may be of, RFC 3962 and RFC 8009;
// and a server that has only a weak one is not spoken to.
func TestKindsOfEncryption(t *testing.T) {
	s := newSite(t)
	for kind, number := range map[string]int32{
		"aes128-cts-hmac-sha1-96": 17, "aes256-cts-hmac-sha1-96": 18, "aes128-cts-hmac-sha256-128": 19, "aes256-cts-hmac-sha384-192": 20,
	} {
		t.Run(kind, func(t *testing.T) {
			name, file := Service+"/"+kind, s.file(kind+".keytab")
			s.Admin("add_principal", "-randkey", name)
			s.Admin("ktadd", "-k", file, "-e", kind+":normal", name)
			p, err := NewProver(InitiateConfig{Server: name, Conf: s.Conf, Principal: "alice@" + s.Name, Keytab: s.file("alice.keytab")})
			must(t, err)
			defer p.Close()
			mine, theirs := s.channel()
			proof, err := p.Prove(t.Context(), mine)
			must(t, err)
			q, err := parseRequest(proof.Bytes)
			must(t, err)
			if q.Ticket.EncPart.EType != number {
				t.Errorf("the ticket is of kind %d, want %d", q.Ticket.EncPart.EType, number)
			}
			got, err := s.verifier(func(a *AcceptConfig) { a.Keytab = file }).Verify(t.Context(), theirs, proof.Bytes)
			if err != nil || got.Name != "alice" {
				t.Fatalf("%q, %v", got.Name, err)
			}
			must(t, proof.Confirm(got.Reply))
		})
	}
}
