package wire

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/groups/ldap"
	"github.com/wardfs/wardfs/identity/groups/ldap/ldaptest"
	"github.com/wardfs/wardfs/posix"
)

// inDirectory is a house whose principals are those of a real directory, which
// has alice in 200 groups.
func inDirectory(t *testing.T) (*house, *ldaptest.Server) {
	d := ldaptest.Start(t, "groupOfNames")
	d.Add(ldaptest.User("alice"), "objectClass", "account", "objectClass", "posixAccount", "objectClass", "extensibleObject",
		"cn", "alice", "uid", "alice", "uidNumber", "5000", "gidNumber", "600", "homeDirectory", "/")
	d.Add(ldaptest.Group("staff"), "objectClass", "posixGroup", "cn", "staff", "gidNumber", "600")
	for i := range 199 {
		g := fmt.Sprint("group", i)
		d.Add(ldaptest.Group(g), "objectClass", "posixGroup", "cn", g, "gidNumber", "9", "memberUid", "alice")
	}
	s, err := ldap.New(ldap.Config{Servers: []string{d.Plain}, StartTLS: true, CA: d.CA, Base: ldaptest.Base, Timeout: time.Minute})
	must(t, err)
	h := newHouse(t)
	h.stop()
	// All times are short, so that many of them pass within the test.
	h.auth.Groups = groups.NewCache(s, groups.CacheConfig{Fresh: 100 * time.Millisecond, Retry: 50 * time.Millisecond})
	h.auth.Recheck = 10 * time.Millisecond
	h.start()
	return h, d
}

// A directory that is down while a mount is at work costs it nothing, and what
// changed meanwhile is seen when it is back.
func TestDirectoryDown(t *testing.T) {
	h, d := inDirectory(t)
	ctx, m := t.Context(), h.simply("alice")
	c, _, err := m.Whoami(ctx)
	must(t, err)
	if len(c.Groups) != 199 {
		t.Errorf("alice is in %d groups and a primary one", len(c.Groups))
	}
	var wg sync.WaitGroup
	var calls atomic.Int64
	quit := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if _, err := m.As(posix.Cred{}).Getattr(ctx, posix.RootIno); err != nil {
					t.Errorf("while the directory is down: %v", err)
					return
				}
				calls.Add(1)
			}
		})
	}
	d.Down()
	for range 10 { // of its times of freshness
		before := calls.Load()
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end) || calls.Load() < before+100; time.Sleep(time.Millisecond) {
			if t.Failed() {
				break
			}
		}
	}
	d.Up()
	d.Take(ldaptest.Group("group7"), "memberUid", "alice")
	for end := time.Now().Add(time.Minute); len(c.Groups) != 198; time.Sleep(time.Millisecond) {
		c, _, err = m.Whoami(ctx)
		must(t, err)
		if time.Now().After(end) {
			t.Fatalf("alice is still in %d groups", len(c.Groups))
		}
	}
	close(quit)
	wg.Wait()
}
