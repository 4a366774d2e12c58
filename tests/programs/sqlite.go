package programs

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// sqliteStory works with a rollback journal in every mode that has one, and
// with a write-ahead log, two connections at once.
func sqliteStory(s *shell) {
	for _, mode := range []string{"delete", "truncate", "persist", "wal"} {
		db := mode + ".db"
		s.equal("journal", s.sql(db, "PRAGMA journal_mode="+mode+";"), mode+"\n")
		s.sql(db, "PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB); CREATE INDEX i ON t(k);")
		for i := range 5 {
			s.sql(db, fmt.Sprintf(`BEGIN IMMEDIATE;
				WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<400)
				INSERT INTO t(k, v) SELECT 'k%d-' || x, randomblob(500) FROM n; COMMIT;`, i))
		}
		s.sql(db, "BEGIN; DELETE FROM t; ROLLBACK;")
		s.sql(db, "BEGIN; UPDATE t SET v = zeroblob(900) WHERE id % 3 = 0; DELETE FROM t WHERE id % 5 = 0; COMMIT; VACUUM;")
		s.equal(mode+": integrity", s.sql(db, "PRAGMA integrity_check;"), "ok\n")
		s.equal(mode+": rows", s.sql(db, "SELECT count(*), sum(length(v)) FROM t;"), fmt.Sprintf("1600|%d\n", 533*900+1067*500))
		s.sqliteExcludes(db)
	}
	s.sh("sqlite3 delete.db .dump | sqlite3 copy.db; sqlite3 delete.db 'SELECT * FROM t' | cksum > a; sqlite3 copy.db 'SELECT * FROM t' | cksum > b; cmp a b")
}

func (s *shell) sql(db, script string) string {
	s.Helper()
	return s.run("sqlite3", "-bail", db, script)
}

// sqliteExcludes: while one connection writes, another is told to wait.
func (s *shell) sqliteExcludes(db string) {
	s.Helper()
	c := s.sqlite(db)
	c.say("BEGIN EXCLUSIVE; INSERT INTO t(k) VALUES('locked');")
	out, err := s.command("sqlite3", "-bail", db, "BEGIN IMMEDIATE;").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "locked") {
		s.Errorf("a second writer got in: %v %s", err, out)
	}
	c.say("ROLLBACK;")
	s.ok(c.in.Close())
	s.ok(c.wait())
}

// sqliteKilled kills sqlite3 in the midst of transactions: what was committed
// is there, what was not is not.
func sqliteKilled(s *shell) {
	const db = "k.db"
	s.sql(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);")
	for round := range 4 {
		c := s.sqlite(db)
		c.say("PRAGMA cache_size=10; PRAGMA synchronous=FULL; INSERT INTO t(v) VALUES(randomblob(3000));") // committed
		// A small cache: the transaction spills into the file before its end.
		c.say(`BEGIN; UPDATE t SET v = zeroblob(3000);
			WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<1000)
			INSERT INTO t(v) SELECT randomblob(2000) FROM n;`)
		s.ok(c.kill())
		s.equal("integrity", s.sql(db, "PRAGMA integrity_check;"), "ok\n")
		s.equal("rows", s.sql(db, "SELECT count(*) FROM t;"), fmt.Sprintf("%d\n", round+1))
		s.equal("rows that only the lost transaction made", s.sql(db, "SELECT count(*) FROM t WHERE v = zeroblob(3000);"), "0\n")
	}
}

// A connection is a sqlite3 that is fed by hand.
type connection struct {
	s    *shell
	in   io.WriteCloser
	out  *bufio.Scanner
	wait func() error
	kill func() error
}

func (s *shell) sqlite(db string) *connection {
	s.Helper()
	cmd := s.command("sqlite3", "-bail", db)
	in, err := cmd.StdinPipe()
	s.ok(err)
	out, err := cmd.StdoutPipe()
	s.ok(err)
	s.ok(cmd.Start())
	kill := func() error {
		err := cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return &connection{s, in, bufio.NewScanner(out), cmd.Wait, kill}
}

// say hands on a script and waits until it is done.
func (c *connection) say(script string) {
	c.s.Helper()
	_, err := io.WriteString(c.in, script+"\n.print done\n")
	c.s.ok(err)
	for c.out.Scan() {
		if c.out.Text() == "done" {
			return
		}
	}
	c.s.Fatalf("sqlite3 ended in the midst of: %s", script)
}
