package fuse

import (
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// attrTo writes a as struct fuse_attr has it.
func attrTo(a posix.Attr, out *raw.Attr) {
	*out = raw.Attr{
		Ino:       uint64(a.Ino),
		Size:      a.Size,
		Blocks:    sectors(a.Alloc),
		Atime:     uint64(a.Atime.Sec),
		Mtime:     uint64(a.Mtime.Sec),
		Ctime:     uint64(a.Ctime.Sec),
		Atimensec: a.Atime.Nsec,
		Mtimensec: a.Mtime.Nsec,
		Ctimensec: a.Ctime.Nsec,
		Mode:      uint32(a.Mode),
		Nlink:     a.Nlink,
		Owner:     raw.Owner{Uid: uint32(a.UID), Gid: uint32(a.GID)},
		Rdev:      a.Rdev,
		Blksize:   blockSize,
	}
}

// sectors is st_blocks: units of 512 bytes, rounded up.
func sectors(alloc uint64) uint64 { return alloc/512 + (alloc%512+511)/512 }

// statxTo writes a as struct fuse_statx has it. The device of the filesystem
// itself is the kernel's to fill in.
func statxTo(a posix.Attr, out *raw.Statx) {
	*out = raw.Statx{
		Mask:      unix.STATX_BASIC_STATS | unix.STATX_BTIME,
		Blksize:   blockSize,
		Nlink:     a.Nlink,
		Uid:       uint32(a.UID),
		Gid:       uint32(a.GID),
		Mode:      uint16(a.Mode),
		Ino:       uint64(a.Ino),
		Size:      a.Size,
		Blocks:    sectors(a.Alloc),
		Atime:     sxTime(a.Atime),
		Btime:     sxTime(a.Btime),
		Ctime:     sxTime(a.Ctime),
		Mtime:     sxTime(a.Mtime),
		RdevMajor: rdevMajor(a.Rdev),
		RdevMinor: rdevMinor(a.Rdev),
	}
}

func sxTime(t posix.Time) raw.SxTime { return raw.SxTime{Sec: uint64(t.Sec), Nsec: t.Nsec} }

// The kernel's new_encode_dev: minor bits 0-7, major bits 8-19, minor bits
// 8-19 above them.
func rdevMajor(dev uint32) uint32 { return dev & 0xfff00 >> 8 }
func rdevMinor(dev uint32) uint32 { return dev&0xff | dev>>12&0xfff00 }

// setAttrOf reads struct fuse_setattr_in. The handle is left to the caller.
// FATTR_CTIME comes only with the write-back cache, which is not asked for.
func setAttrOf(in *raw.SetAttrInCommon) posix.SetAttr {
	var out posix.SetAttr
	for _, x := range []struct {
		bit  uint32
		mask posix.SetMask
	}{
		{raw.FATTR_MODE, posix.SetMode},
		{raw.FATTR_UID, posix.SetOwner},
		{raw.FATTR_GID, posix.SetGroup},
		{raw.FATTR_SIZE, posix.SetSize},
		{raw.FATTR_KILL_SUIDGID, posix.SetKillPriv},
	} {
		if in.Valid&x.bit != 0 {
			out.Set |= x.mask
		}
	}
	out.Set |= timeMask(in.Valid, raw.FATTR_ATIME, raw.FATTR_ATIME_NOW, posix.SetAtime, posix.SetAtimeNow)
	out.Set |= timeMask(in.Valid, raw.FATTR_MTIME, raw.FATTR_MTIME_NOW, posix.SetMtime, posix.SetMtimeNow)
	out.Mode = posix.Mode(in.Mode).Perm()
	out.UID, out.GID = posix.UID(in.Uid), posix.GID(in.Gid)
	out.Size = in.Size
	out.Atime = posix.Time{Sec: int64(in.Atime), Nsec: in.Atimensec}
	out.Mtime = posix.Time{Sec: int64(in.Mtime), Nsec: in.Mtimensec}
	return out
}

// timeMask is what one time of a request asks for: NOW qualifies the time's
// own bit and does not stand without it.
func timeMask(valid, bit, nowBit uint32, set, now posix.SetMask) posix.SetMask {
	switch {
	case valid&bit == 0:
		return 0
	case valid&nowBit != 0:
		return now
	}
	return set
}

// checkSetAttr refuses what no kernel sends and no server should see.
func checkSetAttr(a posix.SetAttr) posix.Errno {
	switch {
	case a.Set&posix.SetSize != 0 && a.Size > posix.FileSizeMax:
		return posix.EFBIG
	case a.Set&posix.SetAtime != 0 && a.Atime.Nsec >= uint32(time.Second),
		a.Set&posix.SetMtime != 0 && a.Mtime.Nsec >= uint32(time.Second):
		return posix.EINVAL
	}
	return 0
}

// groupsDecide reports whether what a setattr does, and not only whether it
// may, depends on the caller's groups: a chgrp asks for membership, and chmod
// drops S_ISGID for a stranger to the group.
func groupsDecide(a posix.SetAttr) bool {
	return a.Set&(posix.SetOwner|posix.SetGroup|posix.SetKillPriv) != 0 ||
		a.Set&posix.SetMode != 0 && a.Mode&posix.SetGID != 0
}

// statfsTo writes st as struct fuse_kstatfs has it.
func statfsTo(st posix.Statfs, out *raw.StatfsOut) {
	*out = raw.StatfsOut{
		Blocks:  st.Bytes / statfsUnit,
		Bfree:   st.FreeBytes / statfsUnit,
		Bavail:  st.AvailBytes / statfsUnit,
		Files:   st.Files,
		Ffree:   st.FreeFiles,
		Bsize:   statfsUnit,
		Frsize:  statfsUnit,
		NameLen: posix.NameMax,
	}
}

// openFlagsOf reads the flags of open(2). The access mode 3 of Linux asks for
// both rights and gives neither; it is opened as both.
func openFlagsOf(flags uint32) posix.OpenFlags {
	var out posix.OpenFlags
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		out = posix.OpenRead
	case unix.O_WRONLY:
		out = posix.OpenWrite
	default:
		out = posix.OpenRead | posix.OpenWrite
	}
	if flags&fmodeExec != 0 {
		out = out&^posix.OpenRead | posix.OpenExec
	}
	if flags&unix.O_TRUNC != 0 {
		out |= posix.OpenTrunc
	}
	if flags&unix.O_EXCL != 0 {
		out |= posix.OpenExcl
	}
	return out
}

// fmodeExec is __FMODE_EXEC of linux/fs.h: the kernel opens a program to run
// it, which a caller without the right to read may have done.
const fmodeExec = 0x20

// synced are the flags under which a write answers only when it is durable:
// O_DSYNC is a part of O_SYNC.
const synced = unix.O_DSYNC
