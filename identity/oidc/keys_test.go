package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/wardfs/wardfs/identity"
)

// Keys rotate under load: a token of the new key is good at once, one fetch
// serves all, and tokens of unknown keys can't make the server ask more often.
func TestRotation(t *testing.T) {
	i := newIssuer(t)
	var now atomic.Int64
	now.Store(start.UnixNano())
	c := i.config()
	c.Now = func() time.Time { return time.Unix(0, now.Load()) }
	v := verifier(t, c)
	a, b, evil := newEC(t, "a"), newEC(t, "b"), newEC(t, "evil")
	i.publish(a.public())
	check := func(k key) error {
		_, err := v.Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(nil)))
		return err
	}
	if err := check(a); err != nil {
		t.Fatal(err)
	}
	i.publish(a.public(), b.public())
	now.Add(int64(keysPause))
	for range 3 {
		if err := check(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.count(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	now.Add(int64(keysPause))
	for range 50 {
		if check(evil) == nil {
			t.Fatal("the key of nobody is good")
		}
	}
	if n := i.count(); n != 3 {
		t.Errorf("%d fetches, want 3: who chooses key ids decides how often is asked", n)
	}

	// The issuer is away: what is known stays good.
	i.mu.Lock()
	i.away = true
	i.mu.Unlock()
	now.Add(int64(keysAge) / 2)
	if err := check(b); err != nil {
		t.Errorf("while the issuer is away: %v", err)
	}
	if err := check(evil); err == nil {
		t.Error("while the issuer is away everything is good")
	}
}

func TestIssuerThatNeverWas(t *testing.T) {
	i := newIssuer(t)
	i.away = true
	_, err := verifier(t, i.config()).Check(t.Context(), identity.Channel{}, newEC(t, "a").sign(t, i.claims(nil)))
	if err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("%v", err)
	}
}

func TestKeysOfFile(t *testing.T) {
	i := newIssuer(t)
	k := newRSA(t, "k")
	b, err := k.public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "jwks.json")
	// With keys of kinds that are not known, symmetric and private ones.
	doc := `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"s"},{"kty":"new"},` + string(b) + `]}`
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{path, "file://" + path} {
		c := i.config()
		c.JWKS = where
		if _, err := verifier(t, c).Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(nil))); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	if i.count() != 0 {
		t.Error("the issuer was asked")
	}
}

func TestParseKeys(t *testing.T) {
	private, err := jose.JSONWebKey{Key: newEC(t, "p").priv, KeyID: "p"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ doc, want string }{
		"nothing":   {"", "not a set"},
		"a list":    {"[]", "not a set"},
		"no keys":   {"{}", "without a key"},
		"too many":  {`{"keys":[` + strings.TrimSuffix(strings.Repeat("{},", maxKeys+1), ",") + `]}`, "more than"},
		"symmetric": {`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, "without a key"},
		"private":   {`{"keys":[` + string(private) + `]}`, "without a key"},
	} {
		if _, err := parseKeys([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err == nil && len(keys) == 0 {
			t.Error("no keys and no error")
		}
		for _, k := range keys {
			if !k.IsPublic() {
				t.Error("a secret key")
			}
		}
	})
}

// A file that has changed is read at once: a key that came is good, one that
// went is not, and half a file changes nothing.
func TestKeyFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks")
	publish := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := func(kids ...string) string {
		var keys []string
		for _, kid := range kids {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			b, err := jose.JSONWebKey{Key: key.Public(), KeyID: kid}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, string(b))
		}
		return `{"keys":[` + strings.Join(keys, ",") + `]}`
	}
	s, err := newKeySet(Config{JWKS: path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		text string
		want int
	}{{set("a"), 1}, {set("a", "b", "c"), 3}, {`{"keys":[`, 3}, {set("b", "c"), 2}} {
		publish(c.text)
		if keys, err := s.get(t.Context()); err != nil || len(keys) != c.want {
			t.Errorf("step %d: %d keys, %v; want %d", i, len(keys), err, c.want)
		}
	}
}
