package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wardfs/wardfs/posix"
)

var moment = time.Date(2026, 11, 22, 8, 30, 0, 123_000_000, time.UTC)

// open is a log in a folder of the test.
func open(t *testing.T, c Config) *Log {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "audit.log")
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// written is what the closed log's file has.
func written(t *testing.T, l *Log) string {
	t.Helper()
	l.Close()
	text, err := os.ReadFile(l.c.Path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func lines(t *testing.T, text string) (all []Line) {
	t.Helper()
	for s := range strings.Lines(text) {
		x, err := Parse(strings.TrimSuffix(s, "\n"))
		if err != nil {
			t.Fatalf("%v: %q", err, s)
		}
		all = append(all, x)
	}
	return all
}

// full is a record with all that there can be.
func full() Record {
	return Record{
		Time: moment, Took: 586 * time.Microsecond, Op: "rename", Errno: posix.EACCES,
		Who: Who{User: "user1", Via: "service1", Auth: "KERBEROS", Peer: "10.1.2.3:4711", Session: 42, Client: "host1:/mnt/ward",
			Caller: Caller{Known: true, UID: 1000, GID: 100}},
		Src: Ref{Dir: 1, Name: []byte("a")}, Dst: Ref{Dir: 7, Name: []byte("b")}, Ino: 12,
		Perm: Perm{Known: true, UID: 1000, GID: 100, Mode: 0o100640}, Zone: "z", KeyVer: 3,
	}
}

func testNames() Names {
	return Names{
		User:  func(u posix.UID) string { return map[posix.UID]string{1000: "alice"}[u] },
		Group: func(g posix.GID) string { return map[posix.GID]string{100: "users"}[g] },
	}
}

func where(inos []posix.Ino) []string {
	all := make([]string, len(inos))
	for i, ino := range inos {
		if ino == 7 {
			all[i] = "/home"
		}
	}
	return all
}

func TestFormats(t *testing.T) {
	for f, want := range map[Format]string{
		HDFS: "2026-11-22 08:30:00,123 INFO wardfs.audit: succeeded=false\tallowed=false\tugi=user1 via service1,users (AUTH=KERBEROS)\tip=/10.1.2.3\t" +
			"cmd=rename\tsrc=/a\tdst=/home/b\tperm=alice:users:rw-r-----\texecutionTimeUs=586\terrno=EACCES\tsession=42\tclient=host1:/mnt/ward\t" +
			"uid=1000\tino=12\tzone=z\tkeyVersion=3\n" +
			"2026-11-22 08:30:00,123 INFO wardfs.audit: succeeded=true\tallowed=true\tugi=null\tip=null\tcmd=open\tsrc=ino:99\tdst=null\tperm=null\t" +
			"executionTimeUs=0\terrno=null\tsession=0\tclient=null\tuid=null\tino=0\tzone=null\tkeyVersion=0\n",
		JSON: `{"time":"2026-11-22T08:30:00.123Z","succeeded":false,"allowed":false,"user":"user1","via":"service1","group":"users","auth":"KERBEROS",` +
			`"ip":"10.1.2.3","cmd":"rename","src":"/a","dst":"/home/b","owner":"alice","owner_group":"users","mode":"rw-r-----","duration_us":586,` +
			`"errno":"EACCES","session":"42","client":"host1:/mnt/ward","uid":"1000","ino":12,"zone":"z","key_version":3}` + "\n" +
			`{"time":"2026-11-22T08:30:00.123Z","succeeded":true,"allowed":true,"user":"","group":"","auth":"","ip":"","cmd":"open","src":"ino:99","dst":"",` +
			`"duration_us":0,"errno":"","session":"0","client":"","uid":"","ino":0,"zone":"","key_version":0}` + "\n",
	} {
		l := open(t, Config{Format: f, Names: testNames(), Where: where})
		l.Put(full())
		l.Put(Record{Time: moment, Op: "open", Src: Ref{Ino: 99}})
		text := written(t, l)
		if text != want {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
		if got := lines(t, text)[0]; got.User != "user1" || got.Via != "service1" || got.Group != "users" || got.Mode != "rw-r-----" ||
			got.Owner != "alice" || got.IP != "10.1.2.3" || got.TookUs != 586 || !got.Time.Equal(moment) {
			t.Errorf("read back: %+v", got)
		}
	}
}

// A trusted client's caller is the user, by way of the client.
func TestStatedCaller(t *testing.T) {
	l := open(t, Config{Names: testNames()})
	r := full()
	r.Who.Via, r.Who.Caller.Stated = "", true
	l.Put(r)
	if got := lines(t, written(t, l))[0]; got.User != "alice" || got.Via != "user1" || got.UID != "1000" {
		t.Errorf("got %+v", got)
	}
}

// nasty are names that want to be more than a name.
var nasty = []string{
	"x\tcmd=unlink", "x\n2026-11-22 08:30:00,123 INFO wardfs.audit: succeeded=true\tcmd=open", "\r\x1b[2J", "a\\x41", "\xff\xfe", "\u202ecod",
	"\u2028", "\u0085", `","cmd":"x`, "null", "", " ", "=", "\x7f", "\ufeff",
}

func TestNamesStayNames(t *testing.T) {
	for _, f := range []Format{HDFS, JSON} {
		for _, name := range nasty {
			l := open(t, Config{Format: f, Names: Names{User: func(posix.UID) string { return name }}})
			r := full()
			r.Src.Name, r.Dst, r.Who.Client, r.Zone = []byte(name), Ref{Text: []byte(name)}, name, name
			l.Put(r)
			all := lines(t, written(t, l))
			if len(all) != 1 || all[0].Cmd != "rename" || Unescape(all[0].Src) != "/"+name || all[0].Succeeded {
				t.Errorf("%q: got %+v", name, all)
			}
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := escape(s)
		if back := Unescape(got); back != s {
			t.Fatalf("%q: %q reads as %q", s, got, back)
		}
		if !utf8.ValidString(got) || strings.IndexFunc(got, unicode.IsControl) >= 0 {
			t.Fatalf("%q: got %q", s, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, format := range []Format{HDFS, JSON} {
		x := (&Log{c: Config{Names: testNames()}}).line(new(full()), nil)
		f.Add(strings.TrimSuffix(string(x.append(nil, format)), "\n"))
	}
	f.Add("2026-11-22 08:30:00,123 INFO wardfs.audit: lost=7")
	f.Fuzz(func(t *testing.T, s string) {
		x, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(strings.TrimSuffix(string(x.append(nil, JSON)), "\n"))
		if err != nil || !again.Time.Equal(x.Time) {
			t.Fatalf("%q: %+v, again %+v, %v", s, x, again, err)
		}
		again.Time = x.Time
		if utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) && !reflect.DeepEqual(again, x) {
			t.Fatalf("%q: %+v, again %+v", s, x, again)
		}
	})
}

func TestFilter(t *testing.T) {
	for name, tc := range map[string]struct {
		ops, results []string
		want         map[string]bool // "op errno"
	}{
		"default": {nil, nil, map[string]bool{"mkdir 0": true, "open 0": true, "getattr 0": false, "getattr ENOENT": false, "getattr EACCES": true, "attach 0": true}},
		"changes": {[]string{"write"}, nil, map[string]bool{"mkdir 0": true, "mkdir ENOSPC": true, "open 0": false, "open EPERM": true}},
		"denied":  {[]string{"all"}, []string{"denied"}, map[string]bool{"mkdir 0": false, "mkdir ENOENT": false, "lookup EACCES": true, "mkdir EROFS": true}},
		"one":     {[]string{"getattr"}, []string{"succeeded"}, map[string]bool{"getattr 0": true, "getattr EACCES": false, "lookup 0": false}},
		"none":    {[]string{}, []string{}, map[string]bool{"mkdir 0": false, "mkdir EACCES": false}},
	} {
		f, err := newFilter(tc.ops, tc.results)
		if err != nil {
			t.Fatal(err)
		}
		for what, want := range tc.want {
			op, errno, _ := strings.Cut(what, " ")
			e := map[string]posix.Errno{"0": 0, "ENOENT": posix.ENOENT, "EACCES": posix.EACCES, "EPERM": posix.EPERM, "EROFS": posix.EROFS, "ENOSPC": posix.ENOSPC}[errno]
			if got := f.wants(op, e); got != want || got && !f.wantsAny(op) {
				t.Errorf("%s: %s: got %v", name, what, got)
			}
		}
	}
	for _, bad := range [][2][]string{{{"mkdri"}, nil}, {nil, {"refused"}}} {
		if _, err := newFilter(bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// value is a counter's or gauge's, the labels summed up.
func value(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.Metric {
				sum += number(m)
			}
		}
	}
	return sum
}

func number(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// record is one that can be told from others.
func record(i int) Record {
	return Record{Time: moment, Op: "mkdir", Src: Ref{Dir: 1, Name: fmt.Appendf(nil, "d%d", i)}}
}

func TestManyWriters(t *testing.T) {
	r := prometheus.NewRegistry()
	l := open(t, Config{Queue: 8, Metrics: r})
	var all sync.WaitGroup
	const each = 500
	for k := range 8 {
		all.Go(func() {
			for i := range each {
				l.Put(record(k*each + i))
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, x := range lines(t, written(t, l)) {
		seen[x.Src] = true
	}
	if len(seen) != 8*each || value(t, r, "wardfs_audit_records_total") != 8*each || value(t, r, "wardfs_audit_lost_total") != 0 {
		t.Errorf("%d of %d are there", len(seen), 8*each)
	}
	l.Put(record(0)) // a closed log loses, and counts
	if value(t, r, "wardfs_audit_lost_total") != 1 {
		t.Error("a record after the end was not counted")
	}
	l.Close()
}

// A queue that is full drops or blocks; what is dropped is told.
func TestFullQueue(t *testing.T) {
	gate := make(chan struct{})
	r := prometheus.NewRegistry()
	l := open(t, Config{Queue: 2, OnFull: Drop, Metrics: r, Where: func(inos []posix.Ino) []string { <-gate; return make([]string, len(inos)) }})
	slow := record(0)
	slow.Src.Dir = 7
	l.Put(slow)
	for len(l.queue) > 0 { // until the writer has it, and is stuck in Where
		time.Sleep(time.Millisecond)
	}
	for i := range 10 {
		l.Put(record(i))
	}
	close(gate)
	all := lines(t, written(t, l))
	if n := value(t, r, "wardfs_audit_lost_total"); n != 8 {
		t.Errorf("%v are counted as lost", n)
	}
	var said uint64
	for _, x := range all {
		said += x.Lost
	}
	if said != 8 || len(all) != 4 { // the three, and one that says so
		t.Errorf("the log says that %d are missing, in %d lines", said, len(all))
	}
}

// What comes while the writer is at work is written together.
func TestTogether(t *testing.T) {
	gate, looks := make(chan struct{}), 0
	l := open(t, Config{Where: func(inos []posix.Ino) []string {
		<-gate
		looks++
		return where(inos)
	}})
	r := record(0)
	r.Src = Ref{Dir: 7, Name: []byte("x")}
	l.Put(r)
	for len(l.queue) > 0 { // until the writer has it, and is stuck in Where
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		l.Put(r)
	}
	close(gate)
	for _, x := range lines(t, written(t, l)) {
		if x.Src != "/home/x" {
			t.Errorf("the path is %q", x.Src)
		}
	}
	if looks > 2 { // the first, and perhaps some with it; the others
		t.Errorf("the paths of 11 records took %d looks", looks)
	}
}

func TestNilLog(t *testing.T) {
	var l *Log
	l.Put(full())
	l.Reopen()
	l.Close()
	if l.Wants("mkdir", 0) || l.WantsAny("mkdir") {
		t.Error("a log that is not there wants something")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("elsewhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none", "x"), dir, filepath.Join(dir, "link"), "/dev/null"} {
		if l, err := Open(Config{Path: path}); err == nil {
			l.Close()
			t.Errorf("%s was opened", path)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("it wrote through a symbolic link")
	}
}
