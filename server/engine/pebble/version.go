package pebble

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wardfs/wardfs/posix"
)

// The file VERSION says whose directory this is and in which format:
//
//	wardfs engine pebble 1\n
//
// The number counts what this package and the pinned version of pebble write;
// an older one is read, a newer one refused.
const (
	versionFile = "VERSION"
	versionHead = "wardfs engine pebble "
	version     = 1
)

// checkVersion refuses a directory that is not ours or is of a later format,
// and puts our mark on an empty one.
func checkVersion(fs vfs.FS, dir string) error {
	b, err := readFile(fs, fs.PathJoin(dir, versionFile), 256)
	if errors.Is(err, os.ErrNotExist) {
		return markVersion(fs, dir)
	}
	if err != nil {
		return ioError("open engine", dir, err)
	}
	return parseVersion(dir, string(b))
}

func parseVersion(dir, text string) error {
	var n int
	rest, ours := strings.CutPrefix(text, versionHead)
	if _, err := fmt.Sscanf(rest, "%d\n", &n); !ours || err != nil || rest != fmt.Sprintf("%d\n", n) || n < 1 {
		return posix.E("open engine", posix.EIO,
			fmt.Errorf("%s/%s: %w: it reads %q", dir, versionFile, ErrDamaged, text))
	}
	if n > version {
		return posix.E("open engine", posix.EINVAL, fmt.Errorf(
			"%s: its format is %d and this wardfs knows up to %d: use the newer wardfs that wrote it", dir, n, version))
	}
	return nil
}

// checkStranger refuses a directory that holds something and no store.
func checkStranger(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return ioError("open engine", dir, err)
	}
	if slices.Contains(names, versionFile) {
		return nil
	}
	names = slices.DeleteFunc(names, func(s string) bool {
		return s == "LOCK" || s == "lost+found" || strings.HasPrefix(s, versionFile)
	})
	if len(names) > 0 {
		slices.Sort(names)
		return posix.E("open engine", posix.EINVAL, fmt.Errorf(
			"%s: no store and not empty either (%s): give it a directory of its own", dir, names[0]))
	}
	return nil
}

// markVersion puts our mark on an empty directory.
func markVersion(fs vfs.FS, dir string) error {
	if err := checkStranger(fs, dir); err != nil {
		return err
	}
	if err := writeFile(fs, dir, versionFile, fmt.Sprintf("%s%d\n", versionHead, version)); err != nil {
		return ioError("open engine", dir, err)
	}
	return nil
}

// writeFile publishes a small file: whole or not at all, and durable.
func writeFile(fs vfs.FS, dir, name, text string) error {
	tmp, path := fs.PathJoin(dir, name+".new"), fs.PathJoin(dir, name)
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// makeDir makes dir and what lies above it, durably: a power cut must not take
// away the directory with all that was acknowledged in it.
func makeDir(fs vfs.FS, dir string) error {
	made := []string{dir} // always: who made it before may not have synced it
	for p := fs.PathDir(dir); ; p = fs.PathDir(p) {
		if _, err := fs.Stat(p); !errors.Is(err, os.ErrNotExist) || p == fs.PathDir(p) {
			break
		}
		made = append(made, p)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range slices.Backward(made) {
		// A parent that may be passed and not read was not made here.
		if err := syncDir(fs, fs.PathDir(p)); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// full reports whether err is a disk, or a quota, that has no room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
