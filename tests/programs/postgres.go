package programs

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

// Postgres keeps a PostgreSQL data directory below dir, as the user postgres,
// and kills the server (-9) under load: what was committed is there after its
// recovery, the books balance, and every page's checksum is right.
func Postgres(t *testing.T, dir string) {
	who, err := user.Lookup("postgres")
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		harness.Skip(t, "no PostgreSQL: tests/setup.sh test")
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	s := newShell(t, filepath.Join(dir, "postgres"), harness.Cred{UID: uid, GID: gid})
	s.env = append(s.env, "PATH="+bins[len(bins)-1]+":"+os.Getenv("PATH"), "PGHOST="+s.local, "PGUSER=postgres", "PGDATABASE=postgres", "PGDATA="+filepath.Join(s.dir, "pg"))
	s.sh("initdb --data-checksums -A trust -U postgres")
	p := &postgres{shell: s}
	defer p.kill()
	p.start()
	s.sh("pgbench -q -i -s 1 && pgbench -n -c 4 -t 25")
	p.balanced(100)
	for range 2 {
		load := s.command("sh", "-c", "pgbench -n -c 4 -T 600")
		load.SysProcAttr.Setpgid = true
		s.ok(load.Start())
		before := p.history()
		s.ok(harness.Until(func() error {
			if n := p.history(); n < before+50 {
				return fmt.Errorf("only %d transactions", n-before)
			}
			return nil
		}))
		committed := p.history()
		p.kill()
		syscall.Kill(-load.Process.Pid, syscall.SIGKILL)
		load.Wait()
		p.start()
		p.balanced(committed)
	}
	s.sh("pg_ctl stop -m fast && pg_checksums --check")
	p.pid = 0
}

// postgres is a server over the shell's directory.
type postgres struct {
	*shell
	pid int // of the server; 0 while it is down
}

// start returns when it can be asked. A killed server's children may hold its
// shared memory for a moment: then it is tried again.
func (p *postgres) start() {
	p.Helper()
	p.ok(harness.Until(func() error {
		out, err := p.command("sh", "-c", `exec pg_ctl start -w -t 120 -l "$PGHOST/log" -o "-k $PGHOST -c listen_addresses="`).CombinedOutput()
		if err != nil {
			b, _ := os.ReadFile(filepath.Join(p.local, "log"))
			return fmt.Errorf("%w: %s%s", err, out, tail(string(b)))
		}
		return nil
	}))
	pid, err := os.ReadFile(filepath.Join(p.dir, "pg", "postmaster.pid"))
	p.ok(err)
	p.pid, err = strconv.Atoi(strings.Fields(string(pid))[0])
	p.ok(err)
}

// history is how many transactions pgbench has committed.
func (p *postgres) history() int {
	p.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(p.run("psql", "-Atc", "SELECT count(*) FROM pgbench_history")))
	p.ok(err)
	return n
}

// balanced says what is wrong with pgbench's books, or if there are fewer
// transactions than were committed.
func (p *postgres) balanced(committed int) {
	p.Helper()
	sums := p.run("psql", "-Atc", `SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),
		(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history),
		(SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_accounts)`)
	p.equal("books", sums, "t|t|t|100000\n")
	if n := p.history(); n < committed {
		p.Errorf("%d transactions, and %d were committed", n, committed)
	}
}

// kill ends the server and all that it started, as a crash does.
func (p *postgres) kill() {
	pid := p.pid
	if pid == 0 {
		return
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	syscall.Kill(pid, syscall.SIGKILL)
	for _, c := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(c); err == nil {
			syscall.Kill(n, syscall.SIGKILL)
		}
	}
	p.pid = 0
}
