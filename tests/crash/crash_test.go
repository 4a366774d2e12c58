package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, Children()) }

// TestRestart: an ordinary stop and start change nothing that can be seen.
func TestRestart(t *testing.T) {
	w := harness.Start(t)
	if err := harness.Plant(filepath.Join(w.Mount(), "tree")); err != nil {
		t.Fatal(err)
	}
	before := take(t, w)
	for range 2 {
		w.Restart(t)
		if d := take(t, w).Diff(before); d != "" {
			t.Fatalf("after a restart:\n%s", d)
		}
	}
	// The comparison can fail.
	if err := os.Chmod(filepath.Join(w.Mount(), "tree", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := take(t, w).Diff(before); !strings.Contains(d, "fifo") {
		t.Errorf("a changed mode is not seen: %s", d)
	}
	w.Restart(t)
}

// TestKilledAtRest: what is at rest survives kill -9 just as well. Metadata is
// durable when acknowledged; content after a sync.
func TestKilledAtRest(t *testing.T) {
	w := harness.Start(t)
	if err := harness.Plant(filepath.Join(w.Mount(), "tree")); err != nil {
		t.Fatal(err)
	}
	syncTree(t, w.Mount())
	before := take(t, w)
	for range 2 {
		w.Kill9(t)
		w.Up(t)
		if d := take(t, w).Diff(before); d != "" {
			t.Fatalf("after kill -9:\n%s", d)
		}
	}
}

// TestKilledAtWork kills server and mount in the midst of writers, at a moment
// that is random in the count of acknowledgements, and verifies all that was
// ever acknowledged, of all rounds, after each restart.
func TestKilledAtWork(t *testing.T) {
	const rounds, writers = 7, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := harness.Start(t)
	var all []*Worker
	for round := range rounds {
		acks := make(chan struct{}, 1<<16)
		var now []*Worker
		for i := range writers {
			worker, err := StartWorker(w.Mount(), fmt.Sprintf("round%d-%d", round, i), r.Uint64(), func() { acks <- struct{}{} })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(worker.Kill)
			now = append(now, worker)
		}
		for range 20 + r.IntN(150) {
			<-acks
		}
		w.Kill9(t)
		names := 0
		for _, worker := range now {
			if said := worker.Wait(); !strings.Contains(said, "crash-writer:") {
				t.Errorf("a writer ended otherwise than by the mount's death: %q", said)
			}
			names += worker.Acknowledged()
		}
		w.Up(t)
		all = append(all, now...)
		for _, worker := range all {
			if err := worker.Verify(w.Mount()); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		t.Logf("round %d: %d names verified", round, names)
		if t.Failed() {
			return
		}
	}
}

// TestVerifySees: the verification of the tests above can fail.
func TestVerifySees(t *testing.T) {
	dir := harness.TempDir(t)
	put := Op{Kind: "put", Path: "f", Seed: 1, Len: 1000}
	worker := &Worker{Dir: "w", model: Model{}}
	worker.model.apply(put)
	worker.model.apply(Op{Kind: "mkdir", Path: "d"})
	sub := filepath.Join(dir, "w")
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"nothing there", func() error { return os.Mkdir(sub, 0o755) }, "is gone"},
		{"one missing", func() error { return do(sub, put) }, "d was acknowledged and is gone"},
		{"whole", func() error { return os.Mkdir(filepath.Join(sub, "d"), 0o755) }, ""},
		{"one too many", func() error { return do(sub, Op{Kind: "put", Path: "x", Len: 1}) }, "x was removed or never made"},
		{"removed", func() error { return os.Remove(filepath.Join(sub, "x")) }, ""},
		{"a byte changed", func() error { return do(sub, Op{Kind: "over", Path: "f", Seed: 2, Off: 500, Len: 1}) }, "difference is at 500"},
		{"short", func() error { return os.Truncate(filepath.Join(sub, "f"), 10) }, "10 bytes, want 1000"},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		err := worker.Verify(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// take reads the whole mount, root directory included.
func take(t *testing.T, w *harness.Ward) harness.Snapshot {
	t.Helper()
	s, err := harness.Take(w.Mount(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) < 100 {
		t.Fatalf("only %d paths", len(s))
	}
	return s
}

// syncTree makes the content of every file durable.
func syncTree(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
	if err != nil {
		t.Fatal(err)
	}
}
