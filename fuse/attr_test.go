package fuse

import (
	"testing"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

func TestOpenFlags(t *testing.T) {
	const rw = posix.OpenRead | posix.OpenWrite
	for _, c := range []struct {
		want  posix.OpenFlags
		flags uint32
	}{
		{posix.OpenRead, unix.O_RDONLY},
		{posix.OpenWrite, unix.O_WRONLY},
		{rw, unix.O_RDWR},
		{rw, unix.O_ACCMODE},
		{rw | posix.OpenTrunc, unix.O_RDWR | unix.O_TRUNC | unix.O_APPEND | unix.O_NONBLOCK},
		{posix.OpenWrite | posix.OpenExcl, unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL},
		{posix.OpenExec, unix.O_RDONLY | fmodeExec},
	} {
		if got := openFlagsOf(c.flags); got != c.want {
			t.Errorf("openFlagsOf(%#x) = %#x, want %#x", c.flags, got, c.want)
		}
	}
}

func TestSetAttr(t *testing.T) {
	in := raw.SetAttrInCommon{
		Size: 7, Atime: uint64(1<<64 - 3), Atimensec: 5, Mtime: 9, Mtimensec: 11,
		Mode: 0o104755, Owner: raw.Owner{Uid: 21, Gid: 22},
	}
	for _, c := range []struct {
		name   string
		want   posix.SetMask
		valid  uint32
		groups bool
	}{
		{"chmod", posix.SetMode, raw.FATTR_MODE, false},
		{"chown", posix.SetOwner | posix.SetGroup | posix.SetKillPriv, raw.FATTR_UID | raw.FATTR_GID | raw.FATTR_KILL_SUIDGID, true},
		{"truncate", posix.SetSize, raw.FATTR_SIZE | raw.FATTR_LOCKOWNER, false},
		{"ftruncate", posix.SetSize, raw.FATTR_SIZE | raw.FATTR_FH, false},
		{"utimensat", posix.SetAtime | posix.SetMtime, raw.FATTR_ATIME | raw.FATTR_MTIME, false},
		{"touch", posix.SetAtimeNow | posix.SetMtimeNow, raw.FATTR_ATIME | raw.FATTR_MTIME | raw.FATTR_ATIME_NOW | raw.FATTR_MTIME_NOW, false},
		{"touch -a", posix.SetAtimeNow, raw.FATTR_ATIME | raw.FATTR_ATIME_NOW, false},
		{"now alone", 0, raw.FATTR_ATIME_NOW | raw.FATTR_MTIME_NOW, false},
		{"ctime", 0, raw.FATTR_CTIME, false},
	} {
		in.Valid = c.valid
		got := setAttrOf(&in)
		want := posix.SetAttr{
			Set: c.want, Mode: 0o4755, UID: 21, GID: 22, Size: 7,
			Atime: posix.Time{Sec: -3, Nsec: 5}, Mtime: posix.Time{Sec: 9, Nsec: 11},
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
		if g := groupsDecide(got); g != c.groups {
			t.Errorf("%s: groups decide is %v, want %v", c.name, g, c.groups)
		}
	}
	if !groupsDecide(posix.SetAttr{Set: posix.SetMode, Mode: 0o2755}) {
		t.Error("a chmod that sets the setgid bit is not decided by groups")
	}
}

func TestCheckSetAttr(t *testing.T) {
	for _, c := range []struct {
		want posix.Errno
		set  posix.SetAttr
	}{
		{0, posix.SetAttr{Set: posix.SetSize, Size: posix.FileSizeMax}},
		{posix.EFBIG, posix.SetAttr{Set: posix.SetSize, Size: posix.FileSizeMax + 1}},
		{0, posix.SetAttr{Set: posix.SetMode, Size: posix.FileSizeMax + 1}},
		{posix.EINVAL, posix.SetAttr{Set: posix.SetAtime, Atime: posix.Time{Nsec: 1e9}}},
		{posix.EINVAL, posix.SetAttr{Set: posix.SetMtime, Mtime: posix.Time{Nsec: 1<<32 - 1}}},
		{0, posix.SetAttr{Set: posix.SetMtimeNow, Mtime: posix.Time{Nsec: 1<<32 - 1}}},
	} {
		if got := checkSetAttr(c.set); got != c.want {
			t.Errorf("checkSetAttr(%+v) = %v, want %v", c.set, got, c.want)
		}
	}
}

func TestSectors(t *testing.T) {
	for alloc, want := range map[uint64]uint64{0: 0, 1: 1, 511: 1, 512: 1, 513: 2, 1<<64 - 1: 1 << 55} {
		if got := sectors(alloc); got != want {
			t.Errorf("sectors(%d) = %d, want %d", alloc, got, want)
		}
	}
}

func TestRdev(t *testing.T) {
	for _, c := range []struct{ dev, major, minor uint32 }{
		{0x0103, 1, 3}, {0xfff00, 0xfff, 0}, {0xfff000ff, 0, 0xfffff}, {0x12345678, 0x456, 0x12378},
	} {
		if ma, mi := rdevMajor(c.dev), rdevMinor(c.dev); ma != c.major || mi != c.minor {
			t.Errorf("%#x is %#x:%#x, want %#x:%#x", c.dev, ma, mi, c.major, c.minor)
		}
	}
}

// TestEntry looks at what stat(2) will show, and at the root's generation,
// which the kernel has as 0.
func TestEntry(t *testing.T) {
	s := newServer(Config{Options: Options{EntryTimeout: -1}, Files: testFiles(t)})
	a := posix.Attr{
		Ino: 5, Gen: 6, Mode: posix.TypeReg | 0o640, Nlink: 2, UID: 7, GID: 8, Rdev: 9, Size: 10, Alloc: 1000,
		Atime: posix.Time{Sec: -1, Nsec: 1}, Mtime: posix.Time{Sec: 2, Nsec: 3}, Ctime: posix.Time{Sec: 4, Nsec: 5},
	}
	var out raw.EntryOut
	q := s.question()
	q.entry(posix.RootIno, "a", a, &out)
	want := raw.EntryOut{NodeId: 5, Generation: 6, AttrValid: 30, Attr: raw.Attr{
		Ino: 5, Size: 10, Blocks: 2, Atime: 1<<64 - 1, Mtime: 2, Ctime: 4, Atimensec: 1, Mtimensec: 3, Ctimensec: 5,
		Mode: 0o100640, Nlink: 2, Owner: raw.Owner{Uid: 7, Gid: 8}, Rdev: 9, Blksize: blockSize,
	}}
	if out != want {
		t.Errorf("entry:\n%+v, want\n%+v", out, want)
	}
	a.Mode |= posix.SetUID // goes behind the kernel's back
	if q.entry(posix.RootIno, "a", a, &out); out.AttrValid != 0 || out.AttrValidNsec != 0 {
		t.Errorf("attributes with a set-id bit are believed: %+v", out)
	}
	a.Ino = posix.RootIno
	if q.entry(posix.RootIno, "a", a, &out); out.Generation != 0 {
		t.Errorf("the root's generation is %d, want 0", out.Generation)
	}
}

func TestConfigFill(t *testing.T) {
	o := Config{}.fill().Options
	if o.MaxWrite != 1<<20 || o.AttrTimeout != 30*time.Second || o.EntryTimeout != 30*time.Second || o.NegativeTimeout != 0 {
		t.Errorf("defaults: %+v", o)
	}
	o = Config{Options: Options{AttrTimeout: -1, ReadAhead: -1}}.fill().Options
	if o.AttrTimeout != 0 || o.ReadAhead != 0 {
		t.Errorf("switched off: %+v", o)
	}
	o = Config{Options: Options{NoDefaultPermissions: true, EntryTimeout: time.Hour, NegativeTimeout: time.Hour}}.fill().Options
	if o.AttrTimeout != 0 || o.EntryTimeout != 0 || o.NegativeTimeout != 0 || !o.NoDev {
		t.Errorf("without default_permissions names are cached, or devices open: %+v", o)
	}
}
