package pebble

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/enginetest"
)

const damageDir = "d"

// damageStore makes a store with several tables, a manifest that lists them one
// after the other, logs that were used again, and changes in a log or, unless
// it was closed cleanly, in two. It answers its disk and how many commits there
// are.
func damageStore(t *testing.T, clean bool) (*vfs.MemFS, int) {
	t.Helper()
	disk := newMemDisk(vfs.NewCrashableMem())
	hold := make(chan bool)
	var held atomic.Bool
	disk.watch.fail = func(what, name string) error {
		if held.Load() && what == "create" && strings.HasSuffix(name, ".sst") {
			<-hold
		}
		return nil
	}
	db := mustOpen(t, Config{Dir: damageDir, fs: disk.watch, tune: func(o *lsm.Options) {
		o.DisableAutomaticCompactions = true
	}})
	for range 8 {
		if _, err := count(t, db, 10); err != nil {
			t.Fatal(err)
		}
		if err := db.lsm.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	acked, err := count(t, db, 10)
	if err == nil && !clean {
		held.Store(true) // the next table is not written, and its log stays
		if _, err = db.lsm.AsyncFlush(); err == nil {
			acked, err = count(t, db, 10)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	shut := func() {
		close(hold)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if clean {
		shut()
		return copyDisk(disk.fs), acked
	}
	t.Cleanup(shut)
	return copyDisk(disk.fs), acked
}

func copyDisk(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// TestDamage flips bytes, cuts files short, wipes parts of them and takes them
// away, one at a time: the store opens with all that was in it, or says what is
// wrong. Only of the end of the newest log can it not know whether a crash made
// it: there it may come back some commits older.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("walks every operation: `make test` runs it whole, without the race detector")
	}
	for _, clean := range []bool{true, false} {
		fs, acked := damageStore(t, clean)
		names, err := fs.List(damageDir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		kinds := map[string]int{}
		for _, name := range names {
			b := contents(t, fs, name)
			for _, d := range damages(b) {
				within(t, time.Minute, func() {
					verdict := damaged(t, copyDisk(fs), name, d, acked)
					kind := strings.TrimLeft(name, "0123456789")
					if strings.HasPrefix(name, manifestPrefix) {
						kind = "MANIFEST"
					}
					kinds[kind+" "+verdict]++
				})
				if t.Failed() {
					return
				}
			}
		}
		for _, k := range sortedKeys(kinds) {
			t.Logf("clean %v: %4d times %s", clean, kinds[k], k)
		}
	}
}

func sortedKeys(m map[string]int) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// damage is one change of a file; nil bytes take it away.
type damage struct {
	what string
	make func(b []byte) []byte
}

func damages(b []byte) (all []damage) {
	all = append(all, damage{"removed", func([]byte) []byte { return nil }},
		damage{"garbage added", func(b []byte) []byte { return append(b, "garbage\x00\xff at the end of a file"...) }})
	tries := 30
	if enginetest.Slow {
		tries = 6
	}
	step := max(1, len(b)/tries)
	for i := 0; i < len(b); i += step {
		all = append(all, damage{fmt.Sprintf("byte %d flipped", i), func(b []byte) []byte { b[i] ^= 0x10; return b }})
	}
	for i := 0; i < len(b); i += max(1, len(b)*4/tries) {
		all = append(all,
			damage{fmt.Sprintf("cut to %d bytes", i), func(b []byte) []byte { return b[:i] }},
			damage{fmt.Sprintf("wiped from %d", i), func(b []byte) []byte { clear(b[i:min(len(b), i+4096)]); return b }})
	}
	return all
}

// damaged opens the store with the damage and answers what came of it.
func damaged(t *testing.T, fs *vfs.MemFS, name string, d damage, acked int) string {
	newest := newestLog(t, fs)
	path := fs.PathJoin(damageDir, name)
	b := d.make(contents(t, fs, name))
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b != nil {
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := Open(Config{Dir: damageDir, fs: fs, tune: tiny})
	if err != nil {
		if !strings.Contains(err.Error(), damageDir) || errors.As(err, new(*posix.Error)) == false {
			t.Errorf("%s %s: the error does not say where: %v", name, d.what, err)
		}
		return "refused to open"
	}
	defer db.Close()
	n, err := counted(db)
	switch {
	case err != nil && posix.ErrnoOf(err) == posix.EIO && errors.As(err, new(*posix.Error)):
		return "failed to read"
	case err != nil:
		t.Errorf("%s %s: %v", name, d.what, err)
	case n == acked:
		return "nothing lost"
	case n < acked && name == newest:
		return "older"
	default:
		t.Errorf("%s %s: %d commits are there, of %d", name, d.what, n, acked)
	}
	return "wrong"
}

func newestLog(t *testing.T, fs *vfs.MemFS) (newest string) {
	names, err := fs.List(damageDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") && n > newest {
			newest = n
		}
	}
	return newest
}

func contents(t *testing.T, fs *vfs.MemFS, name string) []byte {
	t.Helper()
	b, err := readFile(fs, fs.PathJoin(damageDir, name), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
