package delegation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// channel is both ends of a TLS channel that is up.
func channel(t *testing.T) (client, server identity.Channel) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	must(t, err)
	a, b := net.Pipe()
	s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true})
	c := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	must(t, c.Handshake())
	must(t, <-done)
	t.Cleanup(func() { a.Close(); b.Close() })
	return identity.Channel{TLS: c.ConnectionState()}, identity.Channel{TLS: s.ConnectionState()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fresh(t *testing.T) Token {
	t.Helper()
	token, err := New(rand.Reader)
	must(t, err)
	return token
}

// knows is a Verifier that knows one token.
func knows(token Token, g Grant) Verifier {
	return Verifier{Lookup: func(_ context.Context, id ID) (Grant, bool, error) { return g, id == token.ID, nil }}
}

func TestProof(t *testing.T) {
	token := fresh(t)
	c, s := channel(t)
	good := Grant{Owner: "alice", Public: token.Public(), Expires: time.Now().Add(time.Hour)}
	proof, err := Prover{Token: Fixed(token.Text() + "\n")}.Prove(t.Context(), c)
	must(t, err)
	if bytes.Contains(proof.Bytes, token.key.Seed()) {
		t.Error("the secret travels")
	}
	who, err := knows(token, good).Verify(t.Context(), s, proof.Bytes)
	must(t, err)
	if who.Principal != (identity.Principal{Name: "alice", Mechanism: identity.Token}) || !who.Expires.Equal(good.Expires) || who.Credential != token.ID.String() {
		t.Errorf("%+v", who)
	}

	refused := func(what, why string, v Verifier, s identity.Channel, proof []byte) {
		t.Helper()
		if _, err := v.Verify(t.Context(), s, proof); !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", what, err, why)
		}
	}
	_, other := channel(t)
	refused("relayed or replayed on another channel", "not known", knows(token, good), other, proof.Bytes)
	refused("a token that there is not", "not known", knows(fresh(t), good), s, proof.Bytes)
	forged := good
	forged.Public = fresh(t).Public()
	refused("another's key", "not known", knows(token, forged), s, proof.Bytes)
	late := good
	late.Expires = time.Now().Add(-time.Second)
	refused("expired", "expired", knows(token, late), s, proof.Bytes)
	for i := range proof.Bytes {
		bent := bytes.Clone(proof.Bytes)
		bent[i] ^= 1
		refused("a bit of it", "", knows(token, good), s, bent)
	}
	refused("cut short", "none of version", knows(token, good), s, proof.Bytes[:40])
	refused("longer", "none of version", knows(token, good), s, append(bytes.Clone(proof.Bytes), 0))
	refused("nothing", "none of version", knows(token, good), s, nil)
}

func TestFile(t *testing.T) {
	dir, token := t.TempDir(), fresh(t)
	path := filepath.Join(dir, "token")
	must(t, os.WriteFile(path, []byte(token.Text()+"\n"), 0o600))
	got, err := File(path)()
	must(t, err)
	if got.ID != token.ID || !got.key.Equal(token.key) {
		t.Error("it is another token")
	}
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("hunter2"), 0o600))
	for path, why := range map[string]string{"none": "no such file", "fifo": "no plain file", ".": "no plain file", "other": "no delegation token"} {
		if _, err := File(filepath.Join(dir, path))(); err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", path, err, why)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o777} {
		must(t, os.Chmod(path, mode))
		if _, err := File(path)(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := (Prover{Token: File(path)}).Prove(t.Context(), identity.Channel{}); !errors.Is(err, identity.ErrCredential) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("")
	f.Add(prefix)
	f.Add(fromBytes(make([]byte, 48)).Text())
	f.Add(prefix + strings.Repeat("A", 64) + "=")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err == nil && token.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, token.Text())
		}
	})
}
