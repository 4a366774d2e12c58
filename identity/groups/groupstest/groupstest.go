// Package groupstest is what every groups.Source must do.
package groupstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/identity/groups"
)

// World is who there is. A body is made of one.
//
//	alice   staff (primary), wheel, domain users
//	bob     staff (primary)
//	many    many (primary), group000 … group199
type World map[string][]string

// TheWorld answers it.
func TheWorld() World {
	w := World{"alice": {"staff", "wheel", "domain users"}, "bob": {"staff"}, "many": {"many"}}
	for i := range 200 {
		w["many"] = append(w["many"], fmt.Sprintf("group%03d", i))
	}
	return w
}

// Run tests a source that is made of TheWorld.
func Run(t *testing.T, s groups.Source) {
	w := TheWorld()
	ask := func(t *testing.T, user string) {
		t.Helper()
		got, err := s.Groups(t.Context(), user)
		if err != nil {
			t.Errorf("%s: %v", user, err)
			return
		}
		if got[0] != w[user][0] {
			t.Errorf("%s: the primary group is %q, not %q", user, got[0], w[user][0])
		}
		have, want := slices.Clone(got), slices.Clone(w[user])
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%s is in %q, not in %q", user, have, want)
		}
	}
	t.Run("groups", func(t *testing.T) {
		for user := range w {
			ask(t, user)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		for _, user := range []string{"carol", "staff", "ALICE*", "*", "alice)(uid=*", `al\69ce`, "\x00", "alice,bob", ""} {
			if got, err := s.Groups(t.Context(), user); !errors.Is(err, groups.ErrUnknown) {
				t.Errorf("%q is in %q, %v", user, got, err)
			}
		}
	})
	t.Run("at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { ask(t, "many"); ask(t, "alice") })
		}
		wg.Wait()
	})
	t.Run("gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// Whoever needs no time may answer.
		if _, err := s.Groups(ctx, "alice"); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("whose asker has gone: %v", err)
		}
	})
}
