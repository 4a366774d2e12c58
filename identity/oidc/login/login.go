// Package login gets a user tokens from an OpenID Connect issuer: by a code
// that is typed in on another device (RFC 8628), or in a browser on this
// machine that comes back to a port of loopback (RFC 8252, with PKCE of RFC
// 7636). A [Store] keeps what was got, and gets newer tokens in time.
//
// It refuses to keep a client secret, to open a browser, and to take anything
// from an issuer over less than https.
//
//	p, err := login.Discover(ctx, login.Config{Issuer: "https://login.example.com", ClientID: "wardfs"})
//	tokens, err := p.Device(ctx, func(c login.Code) { fmt.Println(c.URL, c.UserCode) })
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/oidc"
)

const (
	maxAnswer = 1 << 20 // bytes of what an issuer says
	skew      = time.Minute
)

// Config is what a Provider needs.
type Config struct {
	Issuer   string
	ClientID string
	Scopes   []string     // default openid, profile, offline_access
	HTTP     *http.Client // default: 30 s, the system's authorities
	Now      func() time.Time
	// Wait returns after d, or when ctx ends; default by the clock.
	Wait func(ctx context.Context, d time.Duration) error
}

// Tokens are what an issuer has given.
type Tokens struct {
	ID, Access, Refresh string
	Got, Expires        time.Time // of ID, or of Access where there is no ID
}

// Provider is an issuer as it describes itself. It is safe for concurrent use.
type Provider struct {
	c        Config
	check    *oidc.Verifier
	endpoint struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Device        string `json:"device_authorization_endpoint"`
		JWKS          string `json:"jwks_uri"`
		Revocation    string `json:"revocation_endpoint"`
	}
}

// Discover asks an issuer where its endpoints are. The document must be of the
// issuer that was asked, to the letter.
func Discover(ctx context.Context, c Config) (*Provider, error) {
	if c.ClientID == "" {
		return nil, errors.New("login: no client: name the one that is registered at the issuer")
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "offline_access"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	c.HTTP = straight(c.HTTP)
	p := &Provider{c: c}
	if err := secure(c.Issuer); err != nil {
		return nil, err
	}
	addr := strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration"
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	if code, err := p.do(q, &p.endpoint); err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("login: %s: %w", addr, orStatus(err, code))
	}
	if p.endpoint.Issuer != c.Issuer {
		return nil, fmt.Errorf("login: %s: it is issuer %q, and %q was asked", addr, identity.Clip(p.endpoint.Issuer), c.Issuer)
	}
	for _, addr := range []string{p.endpoint.Token, p.endpoint.JWKS} {
		if err := secure(addr); err != nil {
			return nil, err
		}
	}
	p.check, err = oidc.New(oidc.Config{
		Issuer: c.Issuer, JWKS: p.endpoint.JWKS, Audience: []string{c.ClientID}, Skew: skew, Client: c.HTTP, Now: c.Now,
		Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
	})
	return p, err
}

// straight follows no redirect: nobody but the issuer's endpoints is to see
// what is sent to them.
func straight(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Timeout: 30 * time.Second}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func secure(addr string) error {
	u, err := url.Parse(addr)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !printable(addr) {
		return fmt.Errorf("login: %q: an issuer and its endpoints have addresses of https", identity.Clip(addr))
	}
	return nil
}

// printable reports whether s may be shown on a terminal.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func orStatus(err error, code int) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("status %d", code)
}

// refusal is an error as RFC 6749, 5.2 has it.
type refusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (r *refusal) Error() string {
	text := map[string]string{
		"access_denied":       "the login was refused",
		"expired_token":       "the code has expired: log in again, and sooner",
		"invalid_grant":       "the issuer does not take it any more: log in again",
		"invalid_client":      "the issuer does not know this client, or wants a secret of it",
		"unauthorized_client": "the issuer does not let this client log in so",
		"invalid_scope":       "the issuer does not give this client one of the scopes",
	}[r.Code]
	if text == "" {
		text = "the issuer refuses"
	}
	if text += " (" + identity.Clip(r.Code); r.Description != "" {
		text += ": " + identity.Clip(r.Description)
	}
	return text + ")"
}

// answer is what a token endpoint says.
type answer struct {
	refusal
	ID      string  `json:"id_token"`
	Access  string  `json:"access_token"`
	Refresh string  `json:"refresh_token"`
	Type    string  `json:"token_type"`
	Life    float64 `json:"expires_in"` // seconds
}

// grant asks the token endpoint. A refusal is a *refusal.
func (p *Provider) grant(ctx context.Context, form url.Values, nonce string) (Tokens, error) {
	form.Set("client_id", p.c.ClientID)
	var a answer
	code, err := p.post(ctx, p.endpoint.Token, form, &a)
	switch {
	case err != nil:
		return Tokens{}, err
	case a.Code != "":
		return Tokens{}, &a.refusal
	case code != http.StatusOK:
		return Tokens{}, fmt.Errorf("the issuer answers with status %d", code)
	case !strings.EqualFold(a.Type, "bearer"):
		return Tokens{}, fmt.Errorf("the issuer gives tokens of type %q, and only bearer is understood", identity.Clip(a.Type))
	case len(a.ID) > oidc.MaxToken || len(a.Access) > oidc.MaxToken || len(a.Refresh) > oidc.MaxToken:
		return Tokens{}, fmt.Errorf("the issuer gives a token of more than %d bytes", oidc.MaxToken)
	}
	t := Tokens{ID: a.ID, Access: a.Access, Refresh: a.Refresh, Got: p.c.Now()}
	t.Expires = t.Got.Add(time.Duration(min(max(a.Life, 0), 1e9)) * time.Second)
	if a.ID == "" {
		if a.Access == "" || nonce != "" {
			return Tokens{}, errors.New("the issuer gives no ID token")
		}
		return t, nil
	}
	if t.Expires, err = p.check.CheckID(ctx, a.ID, nonce); err != nil {
		return Tokens{}, fmt.Errorf("the issuer gives an ID token that is not good: %w", err)
	}
	return t, nil
}

// Refresh gets newer tokens. The refresh token that comes with them, if one
// does, is good from then on in place of the one that was shown.
func (p *Provider) Refresh(ctx context.Context, token string) (Tokens, error) {
	t, err := p.grant(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "")
	if err != nil {
		var no *refusal
		if errors.As(err, &no) {
			err = fmt.Errorf("%w: %w", identity.ErrCredential, err)
		}
		return Tokens{}, fmt.Errorf("login: refresh: %w", err)
	}
	if t.Refresh == "" {
		t.Refresh = token
	}
	return t, nil
}

// Revoke tells the issuer that a refresh token is wanted no more (RFC 7009).
// Not every issuer takes that.
func (p *Provider) Revoke(ctx context.Context, token string) error {
	if secure(p.endpoint.Revocation) != nil {
		return errors.New("login: the issuer has no way to take a token back: it expires by itself")
	}
	var a answer
	code, err := p.post(ctx, p.endpoint.Revocation, url.Values{"token": {token}, "token_type_hint": {"refresh_token"}, "client_id": {p.c.ClientID}}, &a)
	if code == http.StatusOK { // the body says nothing
		return nil
	}
	if a.Code != "" {
		err = &a.refusal
	}
	return fmt.Errorf("login: %w", orStatus(err, code))
}

func (p *Provider) post(ctx context.Context, addr string, form url.Values, into any) (int, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, addr, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(q, into)
}

func (p *Provider) do(q *http.Request, into any) (int, error) {
	q.Header.Set("Accept", "application/json")
	r, err := p.c.HTTP.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which the caller knows
		}
		return 0, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	switch {
	case err != nil:
		return r.StatusCode, err
	case len(b) > maxAnswer:
		return r.StatusCode, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	case json.Unmarshal(b, into) != nil:
		return r.StatusCode, fmt.Errorf("status %d and an answer that is not understood", r.StatusCode)
	}
	return r.StatusCode, nil
}
