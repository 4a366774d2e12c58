package pebble

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system as pebble is given it. A full disk reaches pebble
// only where pebble can bear it: what would end it (the log, the manifest, a
// table of recent changes that must get out of memory) is tried again in room
// taken from the reserve. It seals the manifest, and counts syncs of the log.
type disk struct {
	vfs.FS
	dir     string
	reserve *reserve
	syncs   atomic.Uint64
}

var _ vfs.FS = (*disk)(nil)

// merging is the category of files that can wait: pebble drops what it wrote
// and tries again later.
const merging = vfs.DiskWriteCategory("pebble-compaction")

const logging = vfs.DiskWriteCategory("pebble-wal")

// try repeats op as long as the disk is full and the reserve gives way.
func (d *disk) try(c vfs.DiskWriteCategory, op func() error) error {
	for {
		err := op()
		if !full(err) {
			return err
		}
		if c == merging {
			d.reserve.pause()
			return err
		}
		if !d.reserve.giveWay() {
			return err
		}
	}
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.try(c, func() error { f, err = d.FS.Create(name, c); return err })
	return d.wrap(name, c, f, err)
}

func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.try(c, func() error { f, err = d.FS.ReuseForWrite(oldname, newname, c); return err })
	return d.wrap(newname, c, f, err)
}

func (d *disk) wrap(name string, c vfs.DiskWriteCategory, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	df := &diskFile{File: f, disk: d, category: c}
	if base := d.PathBase(name); strings.HasPrefix(base, manifestPrefix) {
		df.seal = &seal{manifest: base}
	}
	return df, nil
}

func (d *disk) Rename(oldname, newname string) error {
	return d.try(vfs.WriteCategoryUnspecified, func() error { return d.FS.Rename(oldname, newname) })
}

func (d *disk) Link(oldname, newname string) error {
	return d.try(vfs.WriteCategoryUnspecified, func() error { return d.FS.Link(oldname, newname) })
}

// Unwrap is for pebble's own look at what lies below.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file that is written. As pebble demands of its callers, Write
// and Sync are never called at once.
type diskFile struct {
	vfs.File
	disk     *disk
	category vfs.DiskWriteCategory
	seal     *seal // of a manifest
}

func (f *diskFile) Write(p []byte) (n int, err error) {
	if f.seal != nil {
		f.seal.add(p)
	}
	err = f.disk.try(f.category, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

// Sync is not tried again when it fails: what it was to write is then lost to
// the system's cache, and a second Sync would say yes.
func (f *diskFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	return f.synced()
}

func (f *diskFile) SyncData() error {
	if err := f.File.SyncData(); err != nil {
		return err
	}
	return f.synced()
}

func (f *diskFile) synced() error {
	if f.category == logging {
		f.disk.syncs.Add(1)
	}
	if f.seal != nil {
		return f.seal.write(f.disk, f.disk.dir)
	}
	return nil
}
