// Package realmdev starts a `wardfs dev` that takes tickets of a real KDC and
// tokens of an issuer of its own, for tests of who is who.
package realmdev

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/tests/harness"
)

// Site is the server with its mount, and what it takes proofs from.
type Site struct {
	*harness.Ward
	Realm *kdctest.Realm // EXAMPLE.TEST

	t    testing.TB
	dir  string
	sign jose.Signer
}

// Start starts it all. accounts is its file of users and their groups.
func Start(t testing.TB, accounts string) *Site {
	t.Helper()
	s := &Site{t: t, Realm: kdctest.Start(t, "EXAMPLE.TEST"), dir: t.TempDir()}
	s.Realm.Keytab(s.File("server.keytab"), "wardfs/127.0.0.1")
	s.Write("accounts", accounts)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	s.sign, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	s.must(err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	s.must(err)
	s.Write("jwks", string(set))
	s.Ward = harness.Start(t,
		"--set", "auth.mechanisms=X509,KERBEROS,OIDC,TOKEN", "--set", "tls.client_auth=request",
		"--set", "auth.kerberos.keytab="+s.File("server.keytab"),
		"--set", "auth.oidc.issuer=https://issuer.test", "--set", "auth.oidc.jwks="+s.File("jwks"), "--set", "auth.oidc.audience=wardfs",
		"--set", "groups.source=file", "--set", "groups.file="+s.File("accounts"))
	return s
}

// File is the path of a file of the test's.
func (s *Site) File(name string) string { return filepath.Join(s.dir, name) }

// Write writes one, which nobody else may read.
func (s *Site) Write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(s.File(name), []byte(text), 0o600))
}

// Token is a token of user for an audience, good for so long.
func (s *Site) Token(user, audience string, life time.Duration) string {
	s.t.Helper()
	now := time.Now()
	text, err := jwt.Signed(s.sign).Claims(map[string]any{
		"iss": "https://issuer.test", "aud": audience, "sub": user, "iat": now.Unix() - 1, "exp": now.Add(life).Unix(),
	}).Serialize()
	s.must(err)
	return text
}

func (s *Site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
