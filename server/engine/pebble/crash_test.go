package pebble

import (
	"math/rand/v2"
	"sync"
	"testing"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/enginetest"
)

// memDisk is a disk in memory that forgets what was not synced.
type memDisk struct {
	fs    *vfs.MemFS
	watch *watchFS
}

func newMemDisk(fs *vfs.MemFS) *memDisk { return &memDisk{fs, &watchFS{FS: fs}} }

func (d *memDisk) OnOp(f func()) { d.watch.op = f }

func (d *memDisk) Cut(rng *rand.Rand) enginetest.Disk {
	cfg := vfs.CrashCloneCfg{RNG: rng}
	if rng != nil {
		cfg.UnsyncedDataPercent = 50
	}
	c := newMemDisk(d.fs.CrashClone(cfg))
	c.watch.seen = d.watch.seen
	return c
}

func (d *memDisk) Open() (engine.Engine, error) {
	db, err := Open(Config{Dir: "data/engine", fs: d.watch, tune: tiny})
	if err != nil {
		return nil, err
	}
	return db, nil
}

// tiny makes a small workload go through every kind of file: the log is
// rotated, tables are written and merged, the manifest is rotated.
func tiny(o *lsm.Options) {
	o.MemTableSize = 128 << 10
	o.MaxManifestFileSize = 1
	o.L0CompactionFileThreshold = 2
	o.LBaseMaxBytes = 64 << 10
	o.CacheSize = 1 << 20
}

// TestCrash also shows that the workload made pebble do all that it does to a
// disk: else the cuts would prove little.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("walks every operation: `make test` runs it whole, without the race detector")
	}
	var seen sync.Map
	enginetest.RunCrash(t, func(t *testing.T) enginetest.Disk {
		d := newMemDisk(vfs.NewCrashableMem())
		d.watch.seen = &seen
		return d
	})
	for _, want := range []string{"create log", "reuse log", "sync log", "create sst", "sync sst",
		"create MANIFEST-000001", "create MANIFEST", "sync MANIFEST", "create SEAL", "create LOGS", "create VERSION", "remove log", "remove sst"} {
		if _, ok := seen.Load(want); !ok {
			t.Errorf("the workload never did: %s", want)
		}
	}
}
