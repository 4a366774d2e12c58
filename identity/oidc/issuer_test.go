package oidc

import (
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/oidc/dextest"
)

// What a real issuer gives is good: its keys are found by discovery, and found
// again when it signs with another.
func TestIssuer(t *testing.T) {
	d := dextest.Start(t, dextest.User{Name: "alice", Groups: []string{"staff", "team a"}})
	now := time.Now()
	v, err := New(Config{
		Issuer: d.URL, Audience: []string{dextest.Client}, User: "preferred_username", Groups: "groups", Skew: time.Minute,
		Client: d.HTTP, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(token, want string) {
		t.Helper()
		cl, err := v.Check(t.Context(), identity.Channel{}, token)
		switch {
		case want == "" && (err != nil || cl.User != "alice" || strings.Join(cl.Groups, ",") != "staff,team a"):
			t.Errorf("%+v %v", cl, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%v, want %s", err, want)
		}
	}
	old := d.Password("alice", "openid", "profile", "groups", "offline_access")
	check(old.ID, "")
	d.Rotate()
	fresh := d.Refresh(old.Refresh)
	check(fresh.ID, "signed by no key") // the keys were fetched a moment ago
	check(old.ID, "")
	now = now.Add(2 * keysPause)
	check(fresh.ID, "")
	check(old.ID, "")
	d.Stop()
	check(fresh.ID, "") // the last good keys stay
	check(fresh.ID[:len(fresh.ID)-4]+"AAAA", "signature is wrong")
}
