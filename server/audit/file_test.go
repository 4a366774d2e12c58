package audit

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// logged collects what a Log tells the server's log.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

var errFull = errors.New("no space left on device")

// until waits for what the writer does by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("not %s", what)
		}
	}
}

// A disk that is full holds operations up or costs records, whichever is the
// policy; no line is broken, and afterwards all goes on.
func TestFullDisk(t *testing.T) {
	for name, tc := range map[string]struct {
		policy Policy
		part   int // bytes that fit the first time
	}{
		"dropped": {Drop, 0}, "dropped in the middle": {Drop, 40},
		"blocked": {Block, 0}, "blocked in the middle": {Block, 40},
	} {
		t.Run(name, func(t *testing.T) {
			var full atomic.Bool
			var part, tries atomic.Int64
			var log logged
			r := prometheus.NewRegistry()
			l := open(t, Config{OnError: tc.policy, Metrics: r, Log: slog.New(slog.NewTextHandler(&log, nil)), fault: func(n int) (int, error) {
				if !full.Load() {
					return n, nil
				}
				tries.Add(1)
				return min(n, int(part.Swap(0))), errFull
			}})
			l.Put(record(0))
			until(t, "written", func() bool { return value(t, r, "wardfs_audit_records_total") == 1 })
			part.Store(int64(tc.part))
			full.Store(true)
			l.Put(record(1))
			l.Put(record(2))
			until(t, "tried", func() bool { return tries.Load() > 0 && len(l.queue) == 0 })
			until(t, "told", func() bool {
				return log.has("can't be written") && value(t, r, "wardfs_audit_failing") == 1 && value(t, r, "wardfs_audit_errors_total") > 0
			})
			full.Store(false)
			l.Put(record(3))
			until(t, "well again", func() bool { return log.has("can be written again") && value(t, r, "wardfs_audit_failing") == 0 })
			checkFull(t, lines(t, written(t, l)), tc.policy, value(t, r, "wardfs_audit_lost_total"))
		})
	}
}

func checkFull(t *testing.T, all []Line, p Policy, counted float64) {
	t.Helper()
	var said uint64
	there := map[string]bool{}
	for _, x := range all {
		said += x.Lost
		there[x.Src] = x.Lost == 0
	}
	if !there["/d0"] || !there["/d3"] || float64(said) != counted {
		t.Errorf("%d lost by the log, %v by the counter; %+v", said, counted, all)
	}
	if p == Block && (said != 0 || !there["/d1"] || !there["/d2"]) {
		t.Errorf("records are lost though they were to be waited for: %+v", all)
	}
	if p == Drop && said == 0 {
		t.Errorf("nothing was lost: %+v", all)
	}
}

// A server that ends does not wait for a full disk for ever.
func TestCloseGivesUp(t *testing.T) {
	var log logged
	l := open(t, Config{OnError: Block, Log: slog.New(slog.NewTextHandler(&log, nil)), fault: func(int) (int, error) { return 0, errFull }})
	l.Put(record(1))
	l.Close()
	if !log.has("records are missing at the end") {
		t.Error("nothing was said of what is lost")
	}
}

// A real disk that is full, and has room again.
func TestFullFilesystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("audit", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	r := prometheus.NewRegistry()
	l := open(t, Config{Path: filepath.Join(dir, "audit.log"), OnError: Drop, Metrics: r})
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	_, _ = io.Copy(ballast, bytes.NewReader(make([]byte, 1<<20)))
	until(t, "full", func() bool {
		l.Put(record(1))
		return value(t, r, "wardfs_audit_lost_total") > 0
	})
	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	until(t, "well again", func() bool {
		l.Put(record(2))
		return value(t, r, "wardfs_audit_failing") == 0
	})
	var said uint64
	for _, x := range lines(t, written(t, l)) {
		said += x.Lost
	}
	if lost := value(t, r, "wardfs_audit_lost_total"); float64(said) != lost {
		t.Errorf("%v are lost, the log says %d", lost, said)
	}
}

func TestTurnsOverBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	now := moment
	l := open(t, Config{Path: path, MaxSize: 1, Keep: 3, Mode: 0o640, Now: func() time.Time { return now }})
	r := l.m.written
	for i := range 6 {
		l.Put(record(i))
		until(t, "written", func() bool { return counted(r) == float64(i+1) })
	}
	if got := lines(t, written(t, l)); len(got) != 1 || got[0].Src != "/d5" {
		t.Errorf("the newest file has %+v", got)
	}
	old, err := Older(path)
	if err != nil || len(old) != 3 {
		t.Fatalf("kept %v, %v", old, err)
	}
	for i, p := range old {
		text, _ := os.ReadFile(p)
		st, err := os.Stat(p)
		if got := lines(t, string(text)); len(got) != 1 || got[0].Src != "/d"+string(rune('2'+i)) {
			t.Errorf("%s has %+v", p, got)
		}
		if err != nil || st.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %v, %v", p, st.Mode(), err)
		}
	}
}

func counted(c prometheus.Counter) float64 {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	all, _ := r.Gather()
	return all[0].Metric[0].Counter.GetValue()
}

func TestTurnsOverByAge(t *testing.T) {
	f, err := openFile(Config{Path: filepath.Join(t.TempDir(), "audit.log"), Mode: 0o600, MaxSize: 1 << 20, MaxAge: time.Hour, Keep: 1,
		Now: func() time.Time { return moment }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.due(moment.Add(2 * time.Hour)) {
		t.Error("an empty file is due")
	}
	if _, err := f.Write([]byte("half")); err != nil || f.due(moment.Add(2*time.Hour)) {
		t.Error("a file is due in the middle of a line", err)
	}
	if _, err := f.Write([]byte(" a line\n")); err != nil || !f.due(moment.Add(time.Hour)) || f.due(moment.Add(59*time.Minute)) {
		t.Error("a file of an hour is not due, or one of less", err)
	}
	if err := f.rotate(); err != nil || f.size != 0 {
		t.Errorf("%v, size %d", err, f.size)
	}
}

// A flood of lines takes none away that is younger than it shall become.
func TestKeepFor(t *testing.T) {
	now := moment
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := openFile(Config{Path: path, Mode: 0o600, MaxSize: 1, Keep: 2, KeepFor: 24 * time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	turn := func(after time.Duration) int {
		t.Helper()
		now = now.Add(after)
		if _, err := f.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
		if err := f.rotate(); err != nil {
			t.Fatal(err)
		}
		old, err := Older(path)
		if err != nil {
			t.Fatal(err)
		}
		return len(old)
	}
	for i := range 20 {
		if n := turn(time.Second); n != i+1 {
			t.Fatalf("%d files after %d were turned over in a row", n, i+1)
		}
	}
	if n := turn(24*time.Hour - 10*time.Second); n != 13 {
		t.Errorf("%d files, want those of the last day and a second", n)
	}
	if n := turn(100 * time.Hour); n != 2 {
		t.Errorf("%d files after days of quiet, want the newest two", n)
	}
	now = moment // set back
	if n := turn(0); n != 3 {
		t.Errorf("%d files, want none removed by a clock that was set back", n)
	}
}

// Files that are none of ours are left alone.
func TestPruneKnowsItsOwn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"audit.log-old", "audit.log.1", "audit.log-20261122T083000.123Z", "other.log-20261122T083000.123Z", "audit.log-20261122T083000.124Z-001"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old, err := Older(filepath.Join(dir, "audit.log"))
	if err != nil || len(old) != 2 || filepath.Base(old[1]) != "audit.log-20261122T083000.124Z-001" {
		t.Errorf("got %v, %v", old, err)
	}
}

// Moved away by somebody else, as logrotate does, with a word or without.
func TestMovedAway(t *testing.T) {
	for name, tell := range map[string]func(*Log){"told": (*Log).Reopen, "not told": func(*Log) {}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			l := open(t, Config{Path: path})
			l.Put(record(0))
			until(t, "written", func() bool { return counted(l.m.written) == 1 })
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			tell(l)
			until(t, "made anew", func() bool { _, err := os.Lstat(path); return err == nil })
			l.Put(record(1))
			if got := lines(t, written(t, l)); len(got) != 1 || got[0].Src != "/d1" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A line that a crash cut stays apart from the next.
func TestCutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("2026-11-22 08:30:00,123 INFO wardfs.audit: succ"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Path: path})
	l.Put(record(1))
	all := strings.Split(written(t, l), "\n")
	if _, err := Parse(all[0]); err == nil || len(all) != 3 || lines(t, all[1]+"\n")[0].Src != "/d1" {
		t.Errorf("got %q", all)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("a file that others could read stays so: %v, %v", st.Mode(), err)
	}
}

// BenchmarkLine is what the writer takes for a record, without the file.
func BenchmarkLine(b *testing.B) {
	l := &Log{c: Config{Names: testNames(), Where: where}}
	r := full()
	for name, f := range map[string]Format{"hdfs": HDFS, "json": JSON} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				x := l.line(&r, l.find([]Record{r}))
				buf = x.append(buf[:0], f)
			}
		})
	}
}

// BenchmarkPut is what an operation pays.
func BenchmarkPut(b *testing.B) {
	for name, op := range map[string]string{"written": "mkdir", "filtered": "getattr"} {
		b.Run(name, func(b *testing.B) {
			l, err := Open(Config{Path: filepath.Join(b.TempDir(), "audit.log"), Names: testNames(), Where: where})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			r := full()
			r.Op, r.Errno = op, 0
			b.ReportAllocs()
			for b.Loop() {
				if len(l.queue) == cap(l.queue) { // what an operation pays, not what the writer does
					b.StopTimer()
					for len(l.queue) > 0 {
						time.Sleep(time.Millisecond)
					}
					b.StartTimer()
				}
				l.Put(r)
			}
		})
	}
}
