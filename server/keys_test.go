package server

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func ringOver(t *testing.T, e engine.Engine, now time.Time) *keyring {
	t.Helper()
	k := &keyring{engine: e, rand: rand.Reader, life: 24 * time.Hour}
	if _, err := k.turn(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return k
}

// A key signs for its life and is accepted for a quarter of it more, whatever
// restarts there are; what another server signed never is.
func TestKeysTurn(t *testing.T) {
	e, now := mem.New(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	k := ringOver(t, e, now)
	first := k.ring().Seal(capability.Grant{Kind: capability.Capability, File: 7})
	good := func(token []byte) error {
		_, err := k.ring().Open(capability.Capability, token, now)
		return err
	}
	for _, step := range []struct {
		after  time.Duration
		turned bool
		keys   int
		first  error
	}{
		{0, false, 1, nil},
		{24*time.Hour - time.Second, false, 1, nil},
		{time.Second, true, 2, nil},
		{6*time.Hour - time.Second, false, 2, nil},
		{time.Second, false, 1, capability.ErrForged},
		{18 * time.Hour, true, 2, capability.ErrForged},
		{30 * 24 * time.Hour, true, 2, capability.ErrForged}, // the server was off for long
	} {
		now = now.Add(step.after)
		turned, err := k.turn(t.Context(), now)
		if err != nil || turned != step.turned || len(k.ring()) != step.keys || !errors.Is(good(first), step.first) {
			t.Fatalf("%v: turned %v, %d keys, the first token %v, %v; want %+v", now, turned, len(k.ring()), good(first), err, step)
		}
		signed := k.ring().Seal(capability.Grant{Kind: capability.Capability, File: 8})
		if k = ringOver(t, e, now); good(signed) != nil {
			t.Errorf("%v: after a restart: %v", now, good(signed))
		}
	}
	other := ringOver(t, mem.New(), now)
	if err := good(other.ring().Seal(capability.Grant{Kind: capability.Capability})); !errors.Is(err, capability.ErrForged) {
		t.Errorf("another server's: %v", err)
	}
}

// Tickets outlive every turn, for a handle may be open for as long as it likes.
func TestTicketKeyStays(t *testing.T) {
	e, now := mem.New(), time.Now()
	first, err := loadTicketKey(t.Context(), e, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(48 * time.Hour)
		ringOver(t, e, now)
	}
	again, err := loadTicketKey(t.Context(), e, rand.Reader)
	if err != nil || again[0] != first[0] {
		t.Errorf("the ticket key has changed: %v", err)
	}
}

// A key that a clock far ahead has made does not sign until that time.
func TestKeyOfTheFuture(t *testing.T) {
	e, now := mem.New(), time.Now()
	ringOver(t, e, now.Add(1000*time.Hour))
	k := ringOver(t, e, now)
	if len(k.ring()) != 2 || k.made[0].After(now) {
		t.Errorf("the newest is of %v, and it is %v", k.made[0], now)
	}
}

func TestDamagedKeyIsRefused(t *testing.T) {
	e := mem.New()
	ringOver(t, e, time.Now())
	if err := e.Update(t.Context(), func(tx engine.Tx) error { tx.Put(keyAt(2), []byte("short")); return nil }); err != nil {
		t.Fatal(err)
	}
	k := &keyring{engine: e, rand: rand.Reader, life: time.Hour}
	if _, err := k.turn(t.Context(), time.Now()); err == nil {
		t.Error("a damaged key was read")
	}
}
