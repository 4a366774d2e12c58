package identity

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// A user logs in by a code, mounts, and goes on with tokens that are got anew;
// logged out, it gets none.
func TestLogin(t *testing.T) {
	d := dextest.Start(t)
	d.Life = 20 * time.Second
	d.Users(dextest.User{Name: "alice"})
	s := newIssued(t, d)
	t.Setenv("XDG_STATE_HOME", s.dir)
	bin, err := harness.Binary()
	must(t, err)
	cmd := exec.Command(bin, "login", "--issuer", d.URL, "--client-id", dextest.Client, "--ca", d.CA)
	said, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	found := false
	for in := bufio.NewScanner(said); in.Scan(); {
		if addr := strings.TrimSpace(in.Text()); strings.Contains(addr, "user_code=") {
			page, err := d.Browse(addr, "alice")
			if found = err == nil && strings.Contains(page, "Login Successful"); !found {
				t.Errorf("the browser: %v %s", err, page)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !found {
		t.Fatalf("login: %v", err)
	}
	r := harness.Run(t, time.Minute, "login", "--print-token")
	if r.Code != 0 || !strings.Contains(r.Stdout, `"kind":"ExecCredential"`) {
		t.Errorf("--print-token: %d %s", r.Code, r.Stderr)
	}
	mnt := s.SecondMount(t, "mechanism=OIDC", "token=login")
	if r := harness.Run(t, time.Minute, "whoami", mnt); !strings.Contains(r.Stdout, "alice (OIDC)") {
		t.Errorf("whoami: %q", r.Stdout)
	}
	stop := make(chan struct{})
	time.AfterFunc(d.Life+5*time.Second, func() { close(stop) })
	if err := work(mnt, stop); err != nil {
		t.Errorf("a job that outlives its token: %v", err)
	}
	if r := harness.Run(t, time.Minute, "logout"); r.Code != 0 || !strings.Contains(r.Stdout, "logged out") {
		t.Errorf("logout: %d %s", r.Code, r.Stderr)
	}
	if r := harness.Run(t, time.Minute, "login", "--print-token"); r.Code == 0 || !strings.Contains(r.Stderr, "nobody is logged in") || r.Stdout != "" {
		t.Errorf("after logout: %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
}
