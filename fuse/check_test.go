package fuse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMayAllowOther(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "fuse.conf")
	if mayAllowOther(conf) {
		t.Error("allowed by a file that is not there")
	}
	for text, want := range map[string]bool{
		"user_allow_other\n":            true,
		"# user_allow_other\n":          false,
		"mount_max = 1000\n":            false,
		" user_allow_other # for all\n": true,
	} {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mayAllowOther(conf); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestCheckMount asks for one clear line each.
func TestCheckMount(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ want, dir string }{
		{"no such directory", filepath.Join(dir, "missing")},
		{"not a directory", file},
		{"not empty", dir},
	} {
		_, err := Mount(c.dir, Config{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "mount "+c.dir+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}
