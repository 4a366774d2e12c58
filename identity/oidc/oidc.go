// Package oidc is the mechanism OIDC: the principal is a claim of a signed JWT
// that an OpenID Connect issuer, or Kubernetes, gave to the user (RFC 7519,
// RFC 9068). It checks the signature by the issuer's published keys and every
// claim that says for whom, from when and until when the token is.
//
// It refuses to be more than a check: how a user gets a token is package
// login's, and it takes no key, address or certificate out of the token itself. A bearer token
// is not bound to the TLS channel: whoever has it, is its user, and a token
// that was stolen can be used until it expires. A token that says to whom it is
// bound (cnf of RFC 8705) is held to it.
package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity"
)

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 16 << 10

// algorithms are those that a configuration may allow. None is symmetric, for
// the keys are public; "none" is none.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Config is what a Verifier holds tokens to.
type Config struct {
	Issuer string // what iss must be, to the letter; required
	// JWKS is where the issuer's keys are: an https URL, or a file. Empty: the
	// issuer is asked (OpenID Connect Discovery).
	JWKS       string
	Algorithms []string      // of signatures; default RS256, ES256
	Audience   []string      // one of them must be in aud; none: aud is not looked at
	Tenant     string        // what tid must be; empty: it is not looked at
	NotBefore  bool          // look at nbf
	Skew       time.Duration // how far the issuer's clock may be off; default 0
	MaxAge     time.Duration // how long ago a token may have been issued; default: as long as it is valid

	User   string // the claim that names the principal; default sub
	Groups string // the claim with its groups, a list or words; empty: none
	Roles  string // the claim with its roles, likewise

	// Use says what the groups of tokens are worth.
	Use Use
	// RoleGroups are the groups that a role gives, whatever Use is.
	RoleGroups map[string][]string
	// ReservedUsers may not come by a token, ReservedGroups not by a token's
	// claim of groups: a token that names such a user is refused, such a group
	// is left out. RoleGroups may give them.
	ReservedUsers, ReservedGroups []string

	Client *http.Client     // for keys; default: 10 s, the system's authorities
	Now    func() time.Time // default time.Now
	Log    *slog.Logger     // nil discards
}

// Use is what the groups that a token claims are worth.
type Use int

// The uses of groups.
const (
	Ignore Use = iota // nothing
	Add               // they come beside those that the server knows
	Only              // they are all, and a token is an account
)

// Claims are what a good token says.
type Claims struct {
	User    string
	Groups  []string
	Roles   []string
	Expires time.Time // when what the token proves ends, the skew included
}

// Verifier checks tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	c    Config
	algs []jose.SignatureAlgorithm
	keys *keySet
	seen seen
}

// New checks the configuration and asks nobody: keys are had when the first
// token comes.
func New(c Config) (*Verifier, error) {
	if c.Issuer == "" {
		return nil, errors.New("oidc: no issuer: name the one whose tokens are good")
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{string(jose.RS256), string(jose.ES256)}
	}
	if c.User == "" {
		c.User = "sub"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Skew < 0 || c.Skew > 10*time.Minute {
		return nil, fmt.Errorf("oidc: a clock skew of %v: choose between 0 and 10m", c.Skew)
	}
	v := &Verifier{c: c}
	for _, a := range c.Algorithms {
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(a)) {
			return nil, fmt.Errorf("oidc: algorithm %q is not allowed: choose of %v", a, algorithms)
		}
		v.algs = append(v.algs, jose.SignatureAlgorithm(a))
	}
	var err error
	v.keys, err = newKeySet(c)
	return v, err
}

// Mechanism is OIDC.
func (*Verifier) Mechanism() string { return identity.OIDC }

// Verify answers the principal of a token, which is the proof, with a proof of
// possession behind it where it is bound to a key.
func (v *Verifier) Verify(ctx context.Context, c identity.Channel, proof []byte) (identity.Verified, error) {
	if len(proof) > MaxToken+1+maxPossession {
		return identity.Verified{}, fmt.Errorf("%w: a token of %d bytes: the most is %d", identity.ErrRefused, len(proof), MaxToken)
	}
	token, key, more := strings.Cut(string(proof), "\n")
	if more && (key == "" || strings.Contains(key, "\n")) {
		return identity.Verified{}, fmt.Errorf("%w: what follows the token is no proof of possession", identity.ErrRefused)
	}
	cl, err := v.checkWith(ctx, c, token, key)
	if err != nil {
		return identity.Verified{}, fmt.Errorf("%w: %w", identity.ErrRefused, err)
	}
	return identity.Verified{
		Principal:  identity.Principal{Name: cl.User, Mechanism: identity.OIDC},
		Membership: v.c.member(cl), Expires: cl.Expires,
	}, nil
}

// Check answers what a token says, if it is a good one. Its errors say what is
// wrong with it and have nothing of the token but its claims.
func (v *Verifier) Check(ctx context.Context, c identity.Channel, token string) (Claims, error) {
	return v.checkWith(ctx, c, token, "")
}

func (v *Verifier) checkWith(ctx context.Context, c identity.Channel, token, key string) (Claims, error) {
	raw, err := v.parse(ctx, token)
	if err != nil {
		return Claims{}, err
	}
	cl, err := v.c.judge(raw)
	if err != nil {
		return Claims{}, err
	}
	return cl, v.bound(raw, token, key, c)
}

// CheckID answers until when an ID token is good that was given to the client
// whose name is the Audience. Its nonce must be that one, unless that is empty.
// For whom it is the client need not understand.
func (v *Verifier) CheckID(ctx context.Context, token, nonce string) (time.Time, error) {
	raw, err := v.parse(ctx, token)
	if err != nil {
		return time.Time{}, err
	}
	if err := v.c.judgeOrigin(raw); err != nil {
		return time.Time{}, err
	}
	if got, _ := raw["nonce"].(string); nonce != "" && subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
		return time.Time{}, errors.New("the token is an answer to another login (nonce)")
	}
	return when(raw, "exp")
}

// parse answers the claims of a token that the issuer has signed.
func (v *Verifier) parse(ctx context.Context, token string) (map[string]any, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("a token of %d bytes: the most is %d", len(token), MaxToken)
	}
	t, err := jwt.ParseSigned(token, v.algs)
	if err != nil {
		return nil, fmt.Errorf("not a token that is signed by one of %v", v.c.Algorithms)
	}
	if len(t.Headers) != 1 {
		return nil, errors.New("not a token with one signature")
	}
	return v.open(ctx, t)
}

// open answers the claims if one of the issuer's keys has signed them.
func (v *Verifier) open(ctx context.Context, t *jwt.JSONWebToken) (map[string]any, error) {
	head := t.Headers[0]
	good := func(keys []jose.JSONWebKey) map[string]any {
		for _, k := range keys {
			raw := map[string]any{}
			if fits(k, head) && t.Claims(k.Key, &raw) == nil {
				return raw
			}
		}
		return nil
	}
	keys, err := v.keys.get(ctx)
	if err != nil {
		return nil, err
	}
	if raw := good(keys); raw != nil {
		return raw, nil
	}
	// Keys rotate, and the issuer signs with a new one as soon as it has it.
	// Only a key that is not known is a reason to ask again.
	if slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool { return k.KeyID != "" && k.KeyID == head.KeyID }) {
		return nil, errors.New("the token's signature is wrong")
	}
	if keys, err = v.keys.renew(ctx); err != nil {
		return nil, err
	}
	if raw := good(keys); raw != nil {
		return raw, nil
	}
	return nil, errors.New("the token is signed by no key that its issuer publishes")
}

// fits reports whether a published key may be the one that signed.
func fits(k jose.JSONWebKey, h jose.Header) bool {
	return (h.KeyID == "" || k.KeyID == h.KeyID) && (k.Algorithm == "" || k.Algorithm == h.Algorithm)
}
