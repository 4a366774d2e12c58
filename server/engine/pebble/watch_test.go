package pebble

import (
	"errors"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchFS calls op and fail before everything that changes the disk, and does
// not do it if fail answers an error.
type watchFS struct {
	vfs.FS
	mu   sync.Mutex // op, and ReuseForWrite: MemFS locks itself out if it is cloned meanwhile
	op   func()
	fail func(what, name string) error
	seen *sync.Map // "create sst"; nil keeps no record
}

func (w *watchFS) before(what, name string) error {
	w.mu.Lock()
	w.note(what, name)
	w.mu.Unlock()
	return w.faulted(what, name)
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

// faulted is before of what changes nothing and may fail all the same.
func (w *watchFS) faulted(what, name string) error {
	if w.fail != nil {
		return w.fail(what, name)
	}
	return nil
}

func (w *watchFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &watchFile{f, w, name}, nil
}

func (w *watchFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := w.before("create", name); err != nil {
		return nil, err
	}
	f, err := w.FS.Create(name, c)
	return w.wrap(name, f, err)
}

func (w *watchFS) OpenDir(name string) (vfs.File, error) {
	if err := w.faulted("open", name); err != nil {
		return nil, err
	}
	f, err := w.FS.OpenDir(name)
	return w.wrap(name, f, err)
}

func (w *watchFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("reuse", newname)
	if err := w.faulted("reuse", newname); err != nil {
		return nil, err
	}
	f, err := w.FS.ReuseForWrite(oldname, newname, c)
	return w.wrap(newname, f, err)
}

func (w *watchFS) Link(oldname, newname string) error {
	if err := w.before("link", newname); err != nil {
		return err
	}
	return w.FS.Link(oldname, newname)
}

func (w *watchFS) Rename(oldname, newname string) error {
	if err := w.before("rename", newname); err != nil {
		return err
	}
	return w.FS.Rename(oldname, newname)
}

func (w *watchFS) Remove(name string) error {
	if err := w.before("remove", name); err != nil {
		return err
	}
	return w.FS.Remove(name)
}

func (w *watchFS) Unwrap() vfs.FS { return w.FS }

type watchFile struct {
	vfs.File
	fs   *watchFS
	name string
}

func (f *watchFile) Write(p []byte) (int, error) {
	if err := f.fs.before("write", f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// Close closes in any case.
func (f *watchFile) Close() error {
	err := f.fs.faulted("close", f.name)
	return errors.Join(f.File.Close(), err)
}

func (f *watchFile) Stat() (vfs.FileInfo, error) {
	if err := f.fs.faulted("stat", f.name); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *watchFile) Sync() error {
	if err := f.fs.before("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *watchFile) SyncData() error {
	if err := f.fs.before("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *watchFile) SyncTo(n int64) (bool, error) {
	if err := f.fs.before("sync", f.name); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}
