package fuse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseMountinfo(t *testing.T) {
	for _, c := range []struct {
		on, typ string
		ok      bool
		line    string
	}{
		{"/mnt2", "ext3", true, "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"},
		{"/a b\\", "fuse.wardfs", true, `36 35 0:50 / /a\040b\134 rw - fuse.wardfs server:/ rw,user_id=0`},
		{"", "", false, "36 35 0:50 / /mnt rw"},
		{"", "", false, "36 35 - x"},
		{"", "", false, ""},
	} {
		on, typ, ok := parseMountinfo(c.line)
		if on != c.on || typ != c.typ || ok != c.ok {
			t.Errorf("%q: %q %q %v", c.line, on, typ, ok)
		}
	}
	for in, want := range map[string]string{`\`: `\`, `\0`: `\0`, `\999`: `\999`, `a\011`: "a\t", `\134040`: `\040`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

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
