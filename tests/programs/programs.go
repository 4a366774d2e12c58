// Package programs runs the programs that people run over a directory: git,
// tar, rsync, sqlite3, the Go compiler, cp, a C compiler, an editor's save, fio,
// PostgreSQL. It asks of each what its user would ask: is everything there, and is it right.
//
// Like the POSIX suite it runs on a mount and on the machine's own disk.
package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// A Program is one story of a program's use.
type Program struct {
	name string
	run  func(s *shell)
}

// All are the programs. Those of Quick leave out what takes long.
var (
	Quick = []Program{
		{"git", gitStory}, {"tar", tarStory}, {"rsync", rsyncStory}, {"cp", cpStory}, {"acl", aclStory}, {"sqlite", sqliteStory},
		{"sqlite-killed", sqliteKilled}, {"cc", ccStory}, {"editor", editorStory}, {"shell", shellStory}, {"fio", fioStory},
	}
	All = append([]Program{{"git-large", gitLarge}, {"go", goStory}}, Quick...)
)

// Run runs programs below dir, as root and as a user whom the host does not
// know.
func Run(t *testing.T, dir string, programs []Program) {
	for _, who := range []struct {
		name string
		cred harness.Cred
	}{{"root", harness.Cred{}}, {"user", harness.Alice}} {
		t.Run(who.name, func(t *testing.T) {
			for _, p := range programs {
				t.Run(p.name, func(t *testing.T) { p.run(newShell(t, filepath.Join(dir, who.name+"-"+p.name), who.cred)) })
			}
		})
	}
}

// A shell runs commands as one user, in a directory of the filesystem under
// test; beside it is one on the local disk for what is compared.
type shell struct {
	*testing.T
	dir   string // under test, the user's own
	local string // on the local disk, the user's own
	cred  harness.Cred
	env   []string
}

func newShell(t *testing.T, dir string, cred harness.Cred) *shell {
	t.Helper()
	s := &shell{T: t, dir: dir, local: harness.LocalDir(t), cred: cred}
	s.ok(os.Mkdir(dir, 0o755))
	for _, d := range []string{s.dir, s.local} {
		s.ok(os.Chown(d, cred.UID, cred.GID))
	}
	home := filepath.Join(s.dir, "home")
	s.ok(os.Mkdir(home, 0o700))
	s.ok(os.Chown(home, cred.UID, cred.GID))
	s.env = append(os.Environ(), "HOME="+home, "USER=someone", "LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TRACE=1", // shown when git fails
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
	s.write("home/.gitconfig", "[safe]\n\tdirectory = *\n") // the source may be another's
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("rm -r afterwards: %v", err)
		}
	})
	return s
}

func (s *shell) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// command is a command of the user's, in dir.
func (s *shell) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.cred.UID), Gid: uint32(s.cred.GID)}}
	return cmd
}

// run runs a command to its end and answers what it printed; failing fails
// the test with its words.
func (s *shell) run(name string, args ...string) string {
	s.Helper()
	var out, errs strings.Builder
	cmd := s.command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, tail(out.String()), tail(errs.String()))
	}
	return out.String()
}

// sh runs a script that stops at its first error.
func (s *shell) sh(script string, args ...string) string {
	s.Helper()
	return s.run("sh", append([]string{"-euc", script, "sh"}, args...)...)
}

func tail(s string) string {
	if n := len(s); n > 2000 {
		return "..." + s[n-2000:]
	}
	return s
}

// equal reports two texts that differ.
func (s *shell) equal(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %q, want %q", what, tail(got), tail(want))
	}
}

// source makes a tree on the local disk, the user's own: a part of Go's
// library and one of everything.
func (s *shell) source(parts ...string) string {
	s.Helper()
	src := filepath.Join(s.local, "src")
	s.run("mkdir", "-p", src)
	for _, p := range parts {
		s.run("cp", "-r", "--preserve=timestamps", filepath.Join(goroot(s.T), "src", p), filepath.Join(src, p))
	}
	harness.As(s.cred, func() { s.ok(harness.Plant(filepath.Join(src, "planted"))) })
	// rsync leaves a directory's time alone that is off by less than a second.
	s.run("find", src, "-type", "d", "-newermt", "-1 hour", "-exec", "touch", "-d", "2001-02-03", "{}", "+")
	return src
}

func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// same compares two trees in all that can be seen.
func (s *shell) same(what, got, want string, without int) {
	s.Helper()
	g, err := harness.Take(got, without)
	s.ok(err)
	w, err := harness.Take(want, without)
	s.ok(err)
	if len(w) < 10 {
		s.Fatalf("%s: only %d paths were compared", what, len(w))
	}
	if d := g.Diff(w); d != "" {
		s.Errorf("%s:\n%s", what, d)
	}
}

func (s *shell) count(dir string, findArgs ...string) int {
	s.Helper()
	return strings.Count(s.run("find", append([]string{dir}, append(findArgs, "-printf", ".")...)...), ".")
}

func (s *shell) write(rel, text string) {
	s.Helper()
	path := filepath.Join(s.dir, rel)
	s.ok(os.WriteFile(path, []byte(text), 0o644))
	s.ok(os.Chown(path, s.cred.UID, s.cred.GID))
}

func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}
