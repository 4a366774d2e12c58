package pebble

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/enginetest"
)

// count makes n more commits, each a counter and a value of some size, and
// answers how many were acknowledged and why it stopped.
func count(t *testing.T, db *DB, n int) (int, error) {
	last := 0
	for range n {
		err := db.Update(t.Context(), func(tx engine.Tx) error {
			v, _, err := tx.Get([]byte("n"))
			if err != nil {
				return err
			}
			i, _ := strconv.Atoi(string(v))
			i++
			tx.Put([]byte("n"), []byte(strconv.Itoa(i)))
			tx.Put(fmt.Appendf(nil, "log/%06d", i), []byte(entry(i)))
			last = i
			return nil
		})
		if err != nil {
			return last - 1, err
		}
	}
	return last, nil
}

func entry(i int) string { return fmt.Sprintf("%0*d", 1+i*977%9000, i) }

// counted answers how many commits of count are there, and that they are whole.
func counted(db *DB) (n int, err error) {
	var bad error
	err = db.View(background, func(r engine.Reader) error {
		v, _, err := r.Get([]byte("n"))
		if err != nil {
			return err
		}
		n, _ = strconv.Atoi(string(v))
		i := 0
		err = r.Scan([]byte("log/"), []byte("log0"), func(k, v []byte) bool {
			i++
			if string(k) != fmt.Sprintf("log/%06d", i) || string(v) != entry(i) {
				bad = fmt.Errorf("entry %d is %q of %d bytes", i, k, len(v))
			}
			return bad == nil
		})
		if err == nil && bad == nil && i != n {
			bad = fmt.Errorf("%d entries, and the counter is %d", i, n)
		}
		return errors.Join(err, bad)
	})
	return n, err
}

// TestFaults has each operation of the disk fail in turn, once or from then
// on: the engine must neither die nor hang, nor acknowledge what is not there
// when it is opened again after a power cut.
func TestFaults(t *testing.T) {
	for _, once := range []bool{true, false} {
		failed, step := 1, 1
		if enginetest.Slow {
			step = 5
		}
		for n := 1; failed > 0; n += step {
			var op atomic.Int64
			disk := newMemDisk(vfs.NewCrashableMem())
			disk.watch.fail = func(what, name string) error {
				if i := op.Add(1); i == int64(n) || i > int64(n) && !once {
					return fmt.Errorf("%s %s: %w", what, name, syscall.EIO)
				}
				return nil
			}
			within(t, time.Minute, func() { faulty(t, n, disk) })
			if failed = int(op.Load()) - n + 1; failed <= 0 {
				t.Logf("once %v: %d faults", once, n-1)
			}
			if t.Failed() {
				return
			}
		}
	}
}

func faulty(t *testing.T, n int, disk *memDisk) {
	acked := 0
	e, err := disk.Open()
	if err == nil {
		db := e.(*DB)
		acked, err = count(t, db, 60)
		if err == nil {
			_, err = counted(db)
		}
		if cerr := db.Close(); err == nil && cerr == nil {
			_, err = counted(db)
			if !errors.Is(err, engine.ErrClosed) {
				t.Errorf("fault %d: closed engine answers %v", n, err)
			}
			err = nil
		}
	}
	if err != nil && posix.ErrnoOf(err) != posix.EIO {
		t.Errorf("fault %d: %v, want EIO", n, err)
	}
	again := newMemDisk(disk.fs.CrashClone(vfs.CrashCloneCfg{}))
	e, err = again.Open()
	if err != nil {
		t.Errorf("fault %d: not to be opened again: %v", n, err)
		return
	}
	if there, err := counted(e.(*DB)); err != nil || there < acked {
		t.Errorf("fault %d: %d commits are there, %d were acknowledged: %v", n, there, acked, err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("fault %d: %v", n, err)
	}
}

// within fails the test if f takes longer, and does not wait for it then.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan bool)
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("nothing happened for %v", d)
	}
}

// TestStopped shows what becomes of transactions when the log fails under
// them: all get the reason, the hook is called once.
func TestStopped(t *testing.T) {
	var broken atomic.Bool
	disk := newMemDisk(vfs.NewCrashableMem())
	disk.watch.fail = func(what, name string) error {
		if broken.Load() && strings.HasSuffix(name, ".log") {
			return syscall.EIO
		}
		return nil
	}
	var calls atomic.Int64
	db, err := Open(Config{Dir: "d", fs: disk.watch, OnFail: func(error) { calls.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := count(t, db, 5); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := count(t, db, 1); posix.ErrnoOf(err) != posix.EIO || !strings.Contains(err.Error(), "restart") {
				t.Errorf("Update over a broken log: %v", err)
			}
		}()
	}
	wg.Wait()
	if _, err := counted(db); posix.ErrnoOf(err) != posix.EIO {
		t.Errorf("View of a stopped engine: %v", err)
	}
	if s := db.Stats(); !s.Stopped || s.Commits != 5 {
		t.Errorf("stats: %+v", s)
	}
	if err := db.Close(); posix.ErrnoOf(err) != posix.EIO {
		t.Errorf("Close of a stopped engine: %v", err)
	}
	if calls.Load() != 1 {
		t.Errorf("OnFail was called %d times", calls.Load())
	}
}
