// Package pebble is the engine of a server of its own: a directory on a local
// disk, kept by github.com/cockroachdb/pebble, which only this package knows.
// ADR 2 says why this one.
//
// Pebble has atomic batches and no transactions. Here one Update runs at a
// time: it reads and writes an indexed batch under a lock, which is work in
// memory, hands the batch to the log and lets the lock go. The sync of the log
// is awaited outside, so that all who wait share it. The log is written in the
// order of the lock; what a crash leaves is therefore a prefix of it, and a
// transaction may build on one that is not durable yet. It must only not be
// answered before: see pending.go.
//
// It refuses to guess. A damaged file, a newer format, a directory that holds
// something else or belongs to a live process are errors of Open; an error
// that leaves the state of the log unknown stops the engine until it is opened
// again, and what it has acknowledged is then there.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/internal/gate"
)

// Config is what Open needs; only Dir has no default.
type Config struct {
	// Dir holds the store and nothing else. It is made if it is not there.
	Dir string
	// Cache is the memory for blocks read from disk, in bytes; 0 is 64 MiB.
	Cache int64
	// MemTable is the size of one table of recent changes in memory, in bytes;
	// 0 is 8 MiB. At most three and a bit are held at once.
	MemTable int64
	// Reserve is the room on the disk that is kept back for the day it is full,
	// in bytes; 0 is 128 MiB. An eighth of the disk is the most. Half of it
	// must hold four tables of MemTable.
	Reserve int64
	// Log takes what the store has to say; nil discards it.
	Log *slog.Logger
	// Observe is called with how long something took: "update" and "view" (a
	// whole transaction), "lock" (an Update's wait for its turn), "sync" (its
	// wait for the disk). It must be quick and safe for concurrent use; nil is
	// none.
	Observe func(op string, d time.Duration)
	// OnFail is called once, from any goroutine, when the engine has stopped
	// for good, so that the server can end with a plain message. It must not
	// call the engine. Nil is none.
	OnFail func(error)

	fs   vfs.FS             // the disk; nil is the machine's. For tests.
	tune func(*lsm.Options) // for tests
}

// DB is an engine.Engine on a directory.
type DB struct {
	cfg   Config
	lsm   *lsm.DB
	lock  *lsm.Lock // of the directory
	gate  gate.Gate
	turn  chan struct{} // held by the one Update that runs
	head  atomic.Pointer[commit]
	fault *fault
	disk  *disk

	views, updates, commits, refused atomic.Uint64
}

var _ engine.Engine = (*DB)(nil)

const (
	defaultCache    = 64 << 20
	defaultMemTable = 8 << 20
	defaultReserve  = 128 << 20
	memTables       = 3 // that may wait to be written to tables on disk
)

// Open opens the store in cfg.Dir, which it makes if it is not there.
func Open(cfg Config) (*DB, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, posix.E("open engine", posix.EINVAL, err)
	}
	db := &DB{cfg: cfg, turn: make(chan struct{}, 1), fault: newFault(cfg)}
	if err := db.open(); err != nil {
		return nil, err
	}
	return db, nil
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return errors.New("no directory given")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Cache == 0 {
		c.Cache = defaultCache
	}
	if c.MemTable == 0 {
		c.MemTable = defaultMemTable
	}
	if c.Reserve == 0 {
		c.Reserve = defaultReserve
	}
	if c.fs != nil {
		return nil
	}
	c.fs = vfs.Default
	// The lock is known by the directory's name within one process: one name
	// for one directory, however it was given.
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	c.Dir = dir
	return nil
}

func (db *DB) open() (err error) {
	if err := db.claim(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.release())
		}
	}()
	dir := db.cfg.Dir
	if err := checkVersion(db.cfg.fs, dir); err != nil {
		return err
	}
	db.disk = &disk{FS: db.cfg.fs, dir: dir, fault: db.fault}
	if db.cfg.fs == vfs.Default {
		db.disk.reserve, err = openReserve(filepath.Join(dir, reserveFile), db.cfg.Reserve, db.fault)
		if err != nil {
			return ioError("open engine", dir, err)
		}
	}
	err = db.fault.guard(func() error {
		err := checkManifest(db.cfg.fs, dir)
		if err == nil {
			err = db.disk.logs.check(db.cfg.fs, dir)
		}
		if err != nil {
			return err
		}
		db.lsm, err = lsm.Open(dir, db.options())
		return err
	})
	if ferr := db.fault.error(); ferr != nil {
		if err == nil {
			_ = db.fault.guard(db.lsm.Close) // on a frozen disk: only to free memory
		}
		err = ferr
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: a file is missing: %w", ErrDamaged, err) // the directory is there, and names it
	}
	if err != nil {
		return ioError("open engine", dir, err)
	}
	return nil
}

// release gives up all but pebble itself.
func (db *DB) release() error {
	var err error
	if db.disk != nil {
		err = db.disk.reserve.close()
	}
	return errors.Join(err, db.lock.Close())
}

// claim makes the directory and locks it.
func (db *DB) claim() error {
	fs, dir := db.cfg.fs, db.cfg.Dir
	if err := makeDir(fs, dir); err != nil {
		return ioError("open engine", dir, err)
	}
	if fs == vfs.Default {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return ioError("open engine", dir, err)
		}
		db.cfg.Dir, dir = real, real
	}
	// Before the lock, which would leave a file in somebody's directory.
	if err := checkStranger(fs, dir); err != nil {
		return err
	}
	lock, err := lsm.LockDirectory(dir, fs)
	if err != nil {
		return lockError(dir, err)
	}
	db.lock = lock
	return nil
}

// lockError tells a lock that is held, which a system error other than EAGAIN
// and EACCES is not, from one that can't be made.
func lockError(dir string, err error) error {
	var no syscall.Errno
	if errors.As(err, &no) && no != syscall.EAGAIN && no != syscall.EACCES {
		return ioError("open engine", dir, err)
	}
	return posix.E("open engine", posix.EBUSY, fmt.Errorf("%s: the store is in use by a running server: %w", dir, err))
}

func (db *DB) options() *lsm.Options {
	o := &lsm.Options{
		FS:                          db.disk,
		Lock:                        db.lock,
		Logger:                      logger{db.cfg.Log, db.fault},
		CacheSize:                   db.cfg.Cache,
		MemTableSize:                uint64(db.cfg.MemTable),
		MemTableStopWritesThreshold: memTables,
		FormatMajorVersion:          lsm.FormatTableFormatV6, // part of what VERSION stands for
		L0CompactionThreshold:       2,
		// Merging that lags behind, or that a damaged table keeps from going on,
		// makes reads slower; it must not hold up writes for ever.
		L0StopWritesThreshold:      1000,
		LBaseMaxBytes:              64 << 20,
		MaxOpenFiles:               512,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	o.EventListener = &lsm.EventListener{
		BackgroundError: func(err error) { db.cfg.Log.Error("engine background work", "dir", db.cfg.Dir, "err", err) },
		DataCorruption: func(i lsm.DataCorruptionInfo) {
			db.cfg.Log.Error("engine file is damaged", "path", i.Path, "err", i.Details)
		},
		WriteStallBegin: func(lsm.WriteStallBeginInfo) { db.disk.stalled.Store(time.Now().UnixNano()) },
		WriteStallEnd:   func() { db.disk.stalled.Store(0) },
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if db.cfg.tune != nil {
		db.cfg.tune(o)
	}
	return o
}

// Close waits for the transactions under way and closes the store. That of an
// engine that has stopped answers why.
func (db *DB) Close() error {
	if err := db.gate.Shut(); err != nil {
		return err
	}
	close(db.fault.hurry)
	var err error
	if !db.fault.wild.Load() {
		err = db.fault.guard(db.lsm.Close)
	}
	if ferr := db.fault.error(); ferr != nil {
		err = ferr
	}
	return errors.Join(err, db.release())
}

// take waits for the turn of an Update.
func (db *DB) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := db.clock()
	defer db.observe("lock", start)
	select {
	case db.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-db.fault.stopped:
		return db.fault.error()
	}
}

func (db *DB) yield() { <-db.turn }

// clock is the start of something observed.
func (db *DB) clock() time.Time {
	if db.cfg.Observe == nil {
		return time.Time{}
	}
	return time.Now()
}

func (db *DB) observe(op string, start time.Time) {
	if db.cfg.Observe != nil {
		db.cfg.Observe(op, time.Since(start))
	}
}
