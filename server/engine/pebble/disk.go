package pebble

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system as pebble is given it. Where pebble can bear an
// error, in writing a table, it gets it and tries again. Anywhere else, in the
// log, the manifest, a rename, it would panic or end the process. There a full
// disk is written to again in room from the reserve, and any other error stops
// the engine and freezes the disk: from then on all changes are taken and none
// is made, so that pebble runs out in peace while nobody is told a lie.
//
// It also seals the manifest, lists the logs and counts the syncs of the log.
type disk struct {
	vfs.FS
	dir     string
	fault   *fault
	reserve *reserve
	logs    logs
	syncs   atomic.Uint64
	stalled atomic.Int64 // since when pebble holds up writes, in ns since 1970; 0 is not
}

var _ vfs.FS = (*disk)(nil)

// The categories in which pebble creates files. Those of tables may fail.
const (
	logging  = vfs.DiskWriteCategory("pebble-wal")
	flushing = vfs.DiskWriteCategory("pebble-memtable-flush")
	merging  = vfs.DiskWriteCategory("pebble-compaction")
	other    = vfs.WriteCategoryUnspecified
)

const (
	patience   = 30 * time.Second // how long what must be written waits for room
	retryPause = time.Second      // slows down what pebble tries again at once
)

// change makes a change of the disk. It answers whether it was made; if not and
// err is nil, it must look as if it was.
func (d *disk) change(c vfs.DiskWriteCategory, op func() error) (made bool, err error) {
	for d.fault.error() == nil {
		if err = syscall.ENOSPC; c != merging || d.reserve.lets() {
			err = op()
		}
		switch {
		case err == nil:
			return true, nil
		case full(err) && d.reserve.giveWay(c == merging):
		case c == merging, c == flushing && d.stall() < patience:
			d.fault.pause(retryPause)
			return false, err
		case full(err) && c != flushing && d.reserve.await(patience):
		default:
			d.fault.stop(err)
		}
	}
	return false, nil
}

// stall is how long pebble has been holding up writes.
func (d *disk) stall() time.Duration {
	if since := d.stalled.Load(); since != 0 {
		return time.Since(time.Unix(0, since))
	}
	return 0
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, c, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

// ReuseForWrite is for logs.
func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.must(d.logs.strike(d, d.dir, d.PathBase(oldname)))
	return d.open(newname, c, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, c) })
}

func (d *disk) open(name string, c vfs.DiskWriteCategory, op func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	made, err := d.change(c, func() (err error) { f, err = op(); return err })
	if err != nil {
		return nil, err
	}
	base := d.PathBase(name)
	if !made {
		f = nowhere{name: base}
	}
	df := &diskFile{File: f, disk: d, name: base, category: c}
	switch {
	case strings.HasPrefix(base, manifestPrefix):
		df.seal = &seal{manifest: base}
	case strings.HasSuffix(base, logSuffix):
		d.must(d.logs.add(d, d.dir, base))
		df.ahead = newAhead(f)
	}
	return df, nil
}

// must stops the engine on an error that pebble could not bear.
func (d *disk) must(err error) {
	if err != nil {
		d.fault.stop(err)
	}
}

// OpenDir is for syncing a directory.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	return d.open(name, other, func() (vfs.File, error) { return d.FS.OpenDir(name) })
}

func (d *disk) Rename(oldname, newname string) error {
	_, err := d.change(other, func() error { return d.FS.Rename(oldname, newname) })
	return err
}

func (d *disk) Link(oldname, newname string) error {
	_, err := d.change(other, func() error { return d.FS.Link(oldname, newname) })
	return err
}

// Remove may fail: pebble says so and goes on.
func (d *disk) Remove(name string) error {
	d.must(d.logs.strike(d, d.dir, d.PathBase(name)))
	if d.fault.error() != nil {
		return nil
	}
	return d.FS.Remove(name)
}

// Unwrap is for pebble's own look at what lies below.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file that is written. As pebble promises, Write and Sync are
// not called at once.
type diskFile struct {
	vfs.File
	disk     *disk
	name     string
	category vfs.DiskWriteCategory
	size     int64  // written here; a log that is used again may be longer
	seal     *seal  // of a manifest
	ahead    *ahead // of a log
}

func (f *diskFile) Write(p []byte) (int, error) {
	if f.seal != nil {
		f.seal.add(p)
	}
	if f.ahead != nil && f.disk.fault.error() == nil {
		f.ahead.reach(f.size + int64(len(p)))
	}
	n := 0
	_, err := f.disk.change(f.category, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	if err != nil {
		return n, err
	}
	f.size += int64(len(p))
	return len(p), nil
}

func (f *diskFile) Close() error {
	if f.category == logging {
		f.disk.logs.finish(f.name, f.size)
	}
	err := f.File.Close()
	if f.category == merging || f.category == flushing {
		return err
	}
	f.disk.must(err)
	return nil
}

// Stat is asked of a log that is used again.
func (f *diskFile) Stat() (vfs.FileInfo, error) {
	st, err := f.File.Stat()
	if err != nil && f.category == logging {
		f.disk.must(err)
		return nowhereInfo{f.name}, nil
	}
	return st, err
}

func (f *diskFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

// sync is not tried again when it fails, room or not: what it was to write is
// lost to the system's cache by then, and a second one would succeed.
func (f *diskFile) sync(op func() error) error {
	made, err := f.disk.change(f.category, func() error {
		err := op()
		if full(err) {
			err = fmt.Errorf("sync: %v", err) // whatever it was, it is no longer about room
		}
		return err
	})
	if !made {
		return err
	}
	if f.category == logging {
		f.disk.syncs.Add(1)
	}
	if f.seal != nil {
		return f.seal.write(f.disk, f.disk.dir)
	}
	return nil
}

// nowhere is a file on a frozen disk.
type nowhere struct{ name string }

var _ vfs.File = nowhere{}

func (nowhere) Close() error                           { return nil }
func (nowhere) Read([]byte) (int, error)               { return 0, io.EOF }
func (nowhere) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Preallocate(_, _ int64) error           { return nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return true, nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Prefetch(_, _ int64) error              { return nil }
func (nowhere) Fd() uintptr                            { return vfs.InvalidFd }
func (n nowhere) Stat() (vfs.FileInfo, error)          { return nowhereInfo(n), nil }

type nowhereInfo struct{ name string }

func (i nowhereInfo) Name() string         { return i.name }
func (nowhereInfo) Size() int64            { return 0 }
func (nowhereInfo) Mode() os.FileMode      { return 0o600 }
func (nowhereInfo) ModTime() time.Time     { return time.Time{} }
func (nowhereInfo) IsDir() bool            { return false }
func (nowhereInfo) Sys() any               { return nil }
func (nowhereInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
