package idmap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// fakeHost is a host whose users and groups are one map.
type fakeHost struct {
	mu    sync.Mutex
	names map[uint32]string
	err   error // instead of any answer
	asked int
}

func host(pairs map[uint32]string) *fakeHost { return &fakeHost{names: pairs} }

func (h *fakeHost) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *fakeHost) Name(_ context.Context, _ Kind, n uint32) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.err != nil {
		return "", h.err
	}
	if name, ok := h.names[n]; ok {
		return name, nil
	}
	return "", ErrUnknown
}

func (h *fakeHost) Number(_ context.Context, _ Kind, name string) (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.err != nil {
		return 0, h.err
	}
	for n, x := range h.names {
		if x == name {
			return n, nil
		}
	}
	return 0, ErrUnknown
}

// fakeTable is a table that makes entries for whoever asks, but not in a
// closed one.
type fakeTable struct {
	mu     sync.Mutex
	names  [2][]string
	closed bool
	asked  int
}

func (f *fakeTable) IDs(_ context.Context, k Kind, names []string) ([]uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	ids := make([]uint32, len(names))
	for i, name := range names {
		at := slices.Index(f.names[k], name)
		if at < 0 && f.closed {
			ids[i] = NoID
			continue
		}
		if at < 0 {
			f.names[k] = append(f.names[k], name)
			at = len(f.names[k]) - 1
		}
		ids[i] = posix.NamedFirst + uint32(at)
	}
	return ids, nil
}

func (f *fakeTable) Names(_ context.Context, k Kind, ids []uint32) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	names := make([]string, len(ids))
	for i, id := range ids {
		if at := int(id) - posix.NamedFirst; at >= 0 && at < len(f.names[k]) {
			names[i] = f.names[k][at]
		}
	}
	return names, nil
}

// first is the id of a table's first entry.
const first = posix.NamedFirst

func in(t *testing.T, m *Map, number, want uint32) {
	t.Helper()
	if got, err := m.In(t.Context(), User, number); got != want || err != nil {
		t.Errorf("in: %d is %d (%#x), %v, not %d", number, got, got, err, want)
	}
}

func out(t *testing.T, m *Map, id, want uint32) {
	t.Helper()
	if got, err := m.Out(t.Context(), User, id); got != want || err != nil {
		t.Errorf("out: %#x is %d (%#x), %v, not %d", id, got, got, err, want)
	}
}

func TestNamesMeet(t *testing.T) {
	table := &fakeTable{}
	one := New(Config{Host: host(map[uint32]string{0: "root", 1000: "alice", 1001: "bob"}), Table: table})
	two := New(Config{Host: host(map[uint32]string{0: "root", 1001: "alice", 1002: "carol"}), Table: table})
	in(t, one, 1000, first)   // alice
	in(t, one, 1001, first+1) // bob
	in(t, two, 1001, first)   // alice by another number
	in(t, two, 1002, first+2) // carol
	out(t, two, first, 1001)
	out(t, one, first, 1000)
	out(t, two, first+1, first+1) // bob is unknown on two
	in(t, two, first+1, first+1)  // and comes back as bob
	for _, m := range []*Map{one, two} {
		in(t, m, 0, 0)
		out(t, m, 0, 0)
		in(t, m, 4242, 4242) // a bare number
		out(t, m, 4242, 4242)
		in(t, m, 0x8000_0000, 0x8000_0000)
		in(t, m, NoID, NoID)
	}
	if _, err := one.In(t.Context(), User, first+9); !errors.Is(err, ErrReserved) {
		t.Errorf("a reserved number that is no entry: %v", err)
	}
	if _, err := one.InAll(t.Context(), Group, []uint32{1000, first + 9}); !errors.Is(err, ErrReserved) {
		t.Errorf("the same among others: %v", err)
	}
}

func TestRootIsRoot(t *testing.T) {
	table := &fakeTable{names: [2][]string{{"toor"}}}
	m := New(Config{Host: host(map[uint32]string{0: "toor", 7: "root"}), Table: table})
	in(t, m, 0, 0)
	in(t, m, 7, 7)          // called root, and not it
	out(t, m, first, first) // whom the namespace calls toor is not root here
}

// A number of the reserved range that belongs to somebody of the host is his,
// and no stranger is taken for him.
func TestHostsReservedNumbers(t *testing.T) {
	table := &fakeTable{names: [2][]string{{"zoe", "yves"}}}
	m := New(Config{Host: host(map[uint32]string{first: "alice"}), Table: table})
	in(t, m, first, first+2) // alice
	out(t, m, first+2, first)
	out(t, m, first, Nobody) // zoe: her id is alice's number
	out(t, m, first+1, first+1)
}

func TestNobody(t *testing.T) {
	m := New(Config{Host: host(nil), Table: &fakeTable{names: [2][]string{{"zoe"}}}, Nobody: true})
	out(t, m, first, Nobody)
	out(t, m, 4242, 4242)
}

func TestNoEntry(t *testing.T) {
	m := New(Config{Host: host(map[uint32]string{5: "eve"}), Table: &fakeTable{closed: true}})
	if _, err := m.In(t.Context(), User, 5); !errors.Is(err, ErrNoEntry) {
		t.Errorf("a name that may get no entry: %v", err)
	}
}

func TestDomain(t *testing.T) {
	table := &fakeTable{}
	short := New(Config{Host: host(map[uint32]string{10: "alice", 11: "bob@other.org"}), Table: table})
	long := New(Config{Host: host(map[uint32]string{20: "alice@Example.COM", 21: "bob@other.org"}), Table: table, Domain: "example.com"})
	in(t, short, 10, first)
	in(t, long, 20, first)
	in(t, short, 11, first+1)
	in(t, long, 21, first+1)
	out(t, long, first+1, 21)
	exact := New(Config{Host: host(map[uint32]string{20: "alice@example.com"}), Table: table, Domain: "example.com"})
	out(t, exact, first, 20)
}

func TestAllAtOnce(t *testing.T) {
	names, table := map[uint32]string{}, &fakeTable{}
	var numbers []uint32
	for n := range uint32(200) {
		names[n+1], numbers = fmt.Sprint("group", n), append(numbers, n+1)
	}
	m := New(Config{Host: host(names), Table: table})
	ids, err := m.InAll(t.Context(), Group, numbers)
	if err != nil || len(ids) != 200 || ids[199] != first+199 {
		t.Errorf("200 groups: %v, %v", ids, err)
	}
	if table.asked != 1 {
		t.Errorf("the table was asked %d times", table.asked)
	}
	fresh := New(Config{Host: host(names), Table: table})
	table.asked = 0
	if err := fresh.Learn(t.Context(), Group, ids); err != nil {
		t.Error(err)
	}
	for i, id := range ids {
		if n, err := fresh.Out(t.Context(), Group, id); n != numbers[i] || err != nil {
			t.Errorf("%#x is %d, %v", id, n, err)
		}
	}
	if table.asked != 1 {
		t.Errorf("the table was asked %d times for 200 names", table.asked)
	}
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

// settle waits until no question is under way.
func settle[K comparable, V any](c *cache[K, V]) {
	for busy := true; busy; {
		c.mu.Lock()
		busy = len(c.flights) > 0
		var f *flight[V]
		for _, f = range c.flights {
		}
		c.mu.Unlock()
		if f != nil {
			<-f.done
		}
	}
}

func TestCache(t *testing.T) {
	var now clock
	h := host(map[uint32]string{1: "alice"})
	cached := CacheHost(h, CacheConfig{Now: now.now}).(*cachedHost)
	names := cached.names[User]
	see := func(n uint32, want string, wantErr error) {
		t.Helper()
		if got, err := cached.Name(t.Context(), User, n); got != want || !errors.Is(err, wantErr) {
			t.Errorf("%d is %q, %v; want %q, %v", n, got, err, want, wantErr)
		}
		settle(names)
	}
	asked := func(want int) {
		t.Helper()
		h.set(func() {
			if h.asked != want {
				t.Errorf("asked %d times, not %d", h.asked, want)
			}
			h.asked = 0
		})
	}
	see(1, "alice", nil)
	see(1, "alice", nil)
	see(2, "", ErrUnknown)
	see(2, "", ErrUnknown)
	asked(2)
	h.set(func() { h.names = map[uint32]string{1: "anna", 2: "bob"} })
	now.forward(11 * time.Second) // no is believed for ten
	see(2, "bob", nil)
	see(1, "alice", nil)
	asked(1)
	now.forward(time.Minute) // yes for sixty, and once more while it is refreshed
	see(1, "alice", nil)
	see(1, "anna", nil)
	asked(1)

	outage := errors.New("no answer")
	h.set(func() { h.err = outage })
	for range 100 { // for as long as it lasts
		now.forward(30 * time.Second)
		see(1, "anna", nil)
	}
	see(3, "", outage)
	asked(100)
	see(3, "", outage)
	asked(0)
	now.forward(24 * time.Hour)
	see(1, "anna", nil)
	h.set(func() { h.err, h.names = nil, map[uint32]string{1: "axel"} })
	now.forward(24 * time.Hour) // too old to be used unasked
	see(1, "axel", nil)
	h.set(func() { h.names = nil })
	now.forward(2 * time.Minute) // a name that has just gone may come back
	see(1, "axel", nil)
	see(1, "axel", nil)
	now.forward(9 * time.Minute)
	see(1, "axel", nil)
	see(1, "", ErrUnknown)
}

func TestCacheAsksOnce(t *testing.T) {
	free, asked := make(chan struct{}), atomic.Int32{}
	c := newCache(CacheConfig{}.withDefaults(), "test", func(context.Context, int) (int, error) {
		asked.Add(1)
		<-free
		return 7, nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.get(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone waits on: %v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if v, err := c.get(t.Context(), 1); v != 7 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		})
	}
	close(free)
	wg.Wait()
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(CacheConfig{Most: 100}.withDefaults(), "test", func(_ context.Context, k int) (int, error) { return k, nil })
	for k := range 10000 {
		if _, err := c.get(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	c.slots.Range(func(any, any) bool { n++; return true })
	if n > 100 || n < 50 || int64(n) != c.n.Load() {
		t.Errorf("%d kept, %d counted", n, c.n.Load())
	}
}

func TestStatic(t *testing.T) {
	s, err := ParseStatic(strings.NewReader("# people\nuser 5000 alice\n\n group\t600   domain users \nuser 5001 bob # the builder\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{Host: s.Over(host(map[uint32]string{5000: "mallory", 7000: "alice", 8: "carol"})), Table: &fakeTable{}})
	in(t, m, 5000, first) // alice, whatever the host calls it
	out(t, m, first, 5000)
	in(t, m, 7000, 7000) // called alice by the host: not the one of the map
	in(t, m, 5001, first+1)
	in(t, m, 8, first+2)
	table := m.table.t.(*fakeTable)
	table.names[User] = append(table.names[User], "mallory")
	out(t, m, first+3, first+3) // his number is alice's
	if names := table.names[User]; !slices.Equal(names, []string{"alice", "bob # the builder", "carol", "mallory"}) {
		t.Errorf("names: %q", names)
	}
	if id, err := m.In(t.Context(), Group, 600); id != first || err != nil || table.names[Group][0] != "domain users" {
		t.Errorf("a name with a space: %#x, %v, %q", id, err, table.names[Group])
	}
}

func TestStaticRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"alice 5000":                  `line 1: "alice" is neither`,
		"user alice 5000":             `line 1: "alice" is no number`,
		"user 5000":                   "line 1: user \"\": a name has",
		"user 0 alice":                "line 1: root is 0",
		"user 5 root":                 "line 1: root is 0",
		"user 4294967295 a":           "line 1: the number 4294967295 is reserved",
		"user 1879048192 a":           "is reserved",
		"user 99999999999 a":          "is no number",
		"user -1 a":                   "is no number",
		"user 5 a:b":                  "no control character, slash, colon",
		"user 5 77":                   "digits alone",
		"user 5 a\n#\nuser 5 b":       `line 3: the user 5 has the name "a" already`,
		"group 5 a\ngroup 6 a":        `line 2: the group "a" has the number 5 already`,
		strings.Repeat("x", 70000):    "line 1: bufio.Scanner: token too long",
		"user 5 " + "a\xff\nuser 6 b": "line 1",
	} {
		if _, err := ParseStatic(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// What the parser takes names each number and each name once, and only such as
// may be mapped.
func FuzzParseStatic(f *testing.F) {
	f.Add("user 5000 alice\ngroup 600 domain users\n# no\n")
	f.Add("user 0 a")
	f.Add("user 5 a\nuser 5 b")
	f.Add("group\t4294967294\tx\x00y")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStatic(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, k := range []Kind{User, Group} {
			if len(s.names[k]) != len(s.numbers[k]) {
				t.Fatalf("%d names, %d numbers", len(s.names[k]), len(s.numbers[k]))
			}
			for n, name := range s.names[k] {
				if s.numbers[k][name] != n || n == 0 || posix.UID(n).Named() || name == "root" || CheckName(name) != nil {
					t.Fatalf("%s %d %q", k, n, name)
				}
			}
		}
	})
}

func BenchmarkOut(b *testing.B) {
	m := New(Config{Host: CacheHost(host(map[uint32]string{1000: "alice"}), CacheConfig{}), Table: &fakeTable{}})
	id, _ := m.In(b.Context(), User, 1000)
	b.ReportAllocs()
	for b.Loop() {
		m.Out(b.Context(), User, id)
	}
}

func BenchmarkIn(b *testing.B) {
	m := New(Config{Host: CacheHost(host(map[uint32]string{1000: "alice"}), CacheConfig{}), Table: &fakeTable{}})
	b.ReportAllocs()
	for b.Loop() {
		m.In(b.Context(), User, 1000)
	}
}
