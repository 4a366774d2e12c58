package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCutRemote(t *testing.T) {
	for path, want := range map[string][2]string{
		"host:/a/b":          {"host", "/a/b"},
		"host:":              {"host", "/"},
		"h1,h2:7471:/a:/b":   {"h1,h2:7471", "/a:/b"},
		"[::1]:7470:/x/../y": {"[::1]:7470", "/x/../y"},
		"dev:/srv/dev":       {"dev:/srv/dev", "/"},
		"dev:data:/a":        {"dev:data", "/a"},
		"dev:data:":          {"dev:data", "/"},
	} {
		if spec, rest, ok := cutRemote(path); !ok || spec != want[0] || rest != want[1] {
			t.Errorf("%q: got %q, %q, %v", path, spec, rest, ok)
		}
	}
	for _, path := range []string{"/mnt/a:/b", "./a:/b", "../dev:x", ".", "..", "", "a", "a:b", "a/b"} {
		if spec, rest, ok := cutRemote(path); ok {
			t.Errorf("%q: got %q, %q, and it is local", path, spec, rest)
		}
	}
}

func TestUnderMountEnds(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/etc", dir + "/loop/x", dir + "/none/../..", "relative"} {
		if mnt, rest, err := underMount(path); exitCode(err) != exitNotMounted {
			t.Errorf("%q: got %q, %q, %v", path, mnt, rest, err)
		}
	}
}

func TestFlagsBecomeOptions(t *testing.T) {
	r := newReach(&env{}, "test")
	r.flags[0], r.flags[1], r.options = `/a,b\c`, "cert", []string{"soft"}
	if got, want := strings.Join(r.lists(), " "), `ca=/a\,b\\c cert=cert soft`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
