package oidc

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/identitytest"
)

// Each proof of possession is bad in one way, and the answer names it.
func TestPossession(t *testing.T) {
	i := newIssuer(t)
	k, mine, other := newEC(t, "k"), newEC(t, ""), newEC(t, "")
	i.publish(k.public())
	v := verifier(t, i.config())
	sum, err := (&jose.JSONWebKey{Key: mine.priv.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	token := k.sign(t, i.claims(map[string]any{"cnf": map[string]any{"jkt": b64(sum)}}))
	ch := identitytest.NewChannels(t).Open(true).Server
	binding, err := ch.Binding()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	proof := func(key crypto.Signer, typ string, change map[string]any) string {
		t.Helper()
		n++
		claims := map[string]any{
			"jti": strings.Repeat("x", 8+n), "htm": possessionMethod, "htu": possessionURI, "iat": start.Unix(), "ath": digest(token), "nonce": b64(binding),
		}
		for name, value := range change {
			claims[name] = value
		}
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		out, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	with := func(change map[string]any) string { return proof(mine.priv, possessionType, change) }
	once, unix := with(nil), start.Unix()
	if _, err := v.Verify(t.Context(), ch, []byte(token+"\n"+once)); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(with(nil), ".")
	for name, c := range map[string]struct{ token, proof, want string }{
		"shown before":      {token, once, "shown before"},
		"with white space":  {token, once[:10] + " " + once[10:], "possession"},
		"none":              {token, "", "is no proof"},
		"noise":             {token, "noise", "is none"},
		"huge":              {token, strings.Repeat("x", maxPossession), "is none"},
		"the token itself":  {token, token, "is none"},
		"another's key":     {token, proof(other.priv, possessionType, nil), "another key"},
		"another type":      {token, proof(mine.priv, "jwt", nil), "is none"},
		"another signature": {token, parts[0] + "." + parts[1] + "." + strings.Split(with(nil), ".")[2], "not signed by its key"},
		"another method":    {token, with(map[string]any{"htm": "POST"}), "something else"},
		"another use":       {token, with(map[string]any{"htu": "https://a.test/"}), "something else"},
		"another token":     {token, with(map[string]any{"ath": digest("x")}), "another token"},
		"no token":          {token, with(map[string]any{"ath": nil}), "another token"},
		"another channel":   {token, with(map[string]any{"nonce": b64(make([]byte, 32))}), "another channel"},
		"no channel":        {token, with(map[string]any{"nonce": ""}), "another channel"},
		"old":               {token, with(map[string]any{"iat": unix - 100}), "not made just now"},
		"of tomorrow":       {token, with(map[string]any{"iat": unix + 100}), "not made just now"},
		"without a name":    {token, with(map[string]any{"jti": ""}), "no name of its own"},
		"types":             {token, with(map[string]any{"jti": 1}), "is none"},
		"an unbound token":  {k.sign(t, i.claims(nil)), with(nil), "bound to no key"},
		"a bound by no key": {k.sign(t, i.claims(map[string]any{"cnf": map[string]any{"jkt": ""}})), with(nil), "another key"},
	} {
		_, err := v.Verify(t.Context(), ch, []byte(c.token+"\n"+c.proof))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := v.Verify(t.Context(), ch, []byte(token)); err == nil || !strings.Contains(err.Error(), "dpop_key=") {
		t.Errorf("no proof: %v", err)
	}
	if _, err := v.Verify(t.Context(), identity.Channel{}, []byte(token+"\n"+with(nil))); err == nil {
		t.Error("it is good without a channel")
	}
}

// What was seen is forgotten when it would not be good any more, and nothing is
// forgotten before.
func TestSeen(t *testing.T) {
	var s seen
	now := time.Unix(1_800_000_000, 0)
	for n := range maxSeen {
		if err := s.once(fmt.Sprint(n), now, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.once("one more", now, time.Minute); err == nil {
		t.Error("there is no end")
	}
	if err := s.once("one more", now.Add(2*time.Minute), time.Minute); err != nil || len(s.until) != 1 {
		t.Errorf("%v, %d are kept", err, len(s.until))
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, k := range []key{newEC(t, ""), newRSA(t, "")} {
		der, err := x509.MarshalPKCS8PrivateKey(k.priv)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readKey(path); err != nil {
			t.Error(err)
		}
	}
	for name, text := range map[string]string{"empty": "", "noise": "noise", "another block": "-----BEGIN X-----\nAAAA\n-----END X-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readKey(path); err == nil {
			t.Errorf("%s: it is a key", name)
		}
	}
}

func FuzzPossession(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0In0.e30.AA")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, proof string) {
		if _, err := openPossession("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", proof); err == nil {
			t.Error("a proof was good that no key has signed")
		}
	})
}
