// Package callers mounts once for many users, each with a credential of its
// own: a ticket of a real KDC, a token, or none; and asks that none of them is
// ever taken for another.
package callers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
	"github.com/wardfs/wardfs/tests/harness/realmdev"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// The local users. The host's number of each is another than the filesystem's.
var (
	alice = harness.Alice
	bob   = harness.Bob
	carol = harness.Cred{UID: 4444, GID: 4444}
)

// site is a `wardfs dev` that takes tickets of a realm and tokens of an issuer,
// and one mount of it for all local users.
type site struct {
	*realmdev.Site
	t   *testing.T
	mnt string
}

func newSite(t *testing.T, options ...string) *site {
	s := &site{t: t, Site: realmdev.Start(t, "alice: staff, analysts\nbob: staff\ncarol: guests\n")}
	for _, name := range []string{"alice", "bob", "carol"} {
		s.Realm.Add(name, "secret")
	}
	s.Write("idmap", "user 4242 alice\nuser 4343 bob\nuser 4444 carol\ngroup 5001 staff\ngroup 5002 analysts\n")
	s.mnt = s.SecondMount(t, append([]string{"identity=caller", "krb5_conf=" + s.Realm.Conf, "idmap=" + s.File("idmap"),
		"ccache=FILE:" + s.File("krb5cc_%{uid}"), "token=" + s.File("token_%{uid}")}, options...)...)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token gives a local user one for a principal that is good for so long.
func (s *site) token(c harness.Cred, principal string, life time.Duration) {
	s.t.Helper()
	name := fmt.Sprint("token_", c.UID)
	s.Write(name+".new", s.Token(principal, "wardfs", life))
	s.give(c, name)
}

// kinit gives a local user a ticket of a principal.
func (s *site) kinit(c harness.Cred, principal string, options ...string) {
	s.t.Helper()
	name := fmt.Sprint("krb5cc_", c.UID)
	s.Realm.Kinit(s.File(name+".new"), principal, "secret", options...)
	s.give(c, name)
}

// give puts what was written at once where it is looked for, as the user's own.
func (s *site) give(c harness.Cred, name string) {
	s.t.Helper()
	must(s.t, os.Chown(s.File(name+".new"), c.UID, c.GID))
	must(s.t, os.Rename(s.File(name+".new"), s.File(name)))
}

// kdestroy takes a user's ticket away.
func (s *site) kdestroy(c harness.Cred) { must(s.t, os.Remove(s.File(fmt.Sprint("krb5cc_", c.UID)))) }

// as does f as a local user and answers its error.
func as(c harness.Cred, f func() error) (err error) {
	harness.As(c, func() { err = f() })
	return err
}

// errno wants an error of f, done as a local user.
func (s *site) errno(c harness.Cred, what string, want error, f func() error) {
	s.t.Helper()
	if err := as(c, f); !errors.Is(err, want) {
		s.t.Errorf("user %d: %s: %v, want %v", c.UID, what, err, want)
	}
}

// until waits for f, done as a local user, to answer want.
func (s *site) until(c harness.Cred, what string, want error, f func() error) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = as(c, f); errors.Is(err, want) {
			return
		}
	}
	s.t.Fatalf("user %d: %s: still %v, want %v", c.UID, what, err, want)
}

func (s *site) path(name string) string { return filepath.Join(s.mnt, name) }

// audit answers the lines of the audit log that name a file.
func (s *site) audit(file string) []string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir(), "audit.log"))
	must(s.t, err)
	var lines []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.Contains(l, file) {
			lines = append(lines, l)
		}
	}
	return lines
}

func itoa(n int) string { return strconv.Itoa(n) }
