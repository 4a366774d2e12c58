package wire

import (
	"context"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

var entryDenials = []denial{
	{"lookup without search", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Lookup(ctx, p.ino["/closed"], "f"))
	}},
	{"lookup of nothing without search", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Lookup(ctx, p.ino["/closed"], "no"))
	}},
	{"lookup of .. without search", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Lookup(ctx, p.ino["/closed"], ".."))
	}},
	{"lookup in a file", posix.ENOTDIR, func(ctx context.Context, p *place) error {
		return first(p.eve.Lookup(ctx, p.ino["/d/read"], "x"))
	}},
	{"readdir without r", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Readdir(ctx, p.ino["/blind"], 0, 0, 10, true))
	}},
	{"readdir through another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Readdir(ctx, p.ino["/d"], p.hand["/d"], 0, 10, true))
	}},
	{"mkdir without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Mkdir(ctx, p.ino["/d"], "x", 0o777, 0))
	}},
	{"mkdir without search", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Mkdir(ctx, p.ino["/closed"], "x", 0o777, 0))
	}},
	{"mknod without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Mknod(ctx, p.ino["/d"], "x", posix.TypeFIFO|0o666, 0, 0))
	}},
	{"mknod of a disk", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Mknod(ctx, p.ino["/tmp"], "x", posix.TypeBlock|0o666, 0, 0x800))
	}},
	{"mknod of memory", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Mknod(ctx, p.ino["/tmp"], "x", posix.TypeChar|0o666, 0, 0x101))
	}},
	{"symlink without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Symlink(ctx, p.ino["/d"], "x", "y"))
	}},
	{"create without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Create(ctx, p.ino["/d"], "x", 0o666, 0, 9, posix.OpenWrite))
	}},
	{"create of what is there and closed", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Create(ctx, p.ino["/d"], "f", 0o666, 0, 9, posix.OpenRead))
	}},
	{"create that cuts what may be read", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Create(ctx, p.ino["/d"], "read", 0o666, 0, 9, posix.OpenRead|posix.OpenTrunc))
	}},
	{"tmpfile without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Tmpfile(ctx, p.ino["/d"], 0o666, 0, 9, posix.OpenWrite))
	}},
	{"link without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Link(ctx, p.ino["/d/read"], p.ino["/d"], "x"))
	}},
	{"link of a directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Link(ctx, p.ino["/tmp/d"], p.ino["/tmp"], "x"))
	}},
	{"link of what one may not write", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Link(ctx, p.ino["/d/read"], p.ino["/tmp"], "x"))
	}},
	{"link of a program that runs as another", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Link(ctx, p.ino["/tmp/run"], p.ino["/tmp"], "x"))
	}},
	{"unlink without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Unlink(ctx, p.ino["/d"], "f")
	}},
	{"unlink without search", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Unlink(ctx, p.ino["/closed"], "f")
	}},
	{"unlink in a sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Unlink(ctx, p.ino["/tmp"], "a")
	}},
	{"unlink of a directory", posix.EISDIR, func(ctx context.Context, p *place) error {
		return p.root.Unlink(ctx, p.ino["/tmp"], "d")
	}},
	{"rmdir without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Rmdir(ctx, p.ino["/d"], "sub")
	}},
	{"rmdir in a sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Rmdir(ctx, p.ino["/tmp"], "d")
	}},
	{"rename out of", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/d"], "read", p.ino["/tmp"], "x", 0)
	}},
	{"rename into", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/tmp"], "mine", p.ino["/d"], "x", 0)
	}},
	{"rename within", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/d"], "read", p.ino["/d"], "x", 0)
	}},
	{"rename of another's in a sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/tmp"], "a", p.ino["/tmp"], "x", 0)
	}},
	{"rename over another's in a sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/tmp"], "mine", p.ino["/tmp"], "a", 0)
	}},
	{"exchange with another's in a sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Rename(ctx, p.ino["/tmp"], "mine", p.ino["/tmp"], "a", posix.RenameExchange)
	}},
	{"rename to below itself", posix.EINVAL, func(ctx context.Context, p *place) error {
		return p.root.Rename(ctx, p.ino["/"], "d", p.ino["/d/sub"], "x", 0)
	}},
	{"rename of the top's ..", posix.EBUSY, func(ctx context.Context, p *place) error {
		return p.root.Rename(ctx, p.ino["/"], "..", p.ino["/tmp"], "x", 0)
	}},
}

var attrDenials = []denial{
	{"chmod by a stranger", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/read"], posix.SetAttr{Set: posix.SetMode, Mode: 0o777}))
	}},
	{"chmod by one of the group", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.bob.Setattr(ctx, p.ino["/d/shared"], posix.SetAttr{Set: posix.SetMode, Mode: 0o666}))
	}},
	{"chmod that takes on suid", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetMode, Mode: 0o4777}))
	}},
	{"chown of another's to oneself", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetOwner, UID: eve.UID}))
	}},
	{"chown of one's own to another", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/mine"], posix.SetAttr{Set: posix.SetOwner, UID: alice.UID}))
	}},
	{"chown of one's own to root", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/mine"], posix.SetAttr{Set: posix.SetOwner}))
	}},
	{"chgrp to a group one is not in", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/mine"], posix.SetAttr{Set: posix.SetGroup, GID: 50}))
	}},
	{"chgrp of another's to an own group", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetGroup, GID: eve.GID}))
	}},
	{"chown with a chmod that is allowed", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/mine"], posix.SetAttr{Set: posix.SetMode | posix.SetOwner, Mode: 0o777, UID: alice.UID}))
	}},
	{"times given, by one who may write", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetAtime | posix.SetMtime}))
	}},
	{"one time now, by one who may write", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetMtimeNow}))
	}},
	{"times now, without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/read"], posix.SetAttr{Set: posix.SetAtimeNow | posix.SetMtimeNow}))
	}},
	{"truncate without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/read"], posix.SetAttr{Set: posix.SetSize}))
	}},
	{"truncate by an owner without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.bob.Setattr(ctx, p.ino["/listed"], posix.SetAttr{Set: posix.SetSize}))
	}},
	{"truncate with a chmod that is not allowed", posix.EPERM, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/tmp/a"], posix.SetAttr{Set: posix.SetSize | posix.SetMode, Mode: 0o777}))
	}},
	{"set-id bits cleared without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/run"], posix.SetAttr{Set: posix.SetKillPriv}))
	}},
	{"access, r", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Access(ctx, p.ino["/d/f"], posix.MayRead)
	}},
	{"access, w", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Access(ctx, p.ino["/d/read"], posix.MayWrite)
	}},
	{"access, x, of what nobody may run", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.root.Access(ctx, p.ino["/d/read"], posix.MayExec)
	}},
	{"access by name in an ACL", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Access(ctx, p.ino["/listed"], posix.MayRead)
	}},
}

var fileDenials = []denial{
	{"open to read", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/f"], 9, posix.OpenRead))
	}},
	{"open to write", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/read"], 9, posix.OpenWrite))
	}},
	{"open to read and write", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/read"], 9, posix.OpenRead|posix.OpenWrite))
	}},
	{"open to cut", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/read"], 9, posix.OpenRead|posix.OpenTrunc))
	}},
	{"open to run", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/read"], 9, posix.OpenExec))
	}},
	{"open of a directory to read", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/blind"], 9, posix.OpenRead|posix.OpenDir))
	}},
	{"open of a directory to write", posix.EISDIR, func(ctx context.Context, p *place) error {
		return first(p.root.Open(ctx, p.ino["/d"], 9, posix.OpenWrite))
	}},
	{"open whom an ACL names to keep out", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/listed"], 9, posix.OpenRead))
	}},
	{"open again as more than it was", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/tmp/mine"], eveReads, posix.OpenWrite))
	}},
	{"open as nothing", posix.EINVAL, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/f"], 9, 0))
	}},
	{"open under no handle", posix.EINVAL, func(ctx context.Context, p *place) error {
		return first(p.eve.Open(ctx, p.ino["/d/read"], 0, posix.OpenRead))
	}},
	{"layout of a handle that is another session's", posix.EBADF, func(ctx context.Context, p *place) error {
		return layout(p.eve.Layout(ctx, p.hand["/d/f"], 0, 1))
	}},
	{"truncate through a handle that only reads", posix.EINVAL, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/read"], posix.SetAttr{Set: posix.SetSize, Handle: eveReads}))
	}},
	{"truncate through another file's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/f"], posix.SetAttr{Set: posix.SetSize, Handle: eveWrites}))
	}},
	{"truncate through another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Setattr(ctx, p.ino["/d/f"], posix.SetAttr{Set: posix.SetSize, Handle: p.hand["/d/f"]}))
	}},
}

var handleDenials = []denial{
	{"commit through a handle that only reads", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Commit(ctx, eveReads, posix.Commit{Extents: []posix.Extent{{Len: 1}}}))
	}},
	{"commit through another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Commit(ctx, p.hand["/d/f"], posix.Commit{Extents: []posix.Extent{{Len: 1}}}))
	}},
	{"allocate through a handle that only reads", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Allocate(ctx, eveReads, posix.AllocPunchHole|posix.AllocKeepSize, 0, 1))
	}},
	{"allocate through another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return first(p.eve.Allocate(ctx, p.hand["/d/f"], 0, 0, 100))
	}},
	{"copy out of a handle that only writes", posix.EBADF, func(ctx context.Context, p *place) error {
		return copied(p.eve.CopyRange(ctx, eveWrites, 0, eveWrites, 100, 1))
	}},
	{"copy into a handle that only reads", posix.EBADF, func(ctx context.Context, p *place) error {
		return copied(p.eve.CopyRange(ctx, eveReads, 0, eveReads, 100, 1))
	}},
	{"copy out of another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return copied(p.eve.CopyRange(ctx, p.hand["/d/f"], 0, eveWrites, 0, 1))
	}},
	{"copy into another session's handle", posix.EBADF, func(ctx context.Context, p *place) error {
		return copied(p.eve.CopyRange(ctx, eveReads, 0, p.hand["/d/f"], 0, 1))
	}},
	{"lock of what is not open", posix.EBADF, func(ctx context.Context, p *place) error {
		return p.eve.(posix.Locks).Setlk(ctx, p.ino["/d/f"], posix.Lock{Type: posix.LockWrite, Owner: 1}, false)
	}},
}

var xattrDenials = []denial{
	{"get of user. without r", posix.EACCES, func(ctx context.Context, p *place) error {
		return first(p.eve.Getxattr(ctx, p.ino["/d/f"], "user.secret"))
	}},
	{"set of user. without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/d/read"], "user.a", nil, 0)
	}},
	{"remove of user. without w", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.eve.Removexattr(ctx, p.ino["/d/f"], "user.secret")
	}},
	{"set of user. on a link", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.root.Setxattr(ctx, p.ino["/d/link"], "user.a", nil, 0)
	}},
	{"set of user. on another's sticky directory", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp"], "user.a", nil, 0)
	}},
	{"get of trusted.", posix.ENODATA, func(ctx context.Context, p *place) error {
		return first(p.eve.Getxattr(ctx, p.ino["/d/read"], "trusted.t"))
	}},
	{"set of trusted. by an owner", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], "trusted.t", nil, 0)
	}},
	{"remove of trusted.", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Removexattr(ctx, p.ino["/d/read"], "trusted.t")
	}},
	{"set of security. by an owner", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], "security.a", nil, 0)
	}},
	{"capabilities given by an owner", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], "security.capability", make([]byte, 20), 0)
	}},
	{"set of system.", posix.EOPNOTSUPP, func(ctx context.Context, p *place) error {
		return p.root.Setxattr(ctx, p.ino["/d/read"], "system.a", nil, 0)
	}},
	{"set of a class that is none", posix.EOPNOTSUPP, func(ctx context.Context, p *place) error {
		return p.root.Setxattr(ctx, p.ino["/d/read"], "ward.a", nil, 0)
	}},
	{"setfacl by a stranger", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/a"], acl.XattrAccess, list(eve.UID, 7), 0)
	}},
	{"setfacl by one of the group", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.bob.Setxattr(ctx, p.ino["/d/shared"], acl.XattrAccess, list(bob.UID, 7), 0)
	}},
	{"setfacl by whom it names", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/listed"], acl.XattrAccess, list(eve.UID, 7), 0)
	}},
	{"setfacl -b by whom it names", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Removexattr(ctx, p.ino["/listed"], acl.XattrAccess)
	}},
	{"setfacl of a default ACL by a stranger", posix.EPERM, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp"], acl.XattrDefault, list(eve.UID, 7), 0)
	}},
	{"a default ACL on a file", posix.EACCES, func(ctx context.Context, p *place) error {
		return p.root.Setxattr(ctx, p.ino["/d/f"], acl.XattrDefault, list(eve.UID, 7), 0)
	}},
	{"an ACL on a link", posix.EOPNOTSUPP, func(ctx context.Context, p *place) error {
		return p.root.Setxattr(ctx, p.ino["/d/link"], acl.XattrAccess, list(eve.UID, 7), 0)
	}},
	{"an ACL without its mask", posix.EINVAL, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], acl.XattrAccess, append(list(1, 7)[:28:28], list(1, 7)[36:]...), 0)
	}},
	{"an ACL of 10,000 entries", posix.E2BIG, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], acl.XattrAccess, tooMany(), 0)
	}},
	{"an ACL of half an entry", posix.EINVAL, func(ctx context.Context, p *place) error {
		return p.eve.Setxattr(ctx, p.ino["/tmp/mine"], acl.XattrAccess, list(1, 7)[:15], 0)
	}},
}

// layout and copied drop what these answered.
func layout(_ []posix.Extent, _ uint64, err error) error { return err }

func copied(_ uint64, _ posix.Attr, err error) error { return err }

// tooMany is a list of 10,000 users that would be valid.
func tooMany() []byte {
	l := acl.ACL{{Tag: acl.UserObj, Perm: 6}}
	for i := range uint32(10000 - 4) {
		l = append(l, acl.Entry{Tag: acl.User, ID: i, Perm: 7})
	}
	return acl.EncodeXattr(append(l, acl.Entry{Tag: acl.GroupObj}, acl.Entry{Tag: acl.Mask}, acl.Entry{Tag: acl.Other}))
}
