package custom

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
)

func plugin(t *testing.T, script string, c Config) *Verifier {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	c.Command, c.Reserved = []string{path, "one word"}, []string{"root"}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever a plugin does but name a principal is a refusal.
func TestPlugin(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string // in the error; or a principal
	}{
		"names one":             {`echo '{"principal":"alice"}'`, "=alice"},
		"with an end":           {`echo '{"principal":"alice","expires":"2999-01-01T00:00:00Z"}'`, "=alice"},
		"reads nothing":         {`exec 0<&-; echo '{"principal":"alice"}'`, "=alice"},
		"its argument is one":   {`[ $# = 1 ] && [ "$1" = "one word" ] && echo '{"principal":"alice"}'`, "=alice"},
		"has no environment":    {`[ -z "$HOME$WARDFS_SECRET$USER" ] && [ "$PWD" = / ] && echo '{"principal":"alice"}'`, "=alice"},
		"refuses":               {`echo '{"refused":"alice is on leave"}'`, "on leave"},
		"both":                  {`echo '{"principal":"alice","refused":"no"}'`, "no"},
		"refuses with escapes":  {`printf '{"refused":"\\u001b[2J"}'`, "?[2J"},
		"fails":                 {`echo '{"principal":"alice"}'; echo why >&2; exit 1`, "its log says why"},
		"kills itself":          {`kill -9 $$`, "its log says why"},
		"says nothing":          {`:`, "not understood"},
		"says something else":   {`echo alice`, "not understood"},
		"says more":             {`echo '{"principal":"alice"}{"principal":"bob"}'`, "more than one"},
		"says what is unknown":  {`echo '{"principal":"alice","groups":["root"]}'`, "not understood"},
		"another type":          {`echo '{"principal":["alice"]}'`, "not understood"},
		"talks without end":     {`head -c 1000000 /dev/zero`, "its log says why"},
		"sleeps":                {`sleep 1000`, "its log says why"},
		"leaves a child behind": {`sleep 1000 & echo '{"principal":"alice"}'`, "its log says why"},
		"nobody":                {`echo '{}'`, "names"},
		"a name with a line":    {`printf '{"principal":"a\\nb"}'`, "names"},
		"root":                  {`echo '{"principal":"root"}'`, "may not come so"},
		"one who has gone":      {`echo '{"principal":"alice","expires":"2001-01-01T00:00:00Z"}'`, "expired"},
	} {
		t.Setenv("WARDFS_SECRET", "x")
		timeout := 20 * time.Second
		if strings.Contains(c.script, "sleep") {
			timeout = time.Second
		}
		v := plugin(t, c.script, Config{Timeout: timeout})
		who, err := v.Verify(t.Context(), identity.Channel{}, []byte("proof"))
		if want, ok := strings.CutPrefix(c.want, "="); ok {
			if err != nil || who.Name != want || who.Mechanism != identity.Custom || len(who.Groups) > 0 {
				t.Errorf("%s: %+v, %v", name, who, err)
			}
		} else if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, who.Principal, err, c.want)
		}
	}
}

// The plugin gets the proof, byte by byte, as another user; and too long a one
// it never sees.
func TestProof(t *testing.T) {
	script := `sum=$(sha256sum | cut -c1-64); echo "{\"principal\":\"u$(id -u)-$(id -G)-$sum\"}" | tr ' ' '+'`
	c := Config{Timeout: 20 * time.Second}
	want := "u0-0-"
	if os.Getuid() == 0 {
		c.As, want = &syscall.Credential{Uid: 65534, Gid: 65534}, "u65534-65534-"
	}
	v := plugin(t, script, c)
	if os.Getuid() == 0 { // its folder is root's alone
		for dir := filepath.Dir(v.c.Command[0]); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		who, err := v.Verify(t.Context(), identity.Channel{}, make([]byte, MaxProof))
		const zeros = "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31" // of 65536 of them
		if err != nil || who.Name != want+zeros {
			t.Errorf("%v %v", who.Principal, err)
		}
	}
	for _, n := range []int{0, MaxProof + 1} {
		if _, err := v.Verify(t.Context(), identity.Channel{}, make([]byte, n)); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestProver(t *testing.T) {
	ch := identity.Channel{TLS: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}}
	p := Prover{Exec([]string{"/bin/sh", "-c", "printf proof"}, nil)}
	if _, err := p.Prove(t.Context(), identity.Channel{}); err == nil {
		t.Error("a proof is shown to anyone")
	}
	if proof, err := p.Prove(t.Context(), ch); err != nil || string(proof.Bytes) != "proof" {
		t.Errorf("%q %v", proof.Bytes, err)
	}
	for name, s := range map[string]Source{
		"no file":  File("/nonexistent"),
		"empty":    File("/dev/null"),
		"failing":  Exec([]string{"/bin/sh", "-c", "echo why >&2; exit 1"}, nil),
		"too long": Exec([]string{"/bin/sh", "-c", "head -c 100000 /dev/zero"}, nil),
		"endless":  File("/dev/zero"),
	} {
		if proof, err := (Prover{s}).Prove(t.Context(), ch); err == nil {
			t.Errorf("%s: %d bytes", name, len(proof.Bytes))
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no plugin": {}, "no path": {Command: []string{"true"}}, "no program": {Command: []string{"/etc/passwd"}},
		"nothing there": {Command: []string{"/nonexistent"}}, "for ever": {Command: []string{"/bin/true"}, Timeout: time.Hour},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(`{"principal":"alice","expires":"2999-01-01T00:00:00Z"}`)
	f.Add(`{"refused":"no"}`)
	v := &Verifier{c: Config{Reserved: []string{"root"}}}
	f.Fuzz(func(t *testing.T, out string) {
		if who, err := v.judge([]byte(out)); err == nil && (identity.CheckName(who.Name) != nil || who.Name == "root") {
			t.Errorf("%q: %+v", out, who)
		}
	})
}
