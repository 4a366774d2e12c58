// Package disk is the chunk store in a directory of the server. It is made for
// very many small blocks as well as for blocks of 4 MiB, and for a cheap Sync.
//
// Blocks are appended to volumes, files of up to [Config.VolumeSize], as
// records of header, table of sums and data; memory has an index of some 60
// bytes a block. A Sync is one fdatasync of the active volume, shared by all
// who ask meanwhile. A block that is deleted leaves a grave in the log; once
// that is durable, its room is given back by punching a hole, and what is too
// small for that by moving the live rest of a volume to a new place. Each full
// volume has an index file beside it, which spares a start reading the volume.
//
// What the package refuses to do: it overwrites no byte that a Sync covered,
// it believes no byte that differs from its sum, and it does not call a second
// sync of the same pages a success when the first has failed.
//
//	store, err := disk.Open(disk.Config{Dir: "/var/lib/wardfs/chunks", Log: logger})
//
// docs/format.md draws the format.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// Config is what Open needs. Only Dir must be set.
type Config struct {
	// Dir holds the store, and nothing else does. It is made if need be.
	Dir string
	// VolumeSize is when a volume is full, in bytes: 1 GiB if zero.
	VolumeSize int64
	// CompactRate bounds the copying of live blocks out of volumes that are
	// mostly dead, in bytes a second: 32 MiB if zero.
	CompactRate int64
	// Log hears of damage and of what a start had to mend. Nil is silence.
	Log *slog.Logger
	// Now is the clock for [chunk.Info]: time.Now if nil.
	Now func() time.Time
	// Observe, if not nil, is told of every finished operation: "put", "get",
	// "delete", "sync" with the block's bytes in n, "fdatasync" for each sync
	// of the disk, "compact" with the bytes that moved. It must be quick.
	Observe func(op string, d time.Duration, n int)
}

func (c *Config) setDefaults() {
	if c.VolumeSize == 0 {
		c.VolumeSize = 1 << 30
	}
	if c.CompactRate <= 0 {
		c.CompactRate = 32 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, int) {}
	}
}

// The bounds of Config.VolumeSize: a sector's number has 32 bits.
const (
	minVolume = 64 << 10
	maxVolume = 1 << 40
)

// Store is a chunk store in a directory. It implements [chunk.Store]; Info's
// times are in whole seconds.
//
// Locks are taken in this order: log, a shard of the index, volumes.mu, volume.mu.
type Store struct {
	cfg  Config
	fs   filesystem
	mark mark
	size struct {
		step, reserve int64 // of preallocation
		direct        int64 // of a block that is written past the page cache; log guards it
	}

	index *index
	vols  volumes

	// open is read-locked by every operation under way.
	open   sync.RWMutex
	closed bool

	log     sync.Mutex // guards appending: what stands here, and the volumes' own
	active  *volume    // nil until the first append, and after a failure
	next    uint32     // the number of the next volume
	dirty   map[*volume]struct{}
	full    []*volume // no longer appended to, without an index file yet
	suspect []*volume // a sync of them failed: see salvage
	bounce  []byte    // see pages

	lost atomic.Pointer[error] // see salvage

	group group

	graves struct {
		sync.Mutex
		dug []grave // deleted, not yet written down
	}

	said struct { // damage is logged once
		sync.Mutex
		places map[place]struct{}
	}

	chores sync.Mutex    // maintain runs once at a time
	freed  atomic.Uint64 // how often room was given back

	work worker
}

var _ chunk.Store = (*Store)(nil)

// shut closes all files, those that the appender holds too.
func (s *Store) shut() {
	for _, v := range s.vols.all() {
		s.vols.drop(v)
	}
	if s.active != nil {
		s.vols.release(s.active)
	}
	for _, v := range append(s.full, s.suspect...) {
		s.vols.release(v)
	}
}

// enter begins an operation; leave must follow unless it answers an error.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.open.RLock()
	if s.closed {
		s.open.RUnlock()
		return chunk.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.open.RUnlock() }

// errnos is what of the disk's answers a caller can act on; the rest is EIO.
var errnos = map[error]posix.Errno{
	unix.ENOSPC:  posix.ENOSPC,
	unix.EDQUOT:  posix.EDQUOT,
	unix.EROFS:   posix.EROFS,
	unix.EMFILE:  posix.EMFILE,
	unix.ENFILE:  posix.EMFILE,
	unix.EACCES:  posix.EACCES,
	unix.EPERM:   posix.EPERM,
	unix.ENOMEM:  posix.ENOMEM,
	unix.ENOTDIR: posix.ENOTDIR,
}

// diskError gives what the disk said its errno.
func diskError(op string, err error, what string) error {
	e := posix.EIO
	for from, to := range errnos {
		if errors.Is(err, from) {
			e = to
		}
	}
	return posix.E(op, e, fmt.Errorf("chunk store: %s: %w", what, err))
}

// noRoom reports whether err says that the disk is full for us.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// List calls f for every block; see [chunk.Store].
func (s *Store) List(ctx context.Context, f func(chunk.Info) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.leave() // f may take long, or call the store: the index outlives Close
	var err error
	s.index.each(func(e entry) bool {
		if err = ctx.Err(); err != nil {
			return false
		}
		return f(e.info())
	})
	return err
}

// Usage is the room on the directory's filesystem.
func (s *Store) Usage(ctx context.Context) (chunk.Usage, error) {
	if err := s.enter(ctx); err != nil {
		return chunk.Usage{}, err
	}
	defer s.leave()
	u, err := s.fs.usage()
	if err != nil {
		return chunk.Usage{}, diskError("statfs", err, "statfs")
	}
	return u, nil
}

// Close makes everything durable, writes the index file of the active volume
// and lets go of the directory. It answers what could not be made durable.
func (s *Store) Close() error {
	s.open.Lock()
	if s.closed {
		s.open.Unlock()
		return chunk.ErrClosed
	}
	s.closed = true
	s.open.Unlock()
	s.work.stop()
	err := s.bury(context.Background())
	if e := s.group.sync(context.Background(), s.syncDisk); e != nil {
		err = e
	}
	if err == nil {
		s.sealFull()
		s.sealActive()
	}
	s.shut()
	return errors.Join(err, s.fs.close())
}
