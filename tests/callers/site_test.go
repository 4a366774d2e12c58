// Package callers mounts once for many users, each with a credential of its
// own: a ticket of a real KDC, a token, or none; and asks that none of them is
// ever taken for another.
package callers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/tests/harness"
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
	*harness.Ward
	t     *testing.T
	realm *kdctest.Realm
	dir   string
	sign  jose.Signer
	mnt   string
}

func newSite(t *testing.T, options ...string) *site {
	s := &site{t: t, realm: kdctest.Start(t, "EXAMPLE.TEST"), dir: t.TempDir()}
	s.realm.Keytab(s.file("server.keytab"), "wardfs/127.0.0.1")
	for _, name := range []string{"alice", "bob", "carol"} {
		s.realm.Add(name, "secret")
	}
	s.write("accounts", "alice: staff, analysts\nbob: staff\ncarol: guests\n")
	s.write("idmap", "user 4242 alice\nuser 4343 bob\nuser 4444 carol\ngroup 5001 staff\ngroup 5002 analysts\n")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s.sign, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	must(t, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	must(t, err)
	s.write("jwks", string(set))
	s.Ward = harness.Start(t,
		"--set", "auth.mechanisms=X509,KERBEROS,OIDC", "--set", "tls.client_auth=request",
		"--set", "auth.kerberos.keytab="+s.file("server.keytab"),
		"--set", "auth.oidc.issuer=https://issuer.test", "--set", "auth.oidc.jwks="+s.file("jwks"), "--set", "auth.oidc.audience=wardfs",
		"--set", "groups.source=file", "--set", "groups.file="+s.file("accounts"))
	s.mnt = s.SecondMount(t, append([]string{"identity=caller", "krb5_conf=" + s.realm.Conf, "idmap=" + s.file("idmap"),
		"ccache=FILE:" + s.file("krb5cc_%{uid}"), "token=" + s.file("token_%{uid}")}, options...)...)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.file(name), []byte(text), 0o600))
}

// token gives a local user one for a principal that is good for so long.
func (s *site) token(c harness.Cred, principal string, life time.Duration) {
	s.t.Helper()
	now := time.Now()
	text, err := jwt.Signed(s.sign).Claims(map[string]any{
		"iss": "https://issuer.test", "aud": "wardfs", "sub": principal, "iat": now.Unix() - 1, "exp": now.Add(life).Unix(),
	}).Serialize()
	must(s.t, err)
	name := fmt.Sprint("token_", c.UID)
	s.write(name+".new", text)
	s.give(c, name)
}

// kinit gives a local user a ticket of a principal.
func (s *site) kinit(c harness.Cred, principal string, options ...string) {
	s.t.Helper()
	name := fmt.Sprint("krb5cc_", c.UID)
	s.realm.Kinit(s.file(name+".new"), principal, "secret", options...)
	s.give(c, name)
}

// give puts what was written at once where it is looked for, as the user's own.
func (s *site) give(c harness.Cred, name string) {
	s.t.Helper()
	must(s.t, os.Chown(s.file(name+".new"), c.UID, c.GID))
	must(s.t, os.Rename(s.file(name+".new"), s.file(name)))
}

// kdestroy takes a user's ticket away.
func (s *site) kdestroy(c harness.Cred) { must(s.t, os.Remove(s.file(fmt.Sprint("krb5cc_", c.UID)))) }

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
