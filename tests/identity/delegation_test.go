package identity

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

// A job mounts with a delegation token of who has one of the issuer, acts as
// that user and as no more, and is shut out at once when the token is cancelled.
func TestDelegationToken(t *testing.T) {
	s := newSite(t)
	server := "dev:" + s.Dir()
	bob := []string{"-o", "mechanism=OIDC", "-o", "token=" + s.token("bob", "wardfs", time.Hour)}
	issue := func(out string, who ...string) harness.Result {
		return harness.Run(t, time.Minute, append([]string{"token", "issue", server, "--out", out}, who...)...)
	}
	r := issue(s.File("job"), bob...)
	id, _, _ := strings.Cut(strings.TrimSpace(r.Stdout), " ")
	if r.Code != 0 || id == "" {
		t.Fatalf("issue: %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
	if st, err := os.Stat(s.File("job")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v %v", st.Mode(), err)
	}
	job := []string{"mechanism=TOKEN", "token_file=" + s.File("job")}
	mnt := s.SecondMount(t, job...)
	if r := harness.Run(t, time.Minute, "whoami", mnt); !strings.Contains(r.Stdout, "bob (TOKEN)") {
		t.Errorf("whoami: %q %q", r.Stdout, r.Stderr)
	}
	must(t, os.WriteFile(mnt+"/result", []byte("done"), 0o600))
	if b, err := os.ReadFile(s.SecondMount(t, bob[1], bob[3]) + "/result"); err != nil || string(b) != "done" {
		t.Errorf("bob reads what the job wrote: %q %v", b, err)
	}
	if r := issue(s.File("second"), "-o", job[0], "-o", job[1]); r.Code == 0 {
		t.Error("a token was issued for a token")
	}

	empty := t.TempDir()
	refused := func(name, want string, options ...string) {
		t.Helper()
		r := harness.Run(t, time.Minute, "mount", server, empty, "-o", strings.Join(options, ","))
		if r.Code == 0 || !strings.Contains(r.Stderr, want) || harness.Mounted(empty) {
			t.Errorf("%s: code %d, %q, want %q", name, r.Code, r.Stderr, want)
		}
	}
	text, err := os.ReadFile(s.File("job"))
	must(t, err)
	must(t, os.WriteFile(s.File("open"), text, 0o644))
	refused("a file that others may read", "chmod 600", job[0], "token_file="+s.File("open"))
	s.Write("noise", "not a token")
	refused("noise", "token", job[0], "token_file="+s.File("noise"))
	refused("no file", "no such file", job[0], "token_file="+s.File("none"))

	alice := []string{"-o", "mechanism=OIDC", "-o", "token=" + s.token("alice", "wardfs", time.Hour)}
	if r := harness.Run(t, time.Minute, append([]string{"token", "cancel", server, id}, alice...)...); r.Code == 0 {
		t.Error("another user has cancelled bob's token")
	}
	must(t, os.WriteFile(mnt+"/still", nil, 0o600))
	if r := harness.Run(t, time.Minute, append([]string{"token", "cancel", server, id}, bob...)...); r.Code != 0 {
		t.Fatalf("cancel: %d %q", r.Code, r.Stderr)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		err := os.WriteFile(mnt+"/after", nil, 0o600)
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EKEYREVOKED) || errors.Is(err, syscall.EKEYEXPIRED) {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("after its token was cancelled the job writes: %v", err)
		}
	}
	refused("a cancelled token", "token", job...)
}
