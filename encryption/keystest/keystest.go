// Package keystest is the contract of encryption.Keys, for every body of it.
package keystest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/encryption"
)

// Run holds keys to the contract. wrapping names a wrapping key that may be
// used, other a second one.
func Run(t *testing.T, keys encryption.Keys, wrapping, other string) {
	s := suite{keys, wrapping, other}
	t.Run("RoundTrip", s.roundTrip)
	t.Run("Batch", s.batch)
	t.Run("Refusals", s.refusals)
	t.Run("Hidden", s.hidden)
	t.Run("Concurrent", s.concurrent)
	t.Run("Cancelled", s.cancelled)
	if r, ok := keys.(encryption.Rewrapper); ok {
		t.Run("Rewrap", func(t *testing.T) { s.rewrap(t, r) })
	}
}

type suite struct {
	keys            encryption.Keys
	wrapping, other string
}

func (s suite) make(t *testing.T, wrapping string) encryption.Wrapped {
	t.Helper()
	w, err := s.keys.New(t.Context(), wrapping)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	return w
}

// open answers the bytes of each key, all of which must open.
func (s suite) open(t *testing.T, keys ...encryption.Wrapped) [][]byte {
	t.Helper()
	opened, err := s.keys.Unwrap(t.Context(), s.wrapping, keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(opened) != len(keys) {
		t.Fatalf("%d keys were asked for, %d came", len(keys), len(opened))
	}
	var out [][]byte
	for i, o := range opened {
		if o.Err != nil {
			t.Fatalf("key %d: %v", i, o.Err)
		}
		out = append(out, plain(t, o.Secret))
	}
	return out
}

func plain(t *testing.T, s *encryption.Secret) []byte {
	t.Helper()
	defer s.Wipe()
	var b []byte
	if err := s.Use(func(key []byte) error { b = bytes.Clone(key); return nil }); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s suite) roundTrip(t *testing.T) {
	a, b := s.make(t, s.wrapping), s.make(t, s.wrapping)
	if a == b {
		t.Fatal("two keys have one wrapped form")
	}
	first, second := s.open(t, a)[0], s.open(t, b)[0]
	if bytes.Equal(first, second) {
		t.Fatal("two keys are the same")
	}
	if !bytes.Equal(first, s.open(t, a)[0]) {
		t.Fatal("a key opened twice differs")
	}
}

func (s suite) batch(t *testing.T) {
	var keys []encryption.Wrapped
	var want [][]byte
	for range 5 {
		w := s.make(t, s.wrapping)
		keys, want = append(keys, w), append(want, s.open(t, w)[0])
	}
	for i, got := range s.open(t, keys...) {
		if !bytes.Equal(got, want[i]) {
			t.Errorf("key %d is another's", i)
		}
	}
	keys[2] = damage(keys[2])
	opened, err := s.keys.Unwrap(t.Context(), s.wrapping, keys)
	if err != nil {
		t.Fatalf("one key of five is damaged: %v", err)
	}
	for i, o := range opened {
		if i == 2 {
			if !errors.Is(o.Err, encryption.ErrDenied) || o.Secret != nil {
				t.Errorf("a damaged key: %v", o.Err)
			}
		} else if o.Err != nil || !bytes.Equal(plain(t, o.Secret), want[i]) {
			t.Errorf("key %d, beside a damaged one: %v", i, o.Err)
		}
	}
	if opened, err := s.keys.Unwrap(t.Context(), s.wrapping, nil); err != nil || len(opened) != 0 {
		t.Errorf("no keys: %v, %v", opened, err)
	}
}

// damage changes a byte near the end of what is wrapped.
func damage(w encryption.Wrapped) encryption.Wrapped {
	i := len(w) - 8
	c := byte('A')
	if w[i] == c {
		c = 'B'
	}
	return w[:i] + encryption.Wrapped(c) + w[i+1:]
}

func (s suite) refusals(t *testing.T) {
	w := s.make(t, s.wrapping)
	for name, keys := range map[string][]encryption.Wrapped{
		"damaged": {damage(w)}, "cut": {w[:len(w)/2]}, "foreign": {"age1qqqq"}, "empty": {""},
		"of the other wrapping key": {s.make(t, s.other)},
	} {
		opened, err := s.keys.Unwrap(t.Context(), s.wrapping, keys)
		if err == nil {
			err = opened[0].Err
		}
		if !errors.Is(err, encryption.ErrDenied) {
			t.Errorf("%s: %v, want a denial", name, err)
		}
	}
	if opened, err := s.keys.Unwrap(t.Context(), "there-is-none", []encryption.Wrapped{w}); err == nil && opened[0].Err == nil {
		t.Error("a wrapping key that is not there opened a key")
	}
	for _, name := range []string{"", "..", "a/../../b", "a\x00b"} {
		if _, err := s.keys.New(t.Context(), name); !errors.Is(err, encryption.ErrDenied) {
			t.Errorf("a key under %q: %v", name, err)
		}
	}
}

// hidden: the wrapped form does not have the key in it, nor does an error.
func (s suite) hidden(t *testing.T) {
	w := s.make(t, s.wrapping)
	key := s.open(t, w)[0]
	forms := []string{string(key), base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key)}
	for _, form := range forms {
		if strings.Contains(string(w), form) {
			t.Error("the wrapped key holds the key")
		}
	}
	raw, _ := base64.StdEncoding.DecodeString(string(w[strings.LastIndexByte(string(w), ':')+1:]))
	if bytes.Contains(raw, key) {
		t.Error("the wrapped key holds the key in base64")
	}
}

func (s suite) concurrent(t *testing.T) {
	w := s.make(t, s.wrapping)
	want := s.open(t, w)[0]
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			opened, err := s.keys.Unwrap(t.Context(), s.wrapping, []encryption.Wrapped{w, w})
			if err != nil {
				t.Error(err)
				return
			}
			for _, o := range opened {
				if o.Err != nil || !bytes.Equal(plain(t, o.Secret), want) {
					t.Error("a key differs", o.Err)
				}
			}
		})
	}
	work.Wait()
}

func (s suite) cancelled(t *testing.T) {
	w := s.make(t, s.wrapping)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.keys.Unwrap(ctx, s.wrapping, []encryption.Wrapped{w}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has gone: %v", err)
	}
}

func (s suite) rewrap(t *testing.T, r encryption.Rewrapper) {
	a, b := s.make(t, s.wrapping), s.make(t, s.wrapping)
	want := s.open(t, a, b)
	if err := r.Rotate(t.Context(), s.wrapping); err != nil {
		t.Fatal(err)
	}
	for i, got := range s.open(t, a, b) {
		if !bytes.Equal(got, want[i]) {
			t.Errorf("key %d changed with the wrapping key's version", i)
		}
	}
	moved, err := r.Rewrap(t.Context(), s.wrapping, []encryption.Wrapped{a, b})
	if err != nil || len(moved) != 2 {
		t.Fatal(moved, err)
	}
	if moved[0] == a || moved[1] == b {
		t.Error("rewrapping left a key as it was")
	}
	for i, got := range s.open(t, moved...) {
		if !bytes.Equal(got, want[i]) {
			t.Errorf("key %d changed when it was rewrapped", i)
		}
	}
	if _, err := r.Rewrap(t.Context(), s.wrapping, []encryption.Wrapped{a, damage(b)}); err == nil {
		t.Error("a damaged key was rewrapped")
	}
}
