package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keysAge   = 10 * time.Minute // after which the keys are fetched again, in the background
	keysPause = 10 * time.Second // between two fetches, whoever asks
	maxKeys   = 100
	maxJWKS   = 1 << 20 // bytes of a document
)

// keySet is the issuer's published keys. The last good set stays until there
// is a better one: an issuer that is away keeps nobody out whose key is known.
// Tokens decide neither where keys come from nor how often they are fetched.
//
// A file costs nothing to look at: it is read again as soon as it has changed,
// so that a key that was taken out of it is good no more.
type keySet struct {
	fetch func(context.Context) ([]jose.JSONWebKey, error)
	stamp func() string // the state of the file; nil for an address
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	had   time.Time     // when keys were fetched
	tried time.Time     // when it was last tried
	seen  string        // the stamp of then
	err   error         // what came of it
	busy  chan struct{} // closed when the fetch under way is over; nil: none is
}

func newKeySet(c Config) (*keySet, error) {
	s := &keySet{now: c.Now, log: c.Log}
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	where := c.JWKS
	if path, ok := strings.CutPrefix(where, "file://"); ok {
		where = path
	}
	switch {
	case strings.HasPrefix(where, "/"):
		s.fetch = func(context.Context) ([]jose.JSONWebKey, error) { return readKeys(where) }
		s.stamp = func() string { return stampOf(where) }
	case where != "":
		if err := secure(where); err != nil {
			return nil, err
		}
		s.fetch = func(ctx context.Context) ([]jose.JSONWebKey, error) { return getKeys(ctx, client, where) }
	default:
		if err := secure(c.Issuer); err != nil {
			return nil, err
		}
		s.fetch = func(ctx context.Context) ([]jose.JSONWebKey, error) { return discover(ctx, client, c.Issuer) }
	}
	return s, nil
}

// secure refuses an address that who is on the way could answer for.
func secure(addr string) error {
	u, err := url.Parse(addr)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("oidc: %q: the keys come by https, or from a file (/path)", addr)
	}
	return nil
}

// stampOf is another text when a file has changed.
func stampOf(path string) string {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil {
		return "none"
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim)
}

// changed reports whether the file is another than the one that was read.
func (s *keySet) changed() bool { return s.stamp != nil && s.stamp() != s.seen }

// get answers the keys that are known, fetched if there are none. Old ones are
// good, and fetched anew beside.
func (s *keySet) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	s.mu.Lock()
	keys, old, changed := s.keys, s.now().Sub(s.had) > keysAge, s.changed()
	if keys != nil && old {
		s.begin()
	}
	s.mu.Unlock()
	if keys != nil && !changed {
		return keys, nil
	}
	return s.renew(ctx)
}

// renew fetches the keys, unless that was tried a moment ago, and answers
// those that are good now.
func (s *keySet) renew(ctx context.Context) ([]jose.JSONWebKey, error) {
	s.mu.Lock()
	busy := s.begin()
	s.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil, fmt.Errorf("the keys of the issuer can't be had: %w", s.err)
	}
	return s.keys, nil
}

// begin starts a fetch if it is time and none is under way; it answers when
// the one under way is over. s.mu is held. Who asks may go away: the fetch is
// for all who wait.
func (s *keySet) begin() chan struct{} {
	if s.busy != nil {
		return s.busy
	}
	if !s.tried.IsZero() && s.now().Sub(s.tried) < keysPause && !s.changed() {
		return nil
	}
	s.tried, s.busy = s.now(), make(chan struct{})
	if s.stamp != nil {
		s.seen = s.stamp() // before it is read: what changes meanwhile is read again
	}
	go func(busy chan struct{}) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		keys, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err = err; err == nil {
			s.keys, s.had = keys, s.now()
		} else {
			s.log.Warn("the keys of the issuer could not be fetched; those that are known stay", "known", len(s.keys), "err", err)
		}
		s.busy = nil
		close(busy)
	}(s.busy)
	return s.busy
}

// parseKeys takes the public keys for signatures out of a JWK set. Keys of
// another kind, or of no kind that is known here, are left out (RFC 7517, 5).
func parseKeys(b []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("not a set of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a set of more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("a set without a key that signs")
	}
	return keys, nil
}

func readKeys(path string) ([]jose.JSONWebKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJWKS))
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func getKeys(ctx context.Context, client *http.Client, addr string) ([]jose.JSONWebKey, error) {
	b, err := get(ctx, client, addr)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return keys, nil
}

// discover follows OpenID Connect Discovery 1.0: the document must be of the
// issuer that was asked.
func discover(ctx context.Context, client *http.Client, issuer string) ([]jose.JSONWebKey, error) {
	addr := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	b, err := get(ctx, client, addr)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if json.Unmarshal(b, &doc) != nil || doc.JWKS == "" {
		return nil, fmt.Errorf("%s: not the configuration of an issuer", addr)
	}
	if doc.Issuer != issuer {
		return nil, fmt.Errorf("%s: the configuration of issuer %q, and %q was asked", addr, clip(doc.Issuer), issuer)
	}
	if err := secure(doc.JWKS); err != nil {
		return nil, err
	}
	return getKeys(ctx, client, doc.JWKS)
}

func get(ctx context.Context, client *http.Client, addr string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", "application/json")
	r, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", addr, r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, maxJWKS))
}
