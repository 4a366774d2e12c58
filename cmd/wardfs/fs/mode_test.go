package fs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

var modes = []string{
	"755", "0644", "00755", "4755", "0", "u+x", "go-rwx", "a=rx", "u=rwx,g=rx,o=", "+w", "-x", "=r", "+t", "u+s", "g-s", "o+t", "a+X", "g=u", "u=g,o=u-w",
	"o+g", "ug+s", "u=rws,g=x", "-s", "=", "go=", "+rX", "a-w+x", "7777", "u-s,g+s", "g=s", "o=s", "g+rwxs-x", "1000", "02000",
}

// What chmod(1) does to a file and a directory of every mode that matters is
// what we do.
func TestModesAreThoseOfChmod(t *testing.T) {
	tool, err := exec.LookPath("chmod")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range modes {
		c, err := parseMode(text, 0o022)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, m := range []uint32{0o644, 0o755, 0o4711, 0o2770, 0o7777, 0} {
			for path, typ := range map[string]posix.Mode{file: posix.TypeReg, folder: posix.TypeDir} {
				script := "umask 022; chmod 0" + strconv.FormatUint(uint64(m), 8) + " " + path + "; chmod u-s,g-s " + path + "; chmod 0" +
					strconv.FormatUint(uint64(m), 8) + " " + path + "; " + tool + " -- " + text + " " + path + "; stat -c %a " + path
				out, err := exec.Command("sh", "-c", script).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if got, want := strconv.FormatUint(uint64(c.apply(typ|posix.Mode(m))), 8), strings.TrimSpace(string(out)); got != want {
					t.Errorf("chmod %s on %o of type %o: got %s, want %s", text, m, typ, got, want)
				}
			}
		}
	}
}

func TestBadModes(t *testing.T) {
	for _, text := range []string{"", ",", "8", "77777", "99", "u", "rwx", "u+q", "+w,", "u+rg", "0755x", "u+w,z"} {
		if c, err := parseMode(text, 0); err == nil {
			t.Errorf("%q is taken as %+v", text, c)
		}
	}
}

func FuzzParseMode(f *testing.F) {
	for _, text := range modes {
		f.Add(text, uint32(0o2755), uint32(0o22))
	}
	f.Fuzz(func(t *testing.T, text string, mode, umask uint32) {
		c, err := parseMode(text, posix.Mode(umask)&0o777)
		if err != nil {
			return
		}
		m := posix.Mode(mode) & (posix.TypeMask | posix.PermMask)
		got := c.apply(m)
		if got&^posix.PermMask != 0 {
			t.Fatalf("%q on %o: %o", text, m, got)
		}
		if !strings.ContainsAny(text, "+-ugoX") && c.apply(m.Type()|got) != got {
			t.Fatalf("%q on %o: %o, and then %o", text, m, got, c.apply(m.Type()|got))
		}
	})
}
