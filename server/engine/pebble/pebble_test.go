package pebble

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/enginetest"
)

var background = context.Background()

func TestContract(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine { return mustOpen(t, Config{Dir: t.TempDir()}) })
}

// TestContractOnTables has what was written out of memory soon.
func TestContractOnTables(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Engine {
		return mustOpen(t, Config{Dir: "d", fs: vfs.NewMem(), tune: func(o *lsm.Options) {
			tiny(o)
			o.MemTableSize = 16 << 10
		}})
	})
}

func mustOpen(t testing.TB, cfg Config) *DB {
	t.Helper()
	db, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func set(t testing.TB, db *DB, key, value string) {
	t.Helper()
	err := db.Update(background, func(tx engine.Tx) error { tx.Put([]byte(key), []byte(value)); return nil })
	if err != nil {
		t.Error(err)
	}
}

// TestSharedSync holds up the sync of the log while others commit: they are
// all made durable by the next one. Whoever reads what waits, waits too; whoever
// does not, does not.
func TestSharedSync(t *testing.T) {
	disk := newMemDisk(vfs.NewCrashableMem())
	var held atomic.Bool
	entered, leave := make(chan bool), make(chan bool)
	disk.watch.fail = func(what, name string) error {
		if what == "sync" && strings.HasSuffix(name, ".log") && held.CompareAndSwap(true, false) {
			entered <- true
			<-leave
		}
		return nil
	}
	db := mustOpen(t, Config{Dir: "d", fs: disk.watch})
	set(t, db, "old", "1")
	before := db.Stats()

	held.Store(true)
	const others = 20
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); set(t, db, "first", "1") }()
	<-entered
	for i := range others {
		wg.Add(1)
		go func() { defer wg.Done(); set(t, db, "other/"+string(rune('a'+i)), "1") }()
	}
	// All are in the list, and so applied or about to be.
	for db.pendingNow() < 1+others {
		time.Sleep(time.Millisecond)
	}
	quick := func(f func(engine.Reader) error) error { return db.View(background, f) }
	if err := quick(reads("old")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(background)
	slow := make(chan error)
	go func() { slow <- db.View(ctx, reads("first")) }()
	go func() {
		slow <- db.View(ctx, func(r engine.Reader) error {
			return r.Scan([]byte("other/"), []byte("other0"), func(_, _ []byte) bool { return true })
		})
	}()
	go func() {
		slow <- db.Update(background, func(tx engine.Tx) error { return reads("first")(tx) })
	}()
	select {
	case err := <-slow:
		t.Errorf("what is not durable was answered: %v", err)
	case <-time.After(50 * time.Millisecond): // can only miss a fault, not find one
	}
	cancel()
	for range 2 {
		if err := <-slow; err != context.Canceled {
			t.Errorf("a View that gave up waiting answers %v", err)
		}
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	wg.Wait()
	after := db.Stats()
	if commits, syncs := after.Commits-before.Commits, after.Syncs-before.Syncs; commits != 1+others || syncs > 3 {
		t.Errorf("%d commits took %d syncs", commits, syncs)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// pendingNow is how many commits are not durable yet.
func (db *DB) pendingNow() (n int) {
	for c := db.head.Load(); c.pending(); c = c.prev.Load() {
		n++
	}
	return n
}

func reads(key string) func(engine.Reader) error {
	return func(r engine.Reader) error { _, _, err := r.Get([]byte(key)); return err }
}

// TestObserve counts what the hook is told.
func TestObserve(t *testing.T) {
	var mu sync.Mutex
	ops := map[string]int{}
	db := mustOpen(t, Config{Dir: t.TempDir(), Observe: func(op string, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ops[op]++
		if d < 0 || d > time.Minute {
			t.Errorf("%s took %v", op, d)
		}
	}})
	set(t, db, "a", "1")
	if err := db.View(background, reads("a")); err != nil {
		t.Error(err)
	}
	if ops["update"] != 1 || ops["view"] != 1 || ops["lock"] != 1 || ops["sync"] != 1 {
		t.Errorf("observed %v", ops)
	}
	s := db.Stats()
	if s.Commits != 1 || s.Views != 1 || s.Updates != 1 || s.Syncs == 0 || s.Disk == 0 || s.Reserve != s.ReserveWhole {
		t.Errorf("stats: %+v", s)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if s := db.Stats(); s.Commits != 1 {
		t.Errorf("stats of a closed engine: %+v", s)
	}
}

// TestReopen finds what was there.
func TestReopen(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "made", "on", "the way")}
	for i := 1; i <= 3; i++ {
		db := mustOpen(t, cfg)
		if n, err := count(t, db, 10); err != nil || n != i*10 {
			t.Errorf("run %d: %d commits, %v", i, n, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// refuses opens and wants an error of that errno which says all of that.
func refuses(t *testing.T, cfg Config, errno posix.Errno, says ...string) {
	t.Helper()
	db, err := Open(cfg)
	if err == nil {
		_ = db.Close()
		t.Errorf("it opens, want %v", errno)
		return
	}
	if posix.ErrnoOf(err) != errno {
		t.Errorf("%v, want %v", err, errno)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q does not say %q in one line", err, s)
		}
	}
}

// TestInUse opens a store that is open, under each of its names.
func TestInUse(t *testing.T) {
	parent := t.TempDir()
	dir, link := filepath.Join(parent, "store"), filepath.Join(parent, "link")
	db := mustOpen(t, Config{Dir: dir})
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	refuses(t, Config{Dir: dir}, posix.EBUSY, dir, "in use")
	refuses(t, Config{Dir: link}, posix.EBUSY, dir, "in use")
	t.Chdir(parent)
	refuses(t, Config{Dir: "store"}, posix.EBUSY, dir, "in use")
	set(t, db, "a", "1") // the attempts took nothing away
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, Config{Dir: link}).Close(); err != nil {
		t.Error(err)
	}
}

// TestInUseElsewhere has another process hold the store, and takes it over when
// that is killed.
func TestInUseElsewhere(t *testing.T) {
	const env = "WARDFS_TEST_HOLD_ENGINE"
	if dir := os.Getenv(env); dir != "" {
		db := mustOpen(t, Config{Dir: dir})
		set(t, db, "a", "1")
		_, _ = os.Stdout.WriteString("held\n")
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInUseElsewhere$")
	cmd.Env = append(os.Environ(), env+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	refuses(t, Config{Dir: dir}, posix.EBUSY, dir, "in use")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	db := mustOpen(t, Config{Dir: dir})
	defer db.Close()
	err = db.View(background, func(r engine.Reader) error {
		if v, ok, err := r.Get([]byte("a")); string(v) != "1" || !ok {
			t.Errorf("after kill -9: %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWrongDirectory opens what is no store, or not one of ours.
func TestWrongDirectory(t *testing.T) {
	refuses(t, Config{}, posix.EINVAL, "no directory")

	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "text")
	refuses(t, Config{Dir: file}, posix.EIO, file)

	home := t.TempDir()
	write(t, filepath.Join(home, "notes.txt"), "text")
	refuses(t, Config{Dir: home}, posix.EINVAL, home, "notes.txt", "not empty")
	if names, err := os.ReadDir(home); err != nil || len(names) != 1 {
		t.Errorf("the directory was left with %v, %v", names, err)
	}

	for text, says := range map[string]string{
		"wardfs engine pebble 2\n":  "format is 2",
		"wardfs engine pebble 99\n": "newer",
		"wardfs engine pebble 1":    "damaged",
		"wardfs engine pebble 0\n":  "damaged",
		"wardfs engine bolt 1\n":    "damaged",
		"":                          "damaged",
	} {
		dir := t.TempDir()
		if err := mustOpen(t, Config{Dir: dir}).Close(); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, versionFile), text)
		errno := posix.EIO
		if says != "damaged" {
			errno = posix.EINVAL
		}
		refuses(t, Config{Dir: dir}, errno, dir, says)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
