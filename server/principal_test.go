package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
)

// Whoever gives up the call that was to ask anew for the session's groups does
// not keep the old ones by that: the next call asks.
func TestCancelledCallKeepsNoGroups(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &Server{c: Config{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}}
	s.c.Auth.Resolve = func(ctx context.Context, _ identity.Principal) (posix.Cred, error) {
		return posix.Cred{UID: 2}, ctx.Err()
	}
	talk := &talk{s: s}
	talk.stands(posix.Cred{UID: 1})
	now = now.Add(2 * recheckEvery)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := talk.acting(ctx); !errors.Is(err, posix.EINTR) {
		t.Errorf("the call that was given up: %v, want %v", err, posix.EINTR)
	}
	if c, err := talk.acting(t.Context()); c.UID != 2 || err != nil {
		t.Errorf("the next call acts as %d, %v; want 2", c.UID, err)
	}
}
