// Package owners tests that users and groups go by name between hosts: the real
// binary, two mounts of one server, and for one of them other files /etc/passwd
// and /etc/group, in a mount namespace of its own.
package owners

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, nil) }

// The other host: games has other numbers than Debian's 5 and 60, daemon has
// the number that games has here, zoe is unknown here, and nobody is there.
const (
	passwd = "root:x:0:0::/:/bin/sh\ndaemon:x:5:60::/:/bin/sh\ngames:x:7777:7070::/:/bin/sh\nzoe:x:8888:8080::/:/bin/sh\n"
	group  = "root:x:0:\ndaemon:x:60:\ngames:x:7070:zoe\nzoe:x:8080:\n"
)

// elsewhere is a mount on the other host.
type elsewhere struct {
	t   *testing.T
	mnt string
	pid int
}

// start mounts the server of w on the other host, with those options.
func start(t *testing.T, w *harness.Ward, options string) elsewhere {
	t.Helper()
	bin, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mnt := filepath.Join(dir, "mnt")
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// A copy of the first mount would keep that one alive.
	script := `umount "$5" && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && exec "$2" mount -f -o "$3" "dev:$4" "$1/mnt"`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, "sh", dir, bin, options, w.Dir(), w.Mount())
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	e := elsewhere{t, mnt, cmd.Process.Pid}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(time.Minute):
			cmd.Process.Kill()
			t.Error("the other mount did not end by SIGTERM")
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("its log:\n%s", text)
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", e.pid))
		if strings.Contains(string(mounts), " "+mnt+" ") {
			return e
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the other mount ended: %v", err)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the other mount does not come up")
		}
	}
}

// sh runs a script there, in the mount's root.
func (e elsewhere) sh(script string) (string, error) {
	cmd := exec.Command("nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", e.pid), "sh", "-c", `cd "$0" && `+script, e.mnt)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// says fails the test unless a script there prints want.
func (e elsewhere) says(want, script string) {
	e.t.Helper()
	if got, err := e.sh(script); got != want || err != nil {
		e.t.Errorf("there, %s:\n%s (%v)\nwant %s", script, got, err, want)
	}
}

// here does the same on this host.
func here(t *testing.T, w *harness.Ward, want, script string) {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$0" && `+script, w.Mount()).CombinedOutput()
	if got := strings.TrimSpace(string(out)); got != want || err != nil {
		t.Errorf("here, %s:\n%s (%v)\nwant %s", script, got, err, want)
	}
}

// as is a prefix that runs a command by those numbers alone.
func as(uid, gid int) string {
	return fmt.Sprintf("setpriv --reuid %d --regid %d --clear-groups ", uid, gid)
}

const owner = "stat -c '%u %U %g %G' "

func TestTwoPasswords(t *testing.T) {
	w := harness.Start(t)
	there := start(t, w, "rw")
	here(t, w, "5 games 60 games", "echo secret > a && chmod 600 a && chown games:games a && "+owner+"a")
	there.says("7777 games 7070 games", owner+"a")
	there.says("secret", as(7777, 7070)+"cat a")
	if out, err := there.sh(as(5, 60) + "cat a"); err == nil || !strings.Contains(out, "denied") {
		t.Errorf("there 5 is daemon, and reads what is games' here: %s, %v", out, err)
	}
	there.says("8888 zoe 8080 zoe", as(8888, 8080)+"sh -c 'echo mine > z; mkdir d' && "+owner+"z")

	// zoe is unknown here: a number of her own, which cp -a gives to the copy.
	out, err := exec.Command("sh", "-c", `cd "$0" && cp -a z y && cp -a d e && stat -c %u z y e | sort -u`, w.Mount()).CombinedOutput()
	if n, e := strconv.ParseUint(strings.TrimSpace(string(out)), 10, 32); err != nil || e != nil || !posix.UID(n).Named() {
		t.Errorf("here zoe's are the numbers %s, %v", out, err)
	}
	there.says("8888 zoe 8080 zoe", owner+"y")
	there.says("8888 zoe 8080 zoe", owner+"e")
	there.says("mine", as(8888, 8080)+"cat y")

	// ACLs name persons, and groups.
	here(t, w, "", "setfacl -m u:games:r,g:games:r z")
	there.says("user:games:r--\ngroup:games:r--", "getfacl -cp z | grep games")
	there.says("", "setfacl -m u:zoe:rw,u:games:- a")
	there.says("user:zoe:rw-", "getfacl -cp a | grep zoe")
	out, err = exec.Command("getfacl", "-cnp", filepath.Join(w.Mount(), "a")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "user:5:---") || !strings.Contains(string(out), "user:18790481") {
		t.Errorf("here the ACL is %s, %v", out, err)
	}

	// Numbers without a name are numbers everywhere; a reserved one is nobody's.
	here(t, w, "4242 UNKNOWN 4243 UNKNOWN", "echo > n && chown 4242:4243 n && "+owner+"n")
	there.says("4242 UNKNOWN 4243 UNKNOWN", owner+"n")
	if out, err := there.sh("chown 1879050000 n"); err == nil || !strings.Contains(out, "Invalid argument") {
		t.Errorf("a number that stands for no name: %s, %v", out, err)
	}
	w.Restart(t) // names and ids are the volume's
	there.says("7777 games 7070 games", owner+"a")
	here(t, w, "5 games 60 games", owner+"a")
}

func TestMountOptions(t *testing.T) {
	w := harness.Start(t)
	file := filepath.Join(t.TempDir(), "idmap")
	if err := os.WriteFile(file, []byte("# here\nuser 9000 games\ngroup 9001 games\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	here(t, w, "5 games 60 games", "echo > a && chown games:games a && "+owner+"a")
	start(t, w, "idmap="+file).says("9000 UNKNOWN 9001 UNKNOWN", owner+"a")
	there := start(t, w, "idmap=off")
	there.says("1879048192 1879048192", "stat -c '%u %g' a")
	there.says("7777 games", "echo > b && chown games b && stat -c '%u %U' b")
	here(t, w, "7777 UNKNOWN", "stat -c '%u %U' b")
	there = start(t, w, "rw")
	there.says("8888 zoe 8080 zoe", as(8888, 8080)+"touch z && "+owner+"z")
	here(t, w, "1", "stat -c %u z | grep -c 18790481")
	start(t, w, "idmap="+file+",nobody").says("8888 zoe 8080 zoe", owner+"z")
}
