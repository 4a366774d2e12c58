package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/oidc/dextest"
	"github.com/wardfs/wardfs/tests/harness"
)

// issued is a `wardfs dev` that takes the tokens of a real issuer.
type issued struct {
	*harness.Ward
	t   *testing.T
	dex *dextest.Issuer
	dir string
}

func newIssued(t *testing.T, d *dextest.Issuer, set ...string) *issued {
	s := &issued{t: t, dex: d, dir: t.TempDir()}
	must(t, os.WriteFile(s.file("accounts"), []byte("alice: staff\nbob: staff\n"), 0o600))
	args := []string{
		"--set", "auth.mechanisms=X509,OIDC", "--set", "tls.client_auth=request",
		"--set", "auth.oidc.issuer=" + d.URL, "--set", "auth.oidc.ca=" + d.CA, "--set", "auth.oidc.audience=" + dextest.Client,
		"--set", "auth.oidc.user_claim=preferred_username", "--set", "auth.oidc.skew=1s",
		"--set", "groups.source=file", "--set", "groups.file=" + s.file("accounts"),
	}
	for _, kv := range set {
		args = append(args, "--set", kv)
	}
	s.Ward = harness.Start(t, args...)
	return s
}

func (s *issued) file(name string) string { return filepath.Join(s.dir, name) }

// put replaces a token as Kubernetes does.
func (s *issued) put(name, token string) string {
	s.t.Helper()
	must(s.t, os.WriteFile(s.file(name+".new"), []byte(token+"\n"), 0o600))
	must(s.t, os.Rename(s.file(name+".new"), s.file(name)))
	return s.file(name)
}

// work writes, syncs and reads at a mount until it is told to stop, and answers
// what went wrong.
func work(mnt string, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			if n == 0 {
				return errors.New("it did nothing")
			}
			return nil
		default:
		}
		name, want := fmt.Sprintf("%s/f%d", mnt, n%16), fmt.Sprint("step ", n)
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			return err
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			return fmt.Errorf("%q, %w", b, err)
		}
	}
}

// The issuer signs with another key while a job runs: its next token is taken,
// and the job sees nothing of it, nor of the issuer's being away.
func TestIssuerRotatesItsKeys(t *testing.T) {
	d := dextest.Start(t)
	d.Life = 30 * time.Second
	d.Users(dextest.User{Name: "alice"})
	s := newIssued(t, d)
	tokens := d.Password("alice", "openid", "profile", "offline_access")
	mnt := s.SecondMount(t, "mechanism=OIDC", "token="+s.put("token", tokens.ID))
	first := time.Now().Add(d.Life + 5*time.Second)

	var job sync.WaitGroup
	stop := make(chan struct{})
	job.Go(func() {
		if err := work(mnt, stop); err != nil {
			t.Errorf("the job: %v", err)
		}
	})
	d.Rotate()
	for time.Now().Before(first) { // the first token is worth nothing by then
		must(t, t.Context().Err())
		tokens = d.Refresh(tokens.Refresh)
		s.put("token", tokens.ID)
		time.Sleep(time.Second)
	}
	close(stop)
	job.Wait()
}
