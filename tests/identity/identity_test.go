// Package identity mounts as who has a ticket of a real KDC, and as who has a
// token, and asks what the server lets each of them do.
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/identity/kerberos/kdctest"
	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// site is a `wardfs dev` that takes tickets of a realm and tokens of an issuer.
type site struct {
	*harness.Ward
	t     *testing.T
	realm *kdctest.Realm
	dir   string
	sign  jose.Signer
}

func newSite(t *testing.T) *site {
	s := &site{t: t, realm: kdctest.Start(t, "EXAMPLE.TEST"), dir: t.TempDir()}
	s.realm.Keytab(s.file("server.keytab"), "wardfs/127.0.0.1")
	s.write("accounts", "alice: staff, analysts\nbob: staff\n")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s.sign, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	must(t, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	must(t, err)
	s.write("jwks", string(set))
	s.Ward = harness.Start(t,
		"--set", "auth.mechanisms=X509,KERBEROS,OIDC,TOKEN", "--set", "tls.client_auth=request",
		"--set", "auth.kerberos.keytab="+s.file("server.keytab"),
		"--set", "auth.oidc.issuer=https://issuer.test", "--set", "auth.oidc.jwks="+s.file("jwks"), "--set", "auth.oidc.audience=wardfs",
		"--set", "groups.source=file", "--set", "groups.file="+s.file("accounts"))
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

// token writes one for user that is good for so long, and answers where.
func (s *site) token(user, audience string, life time.Duration) string {
	s.t.Helper()
	now := time.Now()
	text, err := jwt.Signed(s.sign).Claims(map[string]any{
		"iss": "https://issuer.test", "aud": audience, "sub": user, "iat": now.Unix() - 1, "exp": now.Add(life).Unix(),
	}).Serialize()
	must(s.t, err)
	s.write("token-"+user, text)
	return s.file("token-" + user)
}

// ticket are the mount options of who has that cache.
func (s *site) ticket(cache string) []string {
	return []string{"mechanism=KERBEROS", "krb5_conf=" + s.realm.Conf, "ccache=FILE:" + cache}
}

// Each acts as itself, and the server writes down who did what.
func TestTicketAndToken(t *testing.T) {
	s := newSite(t)
	s.realm.Add("alice", "secret")
	s.realm.Kinit(s.file("cc"), "alice", "secret")
	alice := s.SecondMount(t, s.ticket(s.file("cc"))...)
	bob := s.SecondMount(t, "mechanism=OIDC", "token="+s.token("bob", "wardfs", time.Hour))

	must(t, os.WriteFile(alice+"/hers", []byte("alice's"), 0o600))
	must(t, os.WriteFile(bob+"/his", []byte("bob's"), 0o640))
	if _, err := os.ReadFile(bob + "/hers"); !errors.Is(err, syscall.EACCES) {
		t.Errorf("bob reads alice's file: %v", err)
	}
	if b, err := os.ReadFile(alice + "/his"); err != nil || string(b) != "bob's" {
		t.Errorf("alice is of bob's group: %q %v", b, err)
	}
	if err := os.WriteFile(alice+"/his", nil, 0); !errors.Is(err, syscall.EACCES) {
		t.Errorf("alice writes what bob's group may read: %v", err)
	}
	if err := os.Remove(bob + "/hers"); !errors.Is(err, syscall.EPERM) {
		t.Errorf("bob removes alice's file out of a sticky directory: %v", err)
	}
	for mnt, want := range map[string]string{alice: "alice (KERBEROS)", bob: "bob (OIDC)"} {
		if r := harness.Run(t, time.Minute, "whoami", mnt); !strings.Contains(r.Stdout, want) {
			t.Errorf("whoami: %q, want %s", r.Stdout, want)
		}
	}
}

// Who has no credential, or one that is not for here, gets one line and no mount.
func TestNoCredential(t *testing.T) {
	s := newSite(t)
	s.realm.Add("mallory", "secret")
	s.realm.Kinit(s.file("mallory"), "mallory", "secret")
	empty := t.TempDir()
	for name, c := range map[string]struct {
		options []string
		want    string
	}{
		"no ticket":        {s.ticket(s.file("none")), "run kinit"},
		"no account":       {s.ticket(s.file("mallory")), "mallory"},
		"no token":         {[]string{"mechanism=OIDC"}, "needs a token"},
		"token of nobody":  {[]string{"mechanism=OIDC", "token=" + s.token("mallory", "wardfs", time.Hour)}, "mallory"},
		"another audience": {[]string{"mechanism=OIDC", "token=" + s.token("bob", "elsewhere", time.Hour)}, "a token for elsewhere"},
		"expired":          {[]string{"mechanism=OIDC", "token=" + s.token("alice", "wardfs", -time.Minute)}, "expired"},
		"another service":  {append(s.ticket(s.file("mallory")), "spn=nfs/127.0.0.1"), "no ticket for nfs/127.0.0.1"},
	} {
		args := []string{"mount", "dev:" + s.Dir(), empty}
		for _, o := range c.options {
			args = append(args, "-o", o)
		}
		r := harness.Run(t, time.Minute, args...)
		if r.Code == 0 || !strings.Contains(r.Stderr, c.want) || harness.Mounted(empty) {
			t.Errorf("%s: code %d, %q, want %q", name, r.Code, r.Stderr, c.want)
		}
	}
}

// A ticket expires in the middle of a job: what is new fails and says why, and
// goes on by itself after kinit. Another user's kinit changes nothing.
func TestTicketExpires(t *testing.T) {
	s := newSite(t)
	s.realm.Add("alice", "secret")
	s.realm.Add("bob", "secret")
	s.realm.Kinit(s.file("cc"), "alice", "secret", "-l", "8s")
	mnt := s.SecondMount(t, s.ticket(s.file("cc"))...)
	f, err := os.Create(mnt + "/job")
	must(t, err)
	defer f.Close()
	s.realm.Kinit(s.file("other"), "bob", "secret")
	step := func() error {
		if _, err := f.WriteString("step\n"); err != nil {
			return err
		}
		return f.Sync()
	}
	for err == nil {
		must(t, t.Context().Err())
		err = step()
	}
	if !errors.Is(err, syscall.EKEYEXPIRED) {
		t.Errorf("with an expired ticket: %v, want %v", err, syscall.EKEYEXPIRED)
	}
	if _, err := os.ReadDir(mnt); err == nil {
		t.Error("with an expired ticket the directory is read")
	}
	s.realm.Kinit(s.file("cc"), "alice", "secret")
	for err != nil {
		must(t, t.Context().Err())
		time.Sleep(100 * time.Millisecond)
		err = step()
	}
	if b, err := os.ReadFile(mnt + "/job"); err != nil || strings.ReplaceAll(string(b), "step\n", "") != "" {
		t.Errorf("%q %v", b, err)
	}
}
