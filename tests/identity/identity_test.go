// Package identity mounts as who has a ticket of a real KDC, and as who has a
// token, and asks what the server lets each of them do.
package identity

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
	"github.com/wardfs/wardfs/tests/harness/realmdev"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// site is a `wardfs dev` that takes tickets of a realm and tokens of an issuer.
type site struct{ *realmdev.Site }

func newSite(t *testing.T) *site {
	return &site{realmdev.Start(t, "alice: staff, analysts\nbob: staff\n")}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token writes one for user that is good for so long, and answers where.
func (s *site) token(user, audience string, life time.Duration) string {
	s.Write("token-"+user, s.Token(user, audience, life))
	return s.File("token-" + user)
}

// ticket are the mount options of who has that cache.
func (s *site) ticket(cache string) []string {
	return []string{"mechanism=KERBEROS", "krb5_conf=" + s.Realm.Conf, "ccache=FILE:" + cache}
}

// Each acts as itself, and the server writes down who did what.
func TestTicketAndToken(t *testing.T) {
	s := newSite(t)
	s.Realm.Add("alice", "secret")
	s.Realm.Kinit(s.File("cc"), "alice", "secret")
	alice := s.SecondMount(t, s.ticket(s.File("cc"))...)
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
	s.Realm.Add("mallory", "secret")
	s.Realm.Kinit(s.File("mallory"), "mallory", "secret")
	empty := t.TempDir()
	for name, c := range map[string]struct {
		options []string
		want    string
	}{
		"no ticket":        {s.ticket(s.File("none")), "run kinit"},
		"no account":       {s.ticket(s.File("mallory")), "mallory"},
		"no token":         {[]string{"mechanism=OIDC"}, "needs a token"},
		"token of nobody":  {[]string{"mechanism=OIDC", "token=" + s.token("mallory", "wardfs", time.Hour)}, "mallory"},
		"another audience": {[]string{"mechanism=OIDC", "token=" + s.token("bob", "elsewhere", time.Hour)}, "a token for elsewhere"},
		"expired":          {[]string{"mechanism=OIDC", "token=" + s.token("alice", "wardfs", -time.Minute)}, "expired"},
		"another service":  {append(s.ticket(s.File("mallory")), "spn=nfs/127.0.0.1"), "no ticket for nfs/127.0.0.1"},
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
	s.Realm.Add("alice", "secret")
	s.Realm.Add("bob", "secret")
	s.Realm.Kinit(s.File("cc"), "alice", "secret", "-l", "8s")
	mnt := s.SecondMount(t, s.ticket(s.File("cc"))...)
	f, err := os.Create(mnt + "/job")
	must(t, err)
	defer f.Close()
	s.Realm.Kinit(s.File("other"), "bob", "secret")
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
	s.Realm.Kinit(s.File("cc"), "alice", "secret")
	for err != nil {
		must(t, t.Context().Err())
		time.Sleep(100 * time.Millisecond)
		err = step()
	}
	if b, err := os.ReadFile(mnt + "/job"); err != nil || strings.ReplaceAll(string(b), "step\n", "") != "" {
		t.Errorf("%q %v", b, err)
	}
}
