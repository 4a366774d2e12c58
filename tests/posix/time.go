package posix

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var timeChecks = []check{
	{"set", timeSet},
	{"now", timeNow},
	{"omit", timeOmit},
	{"rights", timeRights},
	{"follow", timeFollow},
	{"changes", timeChanges},
	{"birth", timeBirth},
}

func setTimes(path string, atime, mtime unix.Timespec, flags int) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{atime, mtime}, flags)
}

// age gives path times in the past, so that whatever sets them now is seen.
func age(t testing.TB, path string) {
	t.Helper()
	ok(t, setTimes(path, unix.Timespec{Sec: 1000}, unix.Timespec{Sec: 2000}, unix.AT_SYMLINK_NOFOLLOW))
}

var (
	timeNowSpec  = unix.Timespec{Nsec: unix.UTIME_NOW}
	timeOmitSpec = unix.Timespec{Nsec: unix.UTIME_OMIT}
)

func timeSet(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "")
	for _, ts := range []unix.Timespec{
		{Sec: 0, Nsec: 0}, {Sec: 1, Nsec: 1}, {Sec: 1234567890, Nsec: 123456789}, {Sec: 2000000000, Nsec: 999999999},
		{Sec: -1, Nsec: 500}, {Sec: -1000000000, Nsec: 1}, {Sec: 1 << 31, Nsec: 7}, {Sec: 1 << 33, Nsec: 8},
	} {
		other := unix.Timespec{Sec: ts.Sec / 2, Nsec: ts.Nsec}
		ok(t, setTimes(name, other, ts, 0))
		st := stat(t, name)
		equal(t, "mtime", st.Mtim, ts)
		equal(t, "atime", st.Atim, other)
	}
	refused(t, "too many nanoseconds", setTimes(name, unix.Timespec{Nsec: 1e9}, unix.Timespec{}, 0), unix.EINVAL)
	refused(t, "negative nanoseconds", setTimes(name, unix.Timespec{Nsec: -1}, unix.Timespec{}, 0), unix.EINVAL)
	refused(t, "of nothing", setTimes(name+"x", unix.Timespec{}, unix.Timespec{}, 0), unix.ENOENT)
	f := open(t, name, os.O_RDONLY, 0)
	ok(t, unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: 5, Usec: 6}, {Sec: 7, Usec: 8}}))
	equal(t, "mtime by the descriptor", fstat(t, f).Mtim, unix.Timespec{Sec: 7, Nsec: 8000})
}

func timeNow(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "")
	age(t, name)
	var before unix.Timespec
	ok(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &before))
	ok(t, setTimes(name, timeNowSpec, timeNowSpec, 0))
	st := stat(t, name)
	for what, ts := range map[string]unix.Timespec{"atime": st.Atim, "mtime": st.Mtim, "ctime": st.Ctim} {
		if d := ts.Sec - before.Sec; d < 0 || d > 60 {
			t.Errorf("%s set to now is %d s from now", what, d)
		}
	}
}

func timeOmit(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "")
	age(t, name)
	ok(t, setTimes(name, timeOmitSpec, unix.Timespec{Sec: 9}, 0))
	equal(t, "atime is left", stat(t, name).Atim.Sec, 1000)
	equal(t, "mtime is set", stat(t, name).Mtim.Sec, 9)
	ok(t, setTimes(name, unix.Timespec{Sec: 8}, timeOmitSpec, 0))
	equal(t, "atime is set", stat(t, name).Atim.Sec, 8)
	equal(t, "mtime is left", stat(t, name).Mtim.Sec, 9)
	before := stat(t, name)
	ok(t, setTimes(name, timeOmitSpec, timeOmitSpec, 0))
	equal(t, "ctime is left when both are", stat(t, name).Ctim, before.Ctim)
}

func timeRights(t *testing.T, dir string) {
	mine, open, shut := filepath.Join(dir, "mine"), filepath.Join(dir, "open"), filepath.Join(dir, "shut")
	for _, p := range []string{mine, open, shut} {
		put(t, p, "")
	}
	ok(t, os.Chown(mine, alice.UID, alice.GID))
	ok(t, os.Chmod(mine, 0))
	ok(t, os.Chmod(open, 0o666))
	past := unix.Timespec{Sec: 5}
	as(t, alice, dir, func() {
		ok(t, setTimes("mine", past, past, 0))
		ok(t, setTimes("mine", timeNowSpec, timeNowSpec, 0))
		ok(t, setTimes("open", timeNowSpec, timeNowSpec, 0))
		refused(t, "a stranger's file, a time of one's own", setTimes("open", past, past, 0), unix.EPERM)
		refused(t, "a stranger's file, one now and one omitted", setTimes("open", timeNowSpec, timeOmitSpec, 0), unix.EPERM)
		refused(t, "now without the right to write", setTimes("shut", timeNowSpec, timeNowSpec, 0), unix.EACCES)
		ok(t, setTimes("shut", timeOmitSpec, timeOmitSpec, 0))
	})
}

func timeFollow(t *testing.T, dir string) {
	name, link := filepath.Join(dir, "f"), filepath.Join(dir, "l")
	put(t, name, "")
	age(t, name)
	ok(t, os.Symlink("f", link))
	ok(t, setTimes(link, unix.Timespec{Sec: 3}, unix.Timespec{Sec: 4}, unix.AT_SYMLINK_NOFOLLOW))
	equal(t, "mtime of the symlink", lstat(t, link).Mtim.Sec, 4)
	equal(t, "mtime of the file", stat(t, name).Mtim.Sec, 2000)
	ok(t, setTimes(link, unix.Timespec{Sec: 5}, unix.Timespec{Sec: 6}, 0))
	equal(t, "mtime of the symlink, followed", lstat(t, link).Mtim.Sec, 4)
	equal(t, "mtime of the file, followed", stat(t, name).Mtim.Sec, 6)
}

// timeChanges: which call moves which time of what, POSIX by POSIX.
func timeChanges(t *testing.T, dir string) {
	d, f, aside := filepath.Join(dir, "d"), filepath.Join(dir, "d", "f"), filepath.Join(dir, "aside")
	ok(t, os.Mkdir(d, 0o755))
	put(t, f, "0123456789")
	put(t, aside, "")
	h := open(t, f, os.O_RDWR, 0)
	write := func() error { _, err := h.WriteAt([]byte("x"), 3); return err }
	const m, c = 1, 2 // what moves: mtime, ctime
	for _, step := range []struct {
		name      string
		do        func() error
		file, dir int
	}{
		{"write", write, m | c, 0},
		{"ftruncate", func() error { return h.Truncate(5) }, m | c, 0},
		{"truncate to the same size", func() error { return unix.Truncate(f, 5) }, m | c, 0},
		{"chmod", func() error { return unix.Chmod(f, 0o600) }, c, 0},
		{"chown", func() error { return unix.Chown(f, alice.UID, alice.GID) }, c, 0},
		{"setxattr", func() error { return unix.Setxattr(f, "user.a", []byte("b"), 0) }, c, 0},
		{"link", func() error { return unix.Link(f, filepath.Join(d, "f2")) }, c, m | c},
		{"unlink", func() error { return unix.Unlink(filepath.Join(d, "f2")) }, c, m | c},
		{"rename", func() error { return errors.Join(unix.Rename(f, f+"3"), unix.Rename(f+"3", f)) }, c, m | c},
		{"create", func() error { return tryOpen(f+"4", unix.O_CREAT|unix.O_WRONLY, 0o644) }, 0, m | c},
		{"mkdir", func() error { return unix.Mkdir(f+"5", 0o755) }, 0, m | c},
		{"rmdir", func() error { return unix.Rmdir(f + "5") }, 0, m | c},
		{"symlink", func() error { return unix.Symlink("x", f+"6") }, 0, m | c},
		{"a stat", func() error { return unix.Stat(f, new(unix.Stat_t)) }, 0, 0},
	} {
		age(t, f)
		age(t, d)
		beforeF, beforeD := stat(t, f), stat(t, d)
		settle(t, aside)
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
			continue
		}
		moved(t, step.name+": file", beforeF, stat(t, f), step.file)
		moved(t, step.name+": directory", beforeD, stat(t, d), step.dir)
	}
}

// settle waits until a change of a file would get another time than the last
// one got: the kernel's clock for that moves in ticks.
func settle(t testing.TB, aside string) {
	t.Helper()
	ok(t, os.Chmod(aside, 0o600))
	for start := stat(t, aside).Ctim; stat(t, aside).Ctim == start; {
		ok(t, os.Chmod(aside, 0o600))
	}
}

func moved(t testing.TB, what string, before, after unix.Stat_t, want int) {
	t.Helper()
	equal(t, what+": mtime moves", before.Mtim != after.Mtim, want&1 != 0)
	equal(t, what+": ctime moves", before.Ctim != after.Ctim, want&2 != 0)
}

func timeBirth(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "")
	birth := func() unix.StatxTimestamp {
		var stx unix.Statx_t
		ok(t, unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_ALL, &stx))
		if stx.Mask&unix.STATX_BTIME == 0 {
			t.Fatal("statx tells no btime")
		}
		equal(t, "statx and stat: ino", stx.Ino, stat(t, name).Ino)
		return stx.Btime
	}
	first := birth()
	if d := stat(t, name).Ctim.Sec - first.Sec; d < 0 || d > 60 {
		t.Errorf("btime is %d s before ctime", d)
	}
	age(t, name)
	ok(t, os.Chmod(name, 0o600))
	ok(t, os.Rename(name, name+"2"))
	name += "2"
	equal(t, "btime after changes", birth(), first)
}
