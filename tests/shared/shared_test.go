package shared

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, Children()) }

// TestLocal: the assertions hold on one disk.
func TestLocal(t *testing.T) {
	dir := harness.LocalDir(t)
	Run(t, [2]string{dir, dir})
}

func TestMounts(t *testing.T) {
	w := harness.Start(t)
	ok(t, os.Chmod(w.Mount(), 0o755))
	Run(t, [2]string{w.Mount(), w.SecondMount(t)})
}

// TestTorn: what the tests above look for they find.
func TestTorn(t *testing.T) {
	name := filepath.Join(harness.TempDir(t), "f")
	good := record(0, 0) + record(1, 0) + record(0, 1) + record(1, 1)
	for what, text := range map[string]string{
		"lost":        record(0, 0) + record(0, 1) + record(1, 1),
		"twice":       record(0, 0) + good,
		"interleaved": record(0, 0)[:5] + record(1, 0) + record(0, 0)[5:] + record(0, 1) + record(1, 1),
		"overwritten": good[:len(good)-3] + "\x00\x00\n",
		"short":       good[:len(good)-1],
	} {
		ok(t, os.WriteFile(name, []byte(text), 0o600))
		if err := whole(name, 2, 2); err == nil {
			t.Errorf("%s: not seen", what)
		}
	}
	ok(t, os.WriteFile(name, []byte(good), 0o600))
	ok(t, whole(name, 2, 2))
}
