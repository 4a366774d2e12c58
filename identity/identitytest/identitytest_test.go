package identitytest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdx509 "crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/custom"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/identity/simple"
	"github.com/wardfs/wardfs/identity/x509"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSimple(t *testing.T) {
	Run(t, Mechanism{Name: "alice", Prover: simple.Prover{Name: "alice"}, Verifier: simple.Verifier{}})
}

func TestX509(t *testing.T) {
	Run(t, Mechanism{Name: "alice", Prover: x509.Prover{}, Verifier: x509.Verifier{}, Channel: true})
}

func TestKerberos(t *testing.T) {
	r, other := kdctest.Start(t, "EXAMPLE.TEST"), kdctest.Start(t, "EXAMPLE.TEST")
	dir := t.TempDir()
	initiate := func(r *kdctest.Realm, name string) identity.Prover {
		r.Add("alice", "secret")
		r.Keytab(filepath.Join(dir, name+".keytab"), "wardfs/127.0.0.1")
		r.Kinit(filepath.Join(dir, name), "alice", "secret")
		p, err := kerberos.NewProver(kerberos.InitiateConfig{Server: "wardfs/127.0.0.1", Conf: r.Conf, Cache: "FILE:" + filepath.Join(dir, name)})
		must(t, err)
		return p
	}
	mine, foreign := initiate(r, "mine"), initiate(other, "other")
	v, err := kerberos.NewVerifier(kerberos.AcceptConfig{Keytab: filepath.Join(dir, "mine.keytab")})
	must(t, err)
	Run(t, Mechanism{Name: "alice", Prover: mine, Verifier: v, Foreign: foreign, Bound: true, Once: true})
}

// issuer signs a token of alice with a key; publish writes it down.
func issuer(t *testing.T, publish string, more map[string]any) oidc.Source {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	must(t, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	must(t, err)
	must(t, os.WriteFile(publish, set, 0o600))
	now := time.Now()
	claims := map[string]any{"iss": "i", "sub": "alice", "iat": now.Unix() - 1, "exp": now.Unix() + 3600}
	for k, v := range more {
		claims[k] = v
	}
	token, err := jwt.Signed(sign).Claims(claims).Serialize()
	must(t, err)
	return oidc.Fixed(token)
}

func TestOIDC(t *testing.T) {
	dir := t.TempDir()
	mine, foreign := issuer(t, filepath.Join(dir, "keys"), nil), issuer(t, filepath.Join(dir, "others"), nil)
	v, err := oidc.New(oidc.Config{Issuer: "i", JWKS: filepath.Join(dir, "keys")})
	must(t, err)
	Run(t, Mechanism{Name: "alice", Prover: oidc.Prover{Token: mine}, Verifier: v, Foreign: oidc.Prover{Token: foreign}})
}

func TestDPoP(t *testing.T) {
	dir := t.TempDir()
	newKey := func(name string) (path, thumbprint string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		der, err := stdx509.MarshalPKCS8PrivateKey(key)
		must(t, err)
		path = filepath.Join(dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
		sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		must(t, err)
		return path, base64.RawURLEncoding.EncodeToString(sum)
	}
	mine, thumbprint := newKey("mine")
	other, _ := newKey("other")
	token := issuer(t, filepath.Join(dir, "keys"), map[string]any{"cnf": map[string]any{"jkt": thumbprint}})
	v, err := oidc.New(oidc.Config{Issuer: "i", JWKS: filepath.Join(dir, "keys")})
	must(t, err)
	Run(t, Mechanism{
		Name: "alice", Prover: oidc.Prover{Token: token, Key: mine}, Verifier: v,
		Foreign: oidc.Prover{Token: token, Key: other}, Bound: true, Once: true,
	})
}

// The plugin takes a name, the binding of the channel and a word.
func TestCustom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	must(t, os.WriteFile(path, []byte(`#!/bin/sh
want="alice $WARDFS_BINDING open sesame"
got=$(head -c 1000 | tr '\0' '?')
if [ "$got" = "$want" ]; then echo '{"principal":"alice"}'; else echo '{"refused":"not the word"}'; fi
`), 0o700))
	v, err := custom.New(custom.Config{Command: []string{path}})
	must(t, err)
	says := func(word string) identity.Prover {
		return custom.Prover{Proof: func(_ context.Context, c identity.Channel) ([]byte, error) {
			b, err := c.Binding()
			return fmt.Appendf(nil, "alice %x %s", b, word), err
		}}
	}
	Run(t, Mechanism{Name: "alice", Prover: says("open sesame"), Verifier: v, Foreign: says("open barley"), Bound: true})
}
