package callers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// A ticket in a cache that lies in no file: what the user's own programs can
// read, his agent can show.
func TestAgentKeyring(t *testing.T) {
	base := t.TempDir()
	must(t, os.Chmod(base, 0o711))
	must(t, os.Chmod(filepath.Dir(base), 0o711))
	s := newSite(t, "agent="+base+"/%{uid}/agent.sock")
	dir := filepath.Join(base, itoa(alice.UID))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, alice.UID, alice.GID))
	conf, err := os.ReadFile(s.Realm.Conf)
	must(t, err)
	must(t, os.WriteFile(dir+"/krb5.conf", conf, 0o644))
	env := []string{"KRB5CCNAME=KEYRING:user:wardfs-test", "KRB5_CONFIG=" + dir + "/krb5.conf"}
	run := func(in, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Stdin = append(os.Environ(), env...), strings.NewReader(in)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(alice.UID), Gid: uint32(alice.GID)}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("secret\n", "kinit", "alice"); err != nil {
		harness.Skip(t, "no keyring here: "+out)
	}
	t.Cleanup(func() { run("", "kdestroy") })
	s.startAgent(alice, dir+"/agent.sock", env)
	must(t, as(alice, write(s.path("hers"), "a", 0o600)))
	if out, err := run("", "kdestroy"); err != nil {
		t.Fatal(out)
	}
	s.until(alice, "reads after kdestroy", syscall.EACCES, read(s.path("hers")))
	if out, err := run("secret\n", "kinit", "alice"); err != nil {
		t.Fatal(out)
	}
	s.until(alice, "reads after kinit", nil, read(s.path("hers")))
}
