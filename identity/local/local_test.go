package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRead sees that only a user's own closed file is read and counts.
func TestRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: files of several users are part of the test")
	}
	const uid, other = 4242, 4343
	dir := t.TempDir()
	make := func(name string, owner int, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("secret"), 0o600))
		must(t, os.Chown(path, owner, owner))
		must(t, os.Chmod(path, mode))
		return path
	}
	good := make("good", uid, 0o600)
	theirs := make("theirs", other, 0o600)
	link := func(name, to string) string {
		path := filepath.Join(dir, name)
		must(t, os.Symlink(to, path))
		must(t, os.Lchown(path, uid, uid))
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	must(t, os.Chown(fifo, uid, uid))
	big := make("big", uid, 0o600)
	must(t, os.Truncate(big, maxFile+1))
	for _, c := range []struct{ path, want string }{
		{good, ""},
		{make("read-only", uid, 0o400), ""},
		{theirs, "is user 4343's"},
		{make("roots", 0, 0o600), "is user 0's"},
		{make("open", uid, 0o644), "open to others"},
		{make("writable", uid, 0o620), "open to others"},
		{link("to-good", good), "symbolic link"},
		{link("to-theirs", theirs), "symbolic link"},
		{fifo, "not a regular file"},
		{dir, "not a regular file"},
		{big, "more than"},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		b, err := Read(uid, c.path)
		switch {
		case c.want == "" && (err != nil || string(b) != "secret"):
			t.Errorf("%s: %q, %v", c.path, b, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %q, %v, want %q", c.path, b, err, c.want)
		}
		f, err := New(Config{Tokens: []string{c.path + "%{uid}"}})
		must(t, err)
		f.c.Tokens = []string{c.path}
		if stamp := f.Stamp(uid); (stamp != "") != (c.want == "" || c.path == big) {
			t.Errorf("%s: stamp %q", c.path, stamp)
		}
	}
}

// TestStamp sees that a stamp changes with the file, and with which is the first.
func TestStamp(t *testing.T) {
	dir := t.TempDir()
	f, err := New(Config{
		Tokens: []string{filepath.Join(dir, "token-%{uid}")},
		Caches: []string{"FILE:" + filepath.Join(dir, "cc-%{uid}"), "DIR:" + filepath.Join(dir, "dir-%{uid}")},
	})
	must(t, err)
	uid := posix.UID(os.Geteuid())
	seen := map[string]bool{}
	step := func(what, mechanism string) {
		t.Helper()
		s := f.Stamp(uid)
		if seen[s] || strings.HasPrefix(s, mechanism) != (s != "" || mechanism == "") {
			t.Errorf("%s: stamp %q", what, s)
		}
		seen[s] = true
		p, err := f.Prover(uid)
		switch {
		case mechanism == "" && !errors.Is(err, identity.ErrCredential):
			t.Errorf("%s: %v", what, err)
		case mechanism != "" && (err != nil || p.Mechanism() != mechanism):
			t.Errorf("%s: %v", what, err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, fmt.Sprintf(name, uid))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path+".new", []byte(text), 0o600))
		must(t, os.Rename(path+".new", path))
	}
	step("nothing", "")
	write("dir-%d/tkt", "a")
	step("a collection", identity.Kerberos)
	write("dir-%d/primary", "tktother")
	write("dir-%d/tktother", "b")
	step("another of the collection", identity.Kerberos)
	write("cc-%d", "c")
	step("a file before it", identity.Kerberos)
	write("cc-%d", "d")
	step("written anew", identity.Kerberos)
	p, err := f.Prover(uid)
	must(t, err)
	write("token-%d", "e")
	step("a token before all", identity.OIDC)
	if _, err := p.Prove(context.Background(), identity.Channel{}); posix.ErrnoOf(err) != posix.EACCES {
		t.Errorf("who had a ticket shows a token in its place: %v", err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		c    Config
		want string
	}{
		{Config{Tokens: []string{"/run/token"}}, "one credential for every user"},
		{Config{Caches: []string{"FILE:/tmp/cc"}}, "one credential for every user"},
		{Config{Caches: []string{"KCM:%{uid}"}}, "type KCM"},
		{Config{Caches: []string{"KEYRING:persistent:%{uid}"}}, "type KEYRING"},
		{Config{Caches: DefaultCaches, Tokens: DefaultTokens}, ""},
	} {
		_, err := New(c.c)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
	}
}
