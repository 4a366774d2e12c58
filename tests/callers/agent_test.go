package callers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

// startAgent runs an agent of a user that listens at path.
func (s *site) startAgent(c harness.Cred, path string, env []string, args ...string) *exec.Cmd {
	s.t.Helper()
	bin, err := harness.Binary()
	must(s.t, err)
	cmd := exec.Command(bin, append([]string{"agent", "--socket", path}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	// No Pdeathsig: the thread that starts it may be one that harness.As ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)}}
	var log strings.Builder
	cmd.Stderr = &log
	must(s.t, cmd.Start())
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("agent of user %d: %s", c.UID, log.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return cmd
		}
		if time.Now().After(end) {
			s.t.Fatalf("the agent does not listen: %s", log.String())
		}
	}
}

// Users whose credentials no file shows have agents: one a ticket in a cache of
// his own, one a token in his environment. An agent that ends takes the
// credential with it, and one that lies is nobody.
func TestAgents(t *testing.T) {
	base := t.TempDir()
	must(t, os.Chmod(base, 0o711))
	must(t, os.Chmod(filepath.Dir(base), 0o711))
	s := newSite(t, "agent="+base+"/%{uid}/agent.sock")
	sock := map[int]string{}
	for _, c := range []harness.Cred{alice, bob, carol} {
		dir := filepath.Join(base, itoa(c.UID))
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.Chown(dir, c.UID, c.GID))
		sock[c.UID] = dir + "/agent.sock"
	}
	cache := filepath.Join(base, itoa(alice.UID), "elsewhere")
	s.Realm.Kinit(cache, "alice", "secret")
	must(t, os.Chown(cache, alice.UID, alice.GID))
	conf, err := os.ReadFile(s.Realm.Conf)
	must(t, err)
	open := filepath.Join(base, "krb5.conf")
	must(t, os.WriteFile(open, conf, 0o644))
	kerberos := []string{"KRB5CCNAME=FILE:" + cache, "KRB5_CONFIG=" + open}
	hers := s.startAgent(alice, sock[alice.UID], kerberos)
	s.token(bob, "bob", time.Hour)
	token, err := os.ReadFile(s.File("token_4343"))
	must(t, err)
	must(t, os.Remove(s.File("token_4343")))
	s.startAgent(bob, sock[bob.UID], []string{"WARDFS_TOKEN=" + string(token)})

	must(t, as(alice, write(s.path("hers"), "a", 0o600)))
	must(t, as(bob, write(s.path("his"), "b", 0o600)))
	s.errno(bob, "reads alice's", syscall.EACCES, read(s.path("hers")))
	s.errno(carol, "has no agent", syscall.EACCES, read(s.path("hers")))

	must(t, hers.Process.Kill())
	hers.Wait()
	s.until(alice, "works when her agent is dead", syscall.EACCES, read(s.path("hers")))
	must(t, as(bob, read(s.path("his"))))
	s.startAgent(alice, sock[alice.UID], kerberos)
	must(t, as(alice, read(s.path("hers"))))

	// Carol's socket is served by bob's process, by noise, by silence.
	for name, f := range map[string]func(net.Conn){
		"noise":   func(c net.Conn) { fmt.Fprint(c, strings.Repeat("noise", 1000)); c.Close() },
		"silence": func(net.Conn) {},
	} {
		must(t, as(carol, func() error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock[carol.UID], Net: "unix"})
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go f(c)
				}
			}()
			s.errno(carol, "with an agent that answers "+name, syscall.EACCES, read(s.path("hers")))
			must(t, as(bob, read(s.path("his"))))
			return l.Close()
		}))
	}
	must(t, os.Chown(filepath.Dir(sock[carol.UID]), bob.UID, bob.GID))
	s.startAgent(bob, sock[carol.UID], []string{"WARDFS_TOKEN=" + string(token)})
	s.errno(carol, "with bob's agent in her place", syscall.EACCES, read(s.path("his")))
	if !strings.Contains(s.Logs(), "user 4343 answers there, and not user 4444") {
		t.Error("the log does not say whose agent that was")
	}
}
