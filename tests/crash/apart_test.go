package crash

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

// TestServerKilled kills the server (-9) and starts it again while a tree is
// copied and writers work; the mount lives on. The copy finishes, no call fails,
// and all that was acknowledged is there. At full size it is killed every 20 s.
func TestServerKilled(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	src := harness.TempDir(t)
	lines := largeTree(t, src)
	workers := startWorkers(t, m.Path(), "w", 1, func() {})
	target := filepath.Join(m.Path(), "copy")
	cp := exec.Command("cp", "-av", src, target)
	var said strings.Builder
	cp.Stderr = &said
	out, err := cp.StdoutPipe()
	if err == nil {
		err = cp.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cp.Process.Kill() })
	kills, done, began := 0, 0, time.Now()
	due := func() bool { return done > (kills+1)*lines/5 }
	if harness.Full() {
		last := time.Now()
		due = func() bool {
			if time.Since(last) < 20*time.Second {
				return false
			}
			last = time.Now()
			return true
		}
	}
	for in := bufio.NewScanner(out); in.Scan(); done++ {
		if due() {
			s.Kill9()
			s.Up(t)
			kills++
		}
	}
	if err := cp.Wait(); err != nil {
		t.Errorf("cp: %v\n%s", err, said.String())
	}
	if want := harness.Size(3, 6); kills < want {
		t.Errorf("%d kills, want %d: the tree is too small for this machine", kills, want)
	}
	t.Logf("%d names copied in %v over %d kills", done, time.Since(began).Round(time.Second), kills)
	if out, err := exec.Command("diff", "-r", "--no-dereference", src, target).CombinedOutput(); err != nil {
		t.Errorf("diff: %v\n%.1000s", err, out)
	}
	other := s.Mount(t)
	for _, w := range workers {
		w.Kill()
		if strings.Contains(w.said.String(), "crash-writer:") {
			t.Errorf("a call of a writer failed while the server was away: %s", w.said.String())
		}
	}
	verify(t, workers, m.Path())
	verify(t, workers, other.Path())
}

// TestMountKilled kills the mount (-9) under writers while the server lives.
// What was acknowledged is there for another mount at once, and for the same
// one when it is mounted again.
func TestMountKilled(t *testing.T) {
	rounds := harness.Size(3, 20)
	s := harness.StartServer(t)
	m, other := s.Mount(t), s.Mount(t)
	for round := range rounds {
		acks := make(chan struct{}, 1<<16)
		workers := startWorkers(t, m.Path(), fmt.Sprint("round", round, "-"), 4, func() { acks <- struct{}{} })
		for range 40 + rand.IntN(150) {
			<-acks
		}
		m.Kill9(t)
		for _, w := range workers {
			if said := w.Wait(); !strings.Contains(said, "crash-writer:") {
				t.Errorf("a writer ended otherwise than by the mount's death: %q", said)
			}
		}
		verify(t, workers, other.Path())
		m.Up(t)
		verify(t, workers, m.Path())
	}
}

func startWorkers(t *testing.T, mnt, name string, n int, acked func()) []*Worker {
	t.Helper()
	var all []*Worker
	for i := range n {
		w, err := StartWorker(mnt, fmt.Sprint(name, i), rand.Uint64(), acked)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Kill)
		all = append(all, w)
	}
	return all
}

func verify(t *testing.T, workers []*Worker, mnt string) {
	t.Helper()
	names := 0
	for _, w := range workers {
		if err := w.Verify(mnt); err != nil {
			t.Error(err)
		}
		names += w.Acknowledged()
	}
	t.Logf("%d names verified in %s", names, filepath.Base(mnt))
}

// largeTree makes a tree and answers how many names it has.
func largeTree(t *testing.T, dir string) int {
	t.Helper()
	dirs, each, big := harness.Size(10, 300), harness.Size(20, 100), harness.Size(2, 50)
	r := rand.New(rand.NewPCG(4, 2))
	for d := range dirs {
		sub := filepath.Join(dir, fmt.Sprint("d", d%7), fmt.Sprint("e", d))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range each {
			write(t, filepath.Join(sub, fmt.Sprint("f", f)), data(uint64(d*1000+f), 1+r.IntN(20_000)))
		}
	}
	for f := range big {
		write(t, filepath.Join(dir, fmt.Sprint("big", f)), data(uint64(f), 20<<20+r.IntN(1000)))
	}
	return dirs*(each+1) + big
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
