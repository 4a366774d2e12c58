package dextest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// postgres is where dex keeps its keys and tokens: of the stores that it has,
// those in its own memory and in SQLite deadlock when a token is refreshed.
type postgres struct {
	dir    string // holds its socket
	bin    string
	who    *syscall.Credential
	server *exec.Cmd
}

// startPostgres starts one that ends with t, on no port. PostgreSQL will not
// run as root: then it is the user postgres, whom Debian's package makes.
func startPostgres(t testing.TB) (*postgres, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return nil, errors.New("no PostgreSQL: tests/setup.sh test")
	}
	p := &postgres{bin: bins[len(bins)-1]}
	var err error
	if p.dir, err = os.MkdirTemp("", "dex-"); err != nil { // short: a socket's path has 107 bytes
		return nil, err
	}
	t.Cleanup(p.stop)
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(p.dir, "data")
	if out, err := p.command("initdb", "-D", data, "-A", "trust", "-U", "dex", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	var out bytes.Buffer
	p.server = p.command("postgres", "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	p.server.Stdout, p.server.Stderr = &out, &out
	if err := p.server.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := p.do("CREATE DATABASE dex", "postgres")
		if err == nil {
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, fmt.Errorf("%w\n%s", err, &out)
		}
	}
}

func (p *postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.who}
	return cmd
}

// do runs a statement in a database.
func (p *postgres) do(statement, database string) error {
	out, err := p.command("psql", "-q", "-h", p.dir, "-U", "dex", "-d", database, "-c", statement).CombinedOutput()
	if err != nil {
		return fmt.Errorf("psql: %w: %s", err, out)
	}
	return nil
}

// stop ends it at once; nothing of it is wanted any more.
func (p *postgres) stop() {
	if p.server != nil {
		p.server.Process.Signal(syscall.SIGQUIT)
		p.server.Wait()
		p.server = nil
	}
	os.RemoveAll(p.dir)
}
