package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// browserTime is how long a user may take.
const browserTime = 10 * time.Minute

// Browser logs in by a browser on this machine. show is called once, with the
// address to open; then it waits for the browser to come back to a port of
// loopback.
func (p *Provider) Browser(ctx context.Context, show func(addr string)) (Tokens, error) {
	t, err := p.browser(ctx, show)
	if err != nil {
		return t, fmt.Errorf("login: %w", err)
	}
	return t, nil
}

func (p *Provider) browser(ctx context.Context, show func(addr string)) (Tokens, error) {
	if err := secure(p.endpoint.Authorization); err != nil {
		return Tokens{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, browserTime)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Tokens{}, err
	}
	back := "http://" + l.Addr().String() + "/callback"
	state, nonce, verifier := secret(), secret(), secret()
	challenge := sha256.Sum256([]byte(verifier))
	addr, err := url.Parse(p.endpoint.Authorization)
	if err != nil {
		return Tokens{}, err
	}
	q := addr.Query()
	for k, v := range map[string]string{
		"response_type": "code", "client_id": p.c.ClientID, "redirect_uri": back, "scope": strings.Join(p.c.Scopes, " "),
		"state": state, "nonce": nonce, "code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]),
	} {
		q.Set(k, v)
	}
	addr.RawQuery = q.Encode()

	came := make(chan url.Values, 1)
	srv := &http.Server{Handler: p.callback(l.Addr().String(), state, came), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go srv.Serve(l)
	// The page is to reach the browser before its port is gone.
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.Shutdown(ctx)
	}()
	show(addr.String())
	select {
	case q = <-came:
	case <-ctx.Done():
		return Tokens{}, fmt.Errorf("no browser came back: %w", ctx.Err())
	}
	if code := q.Get("error"); code != "" {
		return Tokens{}, &refusal{Code: code, Description: q.Get("error_description")}
	}
	return p.grant(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {back}, "code_verifier": {verifier}}, nonce)
}

// secret is 256 bits that nobody guesses, as RFC 7636 wants them.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// callback takes the one request that bears the state. Whatever else comes to
// the port is sent away, and changes nothing: any program of this machine, and
// any page in the browser, can knock.
func (p *Provider) callback(host, state string, came chan<- url.Values) http.Handler {
	check := func(r *http.Request) error {
		q := r.URL.Query()
		switch {
		case r.Method != http.MethodGet || r.URL.Path != "/callback" || r.Host != host:
			return errors.New("there is nothing here")
		case len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1:
			return errors.New("this is no answer to the login that is under way")
		case q.Has("iss") && q.Get("iss") != p.c.Issuer: // RFC 9207
			return errors.New("this is the answer of another issuer")
		case len(q["code"]) != 1 && q.Get("error") == "":
			return errors.New("this is no answer to a login")
		}
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if err := check(r); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintln(w, err)
			return
		}
		select {
		case came <- r.URL.Query():
			fmt.Fprintln(w, "The answer has reached wardfs. You can close this page.")
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintln(w, "the answer was there already")
		}
	})
}
