package pebble

import (
	"math/rand/v2"
	"strings"
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
	var seen sync.Map
	enginetest.RunCrash(t, func(t *testing.T) enginetest.Disk {
		d := newMemDisk(vfs.NewCrashableMem())
		d.watch.seen = &seen
		return d
	})
	for _, want := range []string{"create log", "reuse log", "sync log", "create sst", "sync sst",
		"create MANIFEST-000001", "create MANIFEST", "sync MANIFEST", "create SEAL", "create VERSION", "remove log", "remove sst"} {
		if _, ok := seen.Load(want); !ok {
			t.Errorf("the workload never did: %s", want)
		}
	}
}

// watchFS calls op before everything that changes the disk.
type watchFS struct {
	vfs.FS
	mu   sync.Mutex // op, and ReuseForWrite: MemFS locks itself out if it is cloned meanwhile
	op   func()
	seen *sync.Map // "create sst"; nil keeps no record
}

func (w *watchFS) before(what, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(what, name)
}

func (w *watchFS) note(what, name string) {
	if w.seen != nil {
		base := w.PathBase(name)
		w.seen.Store(what+" "+base, true)
		w.seen.Store(what+" "+strings.TrimSuffix(strings.TrimLeft(base, "0123456789."), ".new"), true)
		if strings.HasPrefix(base, manifestPrefix) && base != "MANIFEST-000001" {
			w.seen.Store(what+" MANIFEST", true)
		}
	}
	if w.op != nil {
		w.op()
	}
}

func (w *watchFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &watchFile{f, w, name}, nil
}

func (w *watchFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	w.before("create", name)
	f, err := w.FS.Create(name, c)
	return w.wrap(name, f, err)
}

func (w *watchFS) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	return w.wrap(name, f, err)
}

func (w *watchFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("reuse", newname)
	f, err := w.FS.ReuseForWrite(oldname, newname, c)
	return w.wrap(newname, f, err)
}

func (w *watchFS) Link(oldname, newname string) error {
	w.before("link", newname)
	return w.FS.Link(oldname, newname)
}

func (w *watchFS) Rename(oldname, newname string) error {
	w.before("rename", newname)
	return w.FS.Rename(oldname, newname)
}

func (w *watchFS) Remove(name string) error {
	w.before("remove", name)
	return w.FS.Remove(name)
}

func (w *watchFS) Unwrap() vfs.FS { return w.FS }

type watchFile struct {
	vfs.File
	fs   *watchFS
	name string
}

func (f *watchFile) Write(p []byte) (int, error) {
	f.fs.before("write", f.name)
	return f.File.Write(p)
}

func (f *watchFile) Sync() error {
	f.fs.before("sync", f.name)
	return f.File.Sync()
}

func (f *watchFile) SyncData() error {
	f.fs.before("sync", f.name)
	return f.File.SyncData()
}

func (f *watchFile) SyncTo(n int64) (bool, error) {
	f.fs.before("sync", f.name)
	return f.File.SyncTo(n)
}
