package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
)

func TestProveAsksForAVerifiedServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Prover{Token: File(path)}
	if proof, err := p.Prove(t.Context(), identity.Channel{}); err == nil {
		t.Errorf("%v was shown to anyone", proof)
	}
	ch := identity.Channel{TLS: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if proof, err := p.Prove(t.Context(), ch); string(proof.Bytes) != want || err != nil {
			t.Errorf("%q %v, want %q", proof.Bytes, err, want)
		}
	}
	for _, bad := range []string{"", " \n", strings.Repeat("x", MaxToken+1)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Prove(t.Context(), ch); err == nil {
			t.Errorf("a token of %d bytes", len(bad))
		}
	}
}

func TestExec(t *testing.T) {
	dir := t.TempDir()
	plugin := filepath.Join(dir, "plugin")
	script := `#!/bin/sh
echo run >> "$0.runs"
case "$KUBERNETES_EXEC_INFO" in *v1*) ;; *) exit 3;; esac
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t-'$1'","expirationTimestamp":"2027-01-15T08:10:00Z"}}'
`
	if err := os.WriteFile(plugin, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	now := start // 2027-01-15T08:00:00Z
	s := Exec([]string{plugin, "x"}, []string{"PATH=" + os.Getenv("PATH")}, func() time.Time { return now })
	for range 3 {
		if token, err := s(t.Context()); token != "t-x" || err != nil {
			t.Fatalf("%q %v", token, err)
		}
	}
	now = now.Add(9*time.Minute + 31*time.Second)
	if _, err := s(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs, _ := os.ReadFile(plugin + ".runs"); strings.Count(string(runs), "run") != 2 {
		t.Errorf("it ran %q", runs)
	}
	bad := Exec([]string{"/bin/sh", "-c", "echo not logged in >&2; exit 1"}, nil, time.Now)
	if _, err := bad(t.Context()); err == nil || !strings.Contains(err.Error(), "not logged in") {
		t.Errorf("%v", err)
	}
	for _, out := range []string{"", "{}", `{"kind":"ExecCredential","apiVersion":"v2"}`, `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}`} {
		if _, _, err := parseCredential([]byte(out)); err == nil {
			t.Errorf("%q was taken", out)
		}
	}
}
