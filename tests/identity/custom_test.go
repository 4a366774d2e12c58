package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

// A plugin of the server lets in whom it likes.
func TestPlugin(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
		return filepath.Join(dir, name)
	}
	plugin := file("plugin", `#!/bin/sh
case "$(cat)" in "open sesame") echo '{"principal":"alice"}';; *) echo '{"refused":"not the word"}';; esac
`, 0o755)
	w := harness.Start(t, "--set", "auth.mechanisms=X509,CUSTOM", "--set", "tls.client_auth=request", "--set", "auth.custom.command="+plugin,
		"--set", "groups.source=file", "--set", "groups.file="+file("accounts", "alice:\n", 0o600))
	mnt := w.SecondMount(t, "mechanism=CUSTOM", "proof="+file("proof", "open sesame", 0o600))
	if r := harness.Run(t, time.Minute, "whoami", mnt); !strings.Contains(r.Stdout, "alice (CUSTOM)") {
		t.Errorf("whoami: %q %q", r.Stdout, r.Stderr)
	}
	must(t, os.WriteFile(mnt+"/hers", nil, 0o600))
	empty := t.TempDir()
	if r := harness.Run(t, time.Minute, "mount", "dev:"+w.Dir(), empty, "-o", "mechanism=CUSTOM,proof="+file("wrong", "open barley", 0o600)); r.Code == 0 || !strings.Contains(r.Stderr, "not the word") {
		t.Errorf("%d %q", r.Code, r.Stderr)
	}
}
