package groups_test

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

	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/groups/groupstest"
)

func world(t *testing.T) *groups.Static {
	t.Helper()
	var text strings.Builder
	for user, list := range groupstest.TheWorld() {
		fmt.Fprintf(&text, "# %s\n%s: %s\n\n", user, user, strings.Join(list, ", "))
	}
	s, err := groups.ParseStatic(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatic(t *testing.T) { groupstest.Run(t, world(t)) }
func TestCached(t *testing.T) { groupstest.Run(t, groups.NewCache(world(t), groups.CacheConfig{})) }

func TestStaticRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"alice":            "line 1: a line reads",
		"al/ice: a":        `line 1: user "al/ice"`,
		"a: b\n\nb: 12":    `line 3: group "12"`,
		"a: b\na: c":       `line 2: user "a" stands`,
		": a":              `line 1: user ""`,
		"a: b: c":          `group "b: c"`,
		"a: \xff":          "line 1: group",
		"# no\nuser:\x01x": "line 2: group",
	} {
		if _, err := groups.ParseStatic(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseStatic(f *testing.F) {
	f.Add("alice: staff, domain users\nbob:\n# no")
	f.Add("a:b:c")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := groups.ParseStatic(strings.NewReader(text))
		if err != nil {
			return
		}
		for line := range strings.Lines(text) {
			if user, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				if _, err := s.Groups(t.Context(), strings.TrimSpace(user)); err != nil {
					t.Fatalf("%q was taken and is not there", user)
				}
			}
		}
	})
}

// source is one that tests change.
type source struct {
	mu     sync.Mutex
	groups []string
	err    error
	asked  int
}

func (s *source) Groups(context.Context, string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.groups, s.err
}

func (s *source) set(err error, groups ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups, s.err = groups, err
}

func (s *source) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked = 0
	return n
}

type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

func TestCache(t *testing.T) {
	var now clock
	src := &source{groups: []string{"a"}}
	c := groups.NewCache(src, groups.CacheConfig{Now: now.now})
	see := func(want ...string) {
		t.Helper()
		if got, err := c.Groups(t.Context(), "u"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	// seen waits until what is asked in the background is there.
	seen := func(want ...string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if got, err := c.Groups(t.Context(), "u"); err == nil && slices.Equal(got, want) {
				return
			}
		}
		t.Errorf("%q never came", want)
	}
	see("a")
	src.set(nil, "b")
	now.forward(29 * time.Second)
	see("a")
	if n := src.times(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	now.forward(2 * time.Second) // the second half: seen soon
	seen("b")
	src.set(nil, "c")
	now.forward(time.Minute) // too old to be used
	see("c")

	down := errors.New("down")
	src.set(down)
	now.forward(time.Minute)
	for range 50 { // for 50 minutes no error
		see("c")
		now.forward(time.Minute)
	}
	now.forward(10 * time.Minute)
	if _, err := c.Groups(t.Context(), "u"); err == nil {
		t.Error("an answer of more than an hour ago still counts")
	}
	src.set(nil, "d")
	now.forward(5 * time.Second)
	see("d")

	src.set(groups.ErrUnknown)
	now.forward(time.Minute)
	if _, err := c.Groups(t.Context(), "u"); !errors.Is(err, groups.ErrUnknown) {
		t.Errorf("who was removed: %v", err)
	}
	src.set(nil, "e")
	if _, err := c.Groups(t.Context(), "u"); !errors.Is(err, groups.ErrUnknown) {
		t.Errorf("and asked again at once: %v", err)
	}
	now.forward(10 * time.Second)
	see("e")
}

// A user whom a source that is down was never asked about gets its error, and
// the source is not asked more than every few seconds.
func TestCacheOfNothing(t *testing.T) {
	var now clock
	down := errors.New("down")
	src := &source{err: down}
	c := groups.NewCache(src, groups.CacheConfig{Now: now.now})
	for range 100 {
		if _, err := c.Groups(t.Context(), "u"); !errors.Is(err, down) {
			t.Fatalf("an answer from nowhere: %v", err)
		}
	}
	if n := src.times(); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	src.set(nil, "a")
	now.forward(6 * time.Second)
	if got, err := c.Groups(t.Context(), "u"); err != nil || len(got) != 1 {
		t.Errorf("when it is back: %q, %v", got, err)
	}
}

func TestCacheWaits(t *testing.T) {
	free, asked := make(chan struct{}), atomic.Int32{}
	c := groups.NewCache(groups.Func(func(context.Context, string) ([]string, error) {
		asked.Add(1)
		<-free
		return []string{"a"}, nil
	}), groups.CacheConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Groups(ctx, "u"); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone waits on: %v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := c.Groups(t.Context(), "u"); err != nil || len(got) != 1 {
				t.Errorf("%q, %v", got, err)
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
	src := &source{groups: []string{"a"}}
	c := groups.NewCache(src, groups.CacheConfig{Most: 10})
	for i := range 1000 {
		if _, err := c.Groups(t.Context(), fmt.Sprint("u", i)); err != nil {
			t.Fatal(err)
		}
	}
	src.times()
	for i := range 1000 {
		c.Groups(t.Context(), fmt.Sprint("u", i))
	}
	if n := src.times(); n < 900 {
		t.Errorf("of 1000 users %d were kept", 1000-n)
	}
}
