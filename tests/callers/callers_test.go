package callers

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

func write(path, text string, mode os.FileMode) func() error {
	return func() error { return os.WriteFile(path, []byte(text), mode) }
}

func read(path string) func() error {
	return func() error { _, err := os.ReadFile(path); return err }
}

// One mount, three users: one has a ticket, one a token, one nothing. Each is
// itself, and who has nothing is told so.
func TestThreeAtOnce(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice")
	s.token(bob, "bob", time.Hour)
	must(t, as(alice, write(s.path("hers"), "alice's", 0o600)))
	must(t, as(bob, write(s.path("his"), "bob's", 0o640)))

	s.errno(bob, "reads what is alice's alone", syscall.EACCES, read(s.path("hers")))
	must(t, as(alice, read(s.path("his")))) // she is in his group
	s.errno(alice, "writes what his group may read", syscall.EACCES, write(s.path("his"), "", 0))
	s.errno(bob, "removes hers out of a sticky directory", syscall.EPERM, func() error { return syscall.Unlink(s.path("hers")) })
	for what, f := range map[string]func() error{
		"stat":    func() error { _, err := os.Stat(s.path("hers")); return err },
		"the top": func() error { _, err := os.Stat(s.mnt); return err },
		"list":    func() error { _, err := os.ReadDir(s.mnt); return err },
		"read":    read(s.path("his")),
		"make":    write(s.path("new"), "", 0o600),
		"statfs":  func() error { return syscall.Statfs(s.mnt, new(syscall.Statfs_t)) },
	} {
		s.errno(carol, what+" without a credential", syscall.EACCES, f)
	}
	for name, uid := range map[string]int{"hers": alice.UID, "his": bob.UID} {
		must(t, as(alice, func() error {
			info, err := os.Stat(s.path(name))
			if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != uid {
				t.Errorf("%s is user %d's, want %d", name, info.Sys().(*syscall.Stat_t).Uid, uid)
			}
			return err
		}))
	}
	if l := s.Logs(); !strings.Contains(l, "a user is refused") || !strings.Contains(l, "run kinit -c FILE:"+s.File("krb5cc_4444")) {
		t.Error("the log does not say what carol should do")
	}
	for name, who := range map[string]string{"/hers": "ugi=alice,", "/his": "ugi=bob,"} {
		made := false
		for _, l := range s.audit(name) {
			made = made || strings.Contains(l, "cmd=create") && strings.Contains(l, who) && strings.Contains(l, "succeeded=true")
		}
		if !made {
			t.Errorf("the audit log does not say that %s made %s:\n%s", who, name, strings.Join(s.audit(name), "\n"))
		}
	}
	r := harness.Run(t, time.Minute, "whoami", s.mnt)
	for _, want := range []string{"user 4242: alice (KERBEROS)", "user 4343: bob (OIDC)", "user 4444: refused"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("whoami lacks %q:\n%s%s", want, r.Stdout, r.Stderr)
		}
	}
}

// Who comes late, goes, and comes back: each change of a credential is seen at
// the next call, and none of another user's.
func TestCredentialsComeAndGo(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice")
	s.kinit(bob, "bob")
	must(t, as(alice, write(s.path("a"), "a", 0o600)))
	must(t, as(bob, write(s.path("b"), "b", 0o600)))
	s.errno(carol, "reads", syscall.EACCES, read(s.mnt+"/a"))

	s.kdestroy(alice)
	s.until(alice, "reads after kdestroy", syscall.EACCES, read(s.path("a")))
	must(t, as(bob, read(s.path("b"))))
	s.kinit(alice, "alice")
	must(t, as(alice, read(s.path("a")))) // at once

	// The same local user is another principal now.
	s.kinit(alice, "carol")
	s.until(alice, "reads alice's as carol", syscall.EACCES, read(s.path("a")))
	must(t, as(alice, write(s.path("c"), "c", 0o600)))
	s.token(carol, "carol", time.Hour)
	must(t, as(carol, read(s.path("c"))))
	must(t, as(bob, read(s.path("b"))))
}

// A ticket expires in the middle of a job: what is new fails, and goes on by
// itself after kinit. Others notice nothing.
func TestTicketExpires(t *testing.T) {
	s := newSite(t)
	s.kinit(alice, "alice", "-l", "8s")
	s.kinit(bob, "bob")
	var job *os.File
	must(t, as(alice, func() (err error) { job, err = os.Create(s.path("job")); return err }))
	defer job.Close()
	step := func() error {
		if _, err := job.WriteString("step\n"); err != nil {
			return err
		}
		return job.Sync()
	}
	must(t, as(bob, write(s.path("b"), "b", 0o600)))
	s.until(alice, "goes on", syscall.EKEYEXPIRED, step)
	s.errno(alice, "lists", syscall.EKEYEXPIRED, func() error { _, err := os.ReadDir(s.mnt); return err })
	must(t, as(bob, read(s.path("b"))))
	s.kinit(alice, "alice")
	s.until(alice, "goes on after kinit", nil, step)
	must(t, as(alice, read(s.path("job"))))
}
