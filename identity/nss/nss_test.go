package nss

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/idmap"
)

func TestThisHost(t *testing.T) {
	h := New(Config{})
	ctx := t.Context()
	if name, err := h.Name(ctx, idmap.User, 0); name != "root" || err != nil {
		t.Errorf("0 is %q, %v", name, err)
	}
	if n, err := h.Number(ctx, idmap.Group, "root"); n != 0 || err != nil {
		t.Errorf("group root is %d, %v", n, err)
	}
	if groups, err := h.Groups(ctx, "root"); err != nil || len(groups) == 0 || groups[0] != "root" {
		t.Errorf("root is in %q, %v", groups, err)
	}
	for _, k := range []idmap.Kind{idmap.User, idmap.Group} {
		if _, err := h.Number(ctx, k, "nobody here is called so"); !errors.Is(err, idmap.ErrUnknown) {
			t.Errorf("a %s that is none: %v", k, err)
		}
		if _, err := h.Name(ctx, k, 4_000_000_123); !errors.Is(err, idmap.ErrUnknown) {
			t.Errorf("a number that is no %s: %v", k, err)
		}
	}
	if _, err := h.Groups(ctx, "nobody here is called so"); !errors.Is(err, idmap.ErrUnknown) {
		t.Errorf("the groups of nobody: %v", err)
	}
}

// A name service that hangs costs the first askers a time-out and the others
// nothing; when it answers again all is as before.
func TestHang(t *testing.T) {
	free := make(chan struct{})
	h := New(Config{Timeout: 20 * time.Millisecond, Most: 4})
	h.system.name = func(idmap.Kind, uint32) (string, error) { <-free; return "late", nil }
	for range 2 {
		if _, err := h.Name(context.Background(), idmap.User, 1); !errors.Is(err, ErrHung) {
			t.Fatalf("a question without an answer: %v", err)
		}
	}
	h.c.Timeout = time.Hour // from here on nobody may wait
	if _, err := h.Name(context.Background(), idmap.User, 1); !errors.Is(err, ErrHung) {
		t.Errorf("while two of four hang: %v", err)
	}
	close(free)
	for h.hung.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	if name, err := h.Name(context.Background(), idmap.User, 1); name != "late" || err != nil {
		t.Errorf("after it: %q, %v", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.system.name = func(idmap.Kind, uint32) (string, error) { select {} }
	if _, err := h.Name(ctx, idmap.User, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("an asker who has gone: %v", err)
	}
}
