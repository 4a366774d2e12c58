package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity"
)

var start = time.Unix(1_800_000_000, 0)

// issuer publishes its keys over TLS and counts who asks.
type issuer struct {
	*httptest.Server
	mu    sync.Mutex
	keys  []jose.JSONWebKey
	asked int
	away  bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.asked++; i.away {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	})
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

type key struct {
	priv crypto.Signer
	kid  string
	alg  jose.SignatureAlgorithm
}

func newRSA(t *testing.T, kid string) key {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key{k, kid, jose.RS256}
}

func newEC(t *testing.T, kid string) key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key{k, kid, jose.ES256}
}

func (k key) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.priv.Public(), KeyID: k.kid, Use: "sig"}
}

func (k key) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	return sign(t, jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.priv, KeyID: k.kid}}, claims, nil)
}

func sign(t *testing.T, k jose.SigningKey, claims map[string]any, head map[jose.HeaderKey]any) string {
	t.Helper()
	s, err := jose.NewSigner(k, &jose.SignerOptions{ExtraHeaders: head})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are good ones, with changes; nil takes one away.
func (i *issuer) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "sub": "alice", "aud": []string{"wardfs", "other"}, "tid": "t1",
		"iat": start.Unix() - 60, "exp": start.Unix() + 600, "groups": []string{"eng", "ops"}, "scp": "read write",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (i *issuer) config() Config {
	return Config{
		Issuer: i.URL, Audience: []string{"wardfs"}, Tenant: "t1", NotBefore: true, Skew: 30 * time.Second, Groups: "groups", Roles: "scp",
		Client: i.Client(), Now: func() time.Time { return start },
	}
}

func verifier(t *testing.T, c Config) *Verifier {
	t.Helper()
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoodToken(t *testing.T) {
	i := newIssuer(t)
	a, b := newRSA(t, "a"), newEC(t, "b")
	i.publish(a.public(), b.public())
	v := verifier(t, i.config())
	for _, k := range []key{a, b} {
		got, err := v.Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(nil)))
		if err != nil || got.User != "alice" || !slices.Equal(got.Groups, []string{"eng", "ops"}) ||
			!slices.Equal(got.Roles, []string{"read", "write"}) || !got.Expires.Equal(start.Add(630*time.Second)) {
			t.Errorf("%s: %+v %v", k.kid, got, err)
		}
	}
	p, err := v.Verify(t.Context(), identity.Channel{}, []byte(a.sign(t, i.claims(nil))))
	if want := (identity.Principal{Name: "alice", Mechanism: identity.OIDC}); err != nil || p.Principal != want || len(p.Groups) != 0 || p.Alone {
		t.Errorf("%v %v", p, err)
	}
	if n := i.count(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// Each token is bad in one way, and the answer names it.
func TestBadTokens(t *testing.T) {
	i := newIssuer(t)
	k, other := newRSA(t, "k"), newRSA(t, "k")
	i.publish(k.public())
	v := verifier(t, i.config())
	signed := func(change map[string]any) string { return k.sign(t, i.claims(change)) }
	public, err := x509.MarshalPKIXPublicKey(k.priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Split(signed(nil), ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	unix := start.Unix()
	for name, c := range map[string]struct{ token, want string }{
		"empty":                  {"", "not a token"},
		"no token":               {"hello", "not a token"},
		"huge":                   {signed(map[string]any{"x": strings.Repeat("x", MaxToken)}), "the most is"},
		"none":                   {b64(`{"alg":"none"}`) + "." + good[1] + ".", "not a token that is signed"},
		"NoNe":                   {b64(`{"alg":"NoNe"}`) + "." + good[1] + ".", "not a token that is signed"},
		"no signature":           {good[0] + "." + good[1] + ".", "signature is wrong"},
		"another's signature":    {other.sign(t, i.claims(nil)), "signature is wrong"},
		"changed":                {good[0] + "." + b64(`{"sub":"root"}`) + "." + good[2], "signature is wrong"},
		"public key as a secret": {sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, i.claims(nil), nil), "not a token that is signed"},
		"algorithm not allowed":  {key{k.priv, "k", jose.RS512}.sign(t, i.claims(nil)), "not a token that is signed"},
		"unknown key":            {newRSA(t, "other").sign(t, i.claims(nil)), "by no key"},
		"kid as a path":          {key{k.priv, "../../dev/null", jose.RS256}.sign(t, i.claims(nil)), "by no key"},
		"key in the token":       {embedded(t, other, i.claims(nil)), "signature is wrong"},
		"crit":                   {sign(t, jose.SigningKey{Algorithm: k.alg, Key: k.priv}, i.claims(nil), map[jose.HeaderKey]any{"crit": []string{"x"}, "x": 1}), "by no key"},
		"kid as a statement":     {key{k.priv, "x' OR '1'='1", jose.RS256}.sign(t, i.claims(nil)), "by no key"},
		"key by an address":      {sign(t, jose.SigningKey{Algorithm: other.alg, Key: other.priv}, i.claims(nil), map[jose.HeaderKey]any{"kid": "k", "jku": "https://evil.test/keys", "x5u": "https://evil.test/cert"}), "signature is wrong"},
		"as an object":           {`{"payload":"` + good[1] + `","protected":"` + good[0] + `","signature":"` + good[2] + `"}`, "not a token"},
		"encrypted":              {good[0] + "." + good[1] + "." + good[2] + ".a.b", "not a token"},
		"two of them":            {signed(nil) + "." + signed(nil), "not a token"},
		"issuer with a slash":    {signed(map[string]any{"iss": i.URL + "/"}), "of issuer"},
		"issuers":                {signed(map[string]any{"iss": []string{i.URL}}), "of issuer"},
		"issuer":                 {signed(map[string]any{"iss": "https://evil.example"}), "of issuer"},
		"no issuer":              {signed(map[string]any{"iss": nil}), "of issuer"},
		"audience":               {signed(map[string]any{"aud": "somebody"}), "a token for somebody"},
		"no audience":            {signed(map[string]any{"aud": nil}), "a token for"},
		"audience in a word":     {signed(map[string]any{"aud": "x wardfs"}), "a token for"},
		"audience of numbers":    {signed(map[string]any{"aud": []any{1}}), "a token for"},
		"tenant":                 {signed(map[string]any{"tid": "t2"}), "of tenant"},
		"expired":                {signed(map[string]any{"exp": unix - 31}), "expired 31s ago"},
		"no expiry":              {signed(map[string]any{"exp": nil}), "does not say exp"},
		"expiry in words":        {signed(map[string]any{"exp": "never"}), "does not say exp"},
		"expiry far away":        {signed(map[string]any{"exp": 1e15}), "does not say exp"},
		"for ten years":          {signed(map[string]any{"exp": unix + 10*365*86400}), "longer than any"},
		"issued in the future":   {signed(map[string]any{"iat": unix + 31}), "in the future"},
		"no time of issue":       {signed(map[string]any{"iat": nil}), "does not say iat"},
		"not yet":                {signed(map[string]any{"nbf": unix + 31}), "not good yet"},
		"no user":                {signed(map[string]any{"sub": nil}), "claim sub names no user"},
		"a number for a user":    {signed(map[string]any{"sub": 1}), "claim sub names no user"},
		"a user with a line":     {signed(map[string]any{"sub": "a\nb"}), "claim sub names no user"},
		"groups of numbers":      {signed(map[string]any{"groups": []any{"eng", 1}}), "claim groups"},
		"a group with a line":    {signed(map[string]any{"groups": []any{"a\nb"}}), "claim groups"},
		"bound, nothing shown":   {signed(map[string]any{"cnf": map[string]any{"x5t#S256": "abc"}}), "shows none"},
		"bound by DPoP":          {signed(map[string]any{"cnf": map[string]any{"jkt": "abc"}}), "give it by -o dpop_key="},
		"bound to a secret":      {signed(map[string]any{"cnf": map[string]any{"jwk": map[string]any{}}}), `(cnf: "jwk")`},
		"bound by two, one odd":  {signed(map[string]any{"cnf": map[string]any{"jkt": "abc", "kid": "x"}}), `(cnf: "kid")`},
		"bound by nothing":       {signed(map[string]any{"cnf": map[string]any{}}), "can't be checked"},
		"bound to nothing":       {signed(map[string]any{"cnf": "x"}), "can't be checked"},
	} {
		_, err := v.Verify(t.Context(), identity.Channel{}, []byte(c.token))
		if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && len(c.token) > 20 && strings.Contains(err.Error(), c.token[len(c.token)-20:]) {
			t.Errorf("%s: the error has the token in it", name)
		}
	}
}

// embedded puts the key that signs into the token's header.
func embedded(t *testing.T, k key, claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: k.priv}, &jose.SignerOptions{EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{"kid": "k"}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Within the skew a token is good, and what is not configured is not looked at.
func TestLeeway(t *testing.T) {
	i := newIssuer(t)
	k := newRSA(t, "k")
	i.publish(k.public())
	strict, loose := i.config(), i.config()
	loose.Audience, loose.Tenant, loose.NotBefore, loose.Groups, loose.Roles = nil, "", false, "", ""
	unix := start.Unix()
	for name, c := range map[string]struct {
		config Config
		change map[string]any
	}{
		"just expired":    {strict, map[string]any{"exp": unix - 29}},
		"soon":            {strict, map[string]any{"iat": unix + 29, "nbf": unix + 29}},
		"half a second":   {strict, map[string]any{"exp": float64(unix) + 0.5}},
		"one audience":    {strict, map[string]any{"aud": "wardfs"}},
		"no groups":       {strict, map[string]any{"groups": nil, "scp": nil}},
		"not looked at":   {loose, map[string]any{"aud": nil, "tid": nil, "nbf": unix + 1000, "groups": 7}},
		"groups in words": {strict, map[string]any{"groups": "eng, ops"}},
	} {
		if _, err := verifier(t, c.config).Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(c.change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := i.config()
	old.MaxAge = 20 * time.Second
	if _, err := verifier(t, old).Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(nil))); err == nil || !strings.Contains(err.Error(), "get a new one") {
		t.Errorf("an old token: %v", err)
	}
}

// A token that is bound to a certificate is good over that channel alone.
func TestBoundToCertificate(t *testing.T) {
	i := newIssuer(t)
	k := newRSA(t, "k")
	i.publish(k.public())
	v := verifier(t, i.config())
	mine, other := &x509.Certificate{Raw: []byte("mine")}, &x509.Certificate{Raw: []byte("other")}
	sum := sha256.Sum256(mine.Raw)
	token := k.sign(t, i.claims(map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}}))
	for cert, want := range map[*x509.Certificate]string{mine: "", other: "another certificate"} {
		ch := identity.Channel{TLS: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}}
		_, err := v.Check(t.Context(), ch, token)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", cert.Raw, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		c    Config
		want string
	}{
		"no issuer":       {Config{}, "no issuer"},
		"plain issuer":    {Config{Issuer: "http://a.example"}, "by https"},
		"plain keys":      {Config{Issuer: "x", JWKS: "http://a.example/keys"}, "by https"},
		"none":            {Config{Issuer: "https://a.example", Algorithms: []string{"none"}}, `"none" is not allowed`},
		"symmetric":       {Config{Issuer: "https://a.example", Algorithms: []string{"HS256"}}, "not allowed"},
		"skew of an hour": {Config{Issuer: "https://a.example", Skew: time.Hour}, "skew"},
	} {
		if _, err := New(c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	v, err := New(Config{Issuer: "x", JWKS: "/nowhere"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Check(context.Background(), identity.Channel{}, token); err == nil {
			t.Error("a token was good that no key has signed")
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"iss":"x","sub":"a","iat":1,"exp":1800000100,"groups":["a"],"cnf":{}}`))
	c := Config{Issuer: "x", User: "sub", Groups: "groups", Roles: "groups", NotBefore: true, Audience: []string{"a"}, Now: func() time.Time { return start }}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw := map[string]any{}
		if json.Unmarshal(b, &raw) != nil {
			return
		}
		if cl, err := c.judge(raw); err == nil && (identity.CheckName(cl.User) != nil || !cl.Expires.After(start)) {
			t.Errorf("%+v", cl)
		}
	})
}
