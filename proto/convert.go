package proto

import "github.com/wardfs/wardfs/posix"

// The messages that mirror posix's types, there and back. What comes from the
// wire is any client's: a From function takes every value and the tree judges.

func ToTime(t posix.Time) *Time { return &Time{Sec: t.Sec, Nsec: t.Nsec} }

func FromTime(t *Time) posix.Time { return posix.Time{Sec: t.GetSec(), Nsec: t.GetNsec()} }

func ToCred(c posix.Cred) *Cred {
	m := &Cred{Uid: uint32(c.UID), Gid: uint32(c.GID), Super: c.Super}
	for _, g := range c.Groups {
		m.Groups = append(m.Groups, uint32(g))
	}
	return m
}

func FromCred(m *Cred) posix.Cred {
	c := posix.Cred{UID: posix.UID(m.GetUid()), GID: posix.GID(m.GetGid()), Super: m.GetSuper()}
	for _, g := range m.GetGroups() {
		c.Groups = append(c.Groups, posix.GID(g))
	}
	return c
}

func ToAttr(a posix.Attr) *Attr {
	return &Attr{
		Ino: uint64(a.Ino), Gen: a.Gen, Mode: uint32(a.Mode), Nlink: a.Nlink,
		Uid: uint32(a.UID), Gid: uint32(a.GID), Rdev: a.Rdev, Size: a.Size, Alloc: a.Alloc,
		Atime: ToTime(a.Atime), Mtime: ToTime(a.Mtime), Ctime: ToTime(a.Ctime), Btime: ToTime(a.Btime),
		Change: a.Change, NoAcl: a.NoACL,
	}
}

func FromAttr(m *Attr) posix.Attr {
	return posix.Attr{
		Ino: posix.Ino(m.GetIno()), Gen: m.GetGen(), Mode: posix.Mode(m.GetMode()), Nlink: m.GetNlink(),
		UID: posix.UID(m.GetUid()), GID: posix.GID(m.GetGid()), Rdev: m.GetRdev(), Size: m.GetSize(), Alloc: m.GetAlloc(),
		Atime: FromTime(m.GetAtime()), Mtime: FromTime(m.GetMtime()), Ctime: FromTime(m.GetCtime()), Btime: FromTime(m.GetBtime()),
		Change: m.GetChange(), NoACL: m.GetNoAcl(),
	}
}

func ToSetattr(ino posix.Ino, s posix.SetAttr) *Setattr {
	return &Setattr{
		Ino: uint64(ino), Set: uint32(s.Set), Mode: uint32(s.Mode), Uid: uint32(s.UID), Gid: uint32(s.GID),
		Size: s.Size, Atime: ToTime(s.Atime), Mtime: ToTime(s.Mtime), Handle: uint64(s.Handle),
	}
}

func FromSetattr(m *Setattr) (posix.Ino, posix.SetAttr) {
	return posix.Ino(m.GetIno()), posix.SetAttr{
		Set: posix.SetMask(m.GetSet()), Mode: posix.Mode(m.GetMode()), UID: posix.UID(m.GetUid()), GID: posix.GID(m.GetGid()),
		Size: m.GetSize(), Atime: FromTime(m.GetAtime()), Mtime: FromTime(m.GetMtime()), Handle: posix.Handle(m.GetHandle()),
	}
}

func ToExtents(es []posix.Extent) []*Extent {
	out := make([]*Extent, len(es))
	for i, e := range es {
		m := &Extent{Off: e.Off, Len: e.Len, From: e.From}
		if !e.Hole() {
			m.File, m.SliceLen = uint64(e.Slice.File), e.Slice.Len
			m.Slice = append([]byte(nil), e.Slice.ID[:]...)
		}
		out[i] = m
	}
	return out
}

// FromExtents answers EINVAL for a slice id that is not sixteen bytes, or zero.
func FromExtents(ms []*Extent) ([]posix.Extent, posix.Errno) {
	out := make([]posix.Extent, len(ms))
	for i, m := range ms {
		out[i] = posix.Extent{Off: m.GetOff(), Len: m.GetLen(), From: m.GetFrom()}
		if len(m.GetSlice()) == 0 {
			continue
		}
		id, errno := FromSlice(m.GetSlice())
		if errno != 0 {
			return nil, errno
		}
		out[i].Slice = posix.Slice{File: posix.Ino(m.GetFile()), ID: id, Len: m.GetSliceLen()}
	}
	return out, 0
}

// FromSlice answers EINVAL for anything but sixteen bytes that are not all zero.
func FromSlice(b []byte) (posix.SliceID, posix.Errno) {
	var id posix.SliceID
	if len(b) != len(id) {
		return id, posix.EINVAL
	}
	copy(id[:], b)
	if id == (posix.SliceID{}) {
		return id, posix.EINVAL
	}
	return id, 0
}

func ToOpened(o posix.Opened) *Opened {
	m := &Opened{Attr: ToAttr(o.Attr), Extents: ToExtents(o.Extents), LayoutEnd: o.LayoutEnd, Capability: o.Capability}
	for _, b := range o.Blocks {
		m.Blocks = append(m.Blocks, &Block{File: uint64(b.ID.File), Slice: append([]byte(nil), b.ID.Slice[:]...), Index: b.ID.Index, Data: b.Data})
	}
	return m
}

func FromOpened(m *Opened) (posix.Opened, posix.Errno) {
	es, errno := FromExtents(m.GetExtents())
	o := posix.Opened{Attr: FromAttr(m.GetAttr()), Extents: es, LayoutEnd: m.GetLayoutEnd(), Capability: m.GetCapability()}
	for _, b := range m.GetBlocks() {
		id, bad := FromSlice(b.GetSlice())
		if bad != 0 {
			return o, bad
		}
		o.Blocks = append(o.Blocks, posix.Block{ID: posix.BlockID{File: posix.Ino(b.GetFile()), Slice: id, Index: b.GetIndex()}, Data: b.GetData()})
	}
	return o, errno
}

func ToCommit(h posix.Handle, c posix.Commit) *Commit {
	m := &Commit{Handle: uint64(h), Extents: ToExtents(c.Extents), Mtime: ToTime(c.Mtime), Append: c.Append}
	for _, b := range c.Inline {
		m.Inline = append(m.Inline, &Inline{Slice: append([]byte(nil), b.Slice[:]...), Data: b.Data})
	}
	return m
}

func FromCommit(m *Commit) (posix.Handle, posix.Commit, posix.Errno) {
	es, errno := FromExtents(m.GetExtents())
	c := posix.Commit{Extents: es, Mtime: FromTime(m.GetMtime()), Append: m.GetAppend()}
	for _, b := range m.GetInline() {
		id, bad := FromSlice(b.GetSlice())
		if bad != 0 {
			errno = bad
		}
		c.Inline = append(c.Inline, posix.Inline{Slice: id, Data: b.GetData()})
	}
	return posix.Handle(m.GetHandle()), c, errno
}

func ToDirents(ds []posix.Dirent) []*Dirent {
	out := make([]*Dirent, len(ds))
	for i, d := range ds {
		out[i] = &Dirent{Name: []byte(d.Name), Next: uint64(d.Next), Attr: ToAttr(d.Attr)}
	}
	return out
}

func FromDirents(ms []*Dirent) []posix.Dirent {
	out := make([]posix.Dirent, len(ms))
	for i, m := range ms {
		out[i] = posix.Dirent{Name: string(m.GetName()), Next: posix.Cookie(m.GetNext()), Attr: FromAttr(m.GetAttr())}
	}
	return out
}

func ToLock(l posix.Lock) *Lock {
	return &Lock{Kind: uint32(l.Kind), Type: uint32(l.Type), Start: l.Start, End: l.End, Owner: l.Owner, Pid: l.PID}
}

// FromLock answers EINVAL for a kind and a type that are none.
func FromLock(m *Lock) (posix.Lock, posix.Errno) {
	if m.GetKind() > uint32(posix.LockFlock) || m.GetType() < uint32(posix.LockUnlock) || m.GetType() > uint32(posix.LockWrite) {
		return posix.Lock{}, posix.EINVAL
	}
	return posix.Lock{
		Kind: posix.LockKind(m.GetKind()), Type: posix.LockType(m.GetType()),
		Start: m.GetStart(), End: m.GetEnd(), Owner: m.GetOwner(), PID: m.GetPid(),
	}, 0
}

func ToStatfs(s posix.Statfs) *StatfsReply {
	return &StatfsReply{Bytes: s.Bytes, FreeBytes: s.FreeBytes, AvailBytes: s.AvailBytes, Files: s.Files, FreeFiles: s.FreeFiles}
}

func FromStatfs(m *StatfsReply) posix.Statfs {
	return posix.Statfs{Bytes: m.GetBytes(), FreeBytes: m.GetFreeBytes(), AvailBytes: m.GetAvailBytes(), Files: m.GetFiles(), FreeFiles: m.GetFreeFiles()}
}

// BlockID answers EINVAL for a header whose slice is no slice.
func (h *BlockHeader) BlockID() (posix.BlockID, posix.Errno) {
	id, errno := FromSlice(h.GetSlice())
	return posix.BlockID{File: posix.Ino(h.GetFile()), Slice: id, Index: h.GetIndex()}, errno
}

// MaxIdents is how many names or ids one Idents may have.
const MaxIdents = 4096

// MaxCloses is how many more handles one Close may name.
const MaxCloses = 4096

// ToNames and FromNames carry names, which need not be UTF-8.
func ToNames(names []string) [][]byte {
	out := make([][]byte, len(names))
	for i, n := range names {
		out[i] = []byte(n)
	}
	return out
}

func FromNames(names [][]byte) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}
