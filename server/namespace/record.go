package namespace

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// The values of a namespace. Each begins with the version of its form, one
// byte; numbers are unsigned LEB128 without needless bytes, times a zigzag
// second and a nanosecond, names and targets run to the end. What decodes
// re-encodes to the same bytes: there is one form of each value.
//
//	inode   1 flags mode nlink uid gid gen size alloc change atime mtime ctime btime
//	        [rdev] [parent] [acl] [default acl] [place]     as flags say, in this order
//	        [quota] [dead]
//	        [n origin…] [target…]                           n origins, ascending
//	entry   1 type:1 ino                                    type is mode >> 12
//	extent  1 len from file slice:16 slice-len              its end is in the key
//	ref     1 count slice-len | 2 count slice-len own       own is of the file's own extents
//	freed   1 slice-len | 2 slice-len second                when it was freed
//	orphan  1
//	reply   1 op:1 seq ino [bytes]                          bytes of a copy
//	list    1 xattr…                                        an ACL as acl.EncodeXattr has it
//	named   1 number                                        of the list
//	files   count                                           likewise links, ino and acl of 'm', and uses; no version
//
// An inode of a plain file takes about 59 bytes, an extent about 30.
const recordVersion = 1

// The flags of an inode. A set bit that this wardfs does not know is refused:
// it means more than can be ignored.
const (
	hasRdev    = 1 << iota
	hasParent  // the directory that its only name is in
	hasACL     // number of an interned access ACL
	hasDefACL  // number of an interned default ACL
	hasTarget  // of a symbolic link
	hasCaps    // there is a security.capability, which a write must remove
	hasOrigins // of a file that shares slices that were written for others
	isTmp      // made without a name, and may be given one
	hasPlace   // the hash of its only name
	hasQuota   // the directory for whose quota it counts
	isCounted  // for its user and group
	hasDead    // bytes that its slices store and it does not cover
	knownFlags = 1<<iota - 1
)

// errRecord is what every decoder answers.
var errRecord = errors.New("namespace: record is damaged")

// inode is the record of one, and its number.
type inode struct {
	posix.Attr
	parent      posix.Ino // where its only name is: see parent.go
	place       uint64    // the hash of that name
	quota       posix.Ino // its tag: see quota.go
	counted     bool      // for its owners
	dead        uint64    // see slice.dead
	target      string    // of a symbolic link
	caps        bool
	acl, defACL uint64 // numbers of interned ACLs; 0 is none
	// origins are the other files that slices of this one were written for,
	// ascending: all that there are, and some that there were.
	origins []posix.Ino
	tmp     bool

	access acl.ACL // the list that acl names; read with the inode, see snap.inode

	was charged // what it counted for when it was read

	dirty bool // to be written when the transaction ends
	gone  bool // deleted by this transaction
}

func (n *inode) flags() (f uint64) {
	for _, b := range []struct {
		set bool
		bit uint64
	}{
		{n.Rdev != 0, hasRdev}, {n.parent != 0, hasParent}, {n.acl != 0, hasACL},
		{n.defACL != 0, hasDefACL}, {n.target != "", hasTarget}, {n.caps, hasCaps},
		{len(n.origins) > 0, hasOrigins}, {n.tmp, isTmp}, {n.place != 0, hasPlace}, {n.quota != 0, hasQuota},
		{n.counted, isCounted}, {n.dead != 0, hasDead},
	} {
		if b.set {
			f |= b.bit
		}
	}
	return f
}

func (n *inode) encode() []byte {
	f := n.flags()
	b := make([]byte, 0, 80+len(n.target))
	b = append(b, recordVersion)
	for _, x := range []uint64{f, uint64(n.Mode), uint64(n.Nlink), uint64(n.UID), uint64(n.GID),
		n.Gen, n.Size, n.Alloc, n.Change} {
		b = binary.AppendUvarint(b, x)
	}
	for _, t := range []posix.Time{n.Atime, n.Mtime, n.Ctime, n.Btime} {
		b = binary.AppendVarint(b, t.Sec)
		b = binary.AppendUvarint(b, uint64(t.Nsec))
	}
	for _, o := range []uint64{uint64(n.Rdev), uint64(n.parent), n.acl, n.defACL, n.place, uint64(n.quota), n.dead} {
		if o != 0 {
			b = binary.AppendUvarint(b, o)
		}
	}
	if len(n.origins) > 0 {
		b = binary.AppendUvarint(b, uint64(len(n.origins)))
		for _, o := range n.origins {
			b = binary.AppendUvarint(b, uint64(o))
		}
	}
	return append(b, n.target...)
}

func decodeInode(ino posix.Ino, b []byte) (*inode, error) {
	d := decoder{b: b}
	d.version()
	n := &inode{}
	n.Ino = ino
	f := d.num()
	n.Mode, n.Nlink = posix.Mode(d.num32()), d.num32()
	n.UID, n.GID = posix.UID(d.num32()), posix.GID(d.num32())
	n.Gen, n.Size, n.Alloc, n.Change = d.num(), d.num(), d.num(), d.num()
	for _, t := range []*posix.Time{&n.Atime, &n.Mtime, &n.Ctime, &n.Btime} {
		*t = d.time()
	}
	if f&hasRdev != 0 {
		n.Rdev = d.num32()
	}
	if f&hasParent != 0 {
		n.parent = posix.Ino(d.num())
	}
	if f&hasACL != 0 {
		n.acl = d.num()
	}
	if f&hasDefACL != 0 {
		n.defACL = d.num()
	}
	if f&hasPlace != 0 {
		n.place = d.num()
	}
	if f&hasQuota != 0 {
		n.quota = posix.Ino(d.num())
	}
	if f&hasDead != 0 {
		n.dead = d.num()
	}
	if f&hasOrigins != 0 {
		n.origins = d.origins()
	}
	if f&hasTarget != 0 {
		n.target = string(d.rest())
	}
	n.caps, n.tmp, n.counted = f&hasCaps != 0, f&isTmp != 0, f&isCounted != 0
	n.NoACL = n.acl == 0 && n.defACL == 0
	if f > knownFlags || f != n.flags() {
		d.bad = true
	}
	return n, d.done("inode", uint64(ino))
}

// entry is what a name names.
type entry struct {
	ino posix.Ino
	typ posix.Mode
}

func (e entry) encode() []byte {
	return binary.AppendUvarint([]byte{recordVersion, byte(e.typ >> 12)}, uint64(e.ino))
}

func decodeEntry(b []byte) (entry, error) {
	d := decoder{b: b}
	d.version()
	t := d.byte()
	if t > 15 {
		d.bad = true
	}
	e := entry{typ: posix.Mode(t) << 12, ino: posix.Ino(d.num())}
	return e, d.done("entry of", uint64(e.ino))
}

// encodeExtent leaves out where e lies: the key says it.
func encodeExtent(e posix.Extent) []byte {
	b := make([]byte, 1, 48)
	b[0] = recordVersion
	b = binary.AppendUvarint(b, uint64(e.Len))
	b = binary.AppendUvarint(b, uint64(e.From))
	b = binary.AppendUvarint(b, uint64(e.Slice.File))
	b = append(b, e.Slice.ID[:]...)
	return binary.AppendUvarint(b, uint64(e.Slice.Len))
}

func decodeExtent(end uint64, b []byte) (posix.Extent, error) {
	d := decoder{b: b}
	d.version()
	e := posix.Extent{Len: d.num32(), From: d.num32()}
	e.Slice.File = posix.Ino(d.num())
	copy(e.Slice.ID[:], d.bytes(len(e.Slice.ID)))
	e.Slice.Len = d.num32()
	e.Off = end - uint64(e.Len)
	if e.Off > end || e.Hole() || e.Check() != 0 {
		d.bad = true
	}
	return e, d.done("extent that ends at", end)
}

// ref is how often a slice is named; freed is one that is not.
type ref struct {
	count uint64
	len   uint32
	own   uint64 // bytes of extents of the file that it was written for
	kept  bool   // own is known: not so in records of version 1
}

const refVersion = 2

func (r ref) encode() []byte {
	b := make([]byte, 1, 16)
	b[0] = recordVersion
	b = binary.AppendUvarint(binary.AppendUvarint(b, r.count), uint64(r.len))
	if r.kept {
		b[0] = refVersion
		b = binary.AppendUvarint(b, r.own)
	}
	return b
}

func decodeRef(b []byte) (ref, error) {
	d := decoder{b: b}
	v := d.byte()
	r := ref{count: d.num(), len: d.num32(), kept: v == refVersion}
	if r.kept {
		r.own = d.num()
	} else if v != recordVersion {
		d.bad = true
	}
	return r, d.done("references", r.count)
}

// dead is what of the slice its own file stores and does not cover. A file
// that has none of it left pays nothing for others who share it, and one of
// before format 6 was not counted.
func (r ref) dead() uint64 {
	if !r.kept || r.own == 0 || r.own >= uint64(r.len) {
		return 0
	}
	return uint64(r.len) - r.own
}

// freed is a slice that nobody names any more.
type freed struct {
	len uint32
	at  uint64 // since when, in seconds since the epoch; 0 in records of version 1
}

func (f freed) encode() []byte {
	if f.at == 0 {
		return binary.AppendUvarint([]byte{recordVersion}, uint64(f.len))
	}
	return binary.AppendUvarint(binary.AppendUvarint([]byte{freedVersion}, uint64(f.len)), f.at)
}

const freedVersion = 2

func decodeFreed(b []byte) (freed, error) {
	d := decoder{b: b}
	v := d.byte()
	f := freed{len: d.num32()}
	if v == freedVersion {
		f.at = d.num()
	}
	if v != recordVersion && (v != freedVersion || f.at == 0) {
		d.bad = true
	}
	return f, d.done("freed slice of length", uint64(f.len))
}

// reply is the last change that a slot made.
type reply struct {
	op    op
	seq   uint64
	ino   posix.Ino // 0: the operation answers no inode
	bytes uint64    // of opCopyRange alone
}

func (r reply) encode() []byte {
	b := binary.AppendUvarint([]byte{recordVersion, byte(r.op)}, r.seq)
	b = binary.AppendUvarint(b, uint64(r.ino))
	if r.op == opCopyRange {
		b = binary.AppendUvarint(b, r.bytes)
	}
	return b
}

func decodeReply(b []byte) (reply, error) {
	d := decoder{b: b}
	d.version()
	r := reply{op: op(d.byte()), seq: d.num(), ino: posix.Ino(d.num())}
	if r.op == opCopyRange {
		r.bytes = d.num()
	}
	return r, d.done("reply", r.seq)
}

// decoder reads a record. What it can't read is zero and makes it bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bytes(n int) []byte {
	if len(d.b) < n {
		d.bad, d.b = true, nil
		return make([]byte, n)
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte { return d.bytes(1)[0] }

func (d *decoder) version() {
	if d.byte() != recordVersion {
		d.bad = true
	}
}

func (d *decoder) rest() []byte { return d.bytes(len(d.b)) }

func (d *decoder) num() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // cut, too big, or longer than need be
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) num32() uint32 {
	x := d.num()
	if x>>32 != 0 {
		d.bad = true
	}
	return uint32(x)
}

// origins is at least one, ascending, at most maxOrigins.
func (d *decoder) origins() []posix.Ino {
	n := d.num()
	if n == 0 || n > maxOrigins {
		d.bad = true
		return nil
	}
	list := make([]posix.Ino, n)
	last := posix.Ino(0)
	for i := range list {
		list[i] = posix.Ino(d.num())
		if list[i] <= last {
			d.bad = true
		}
		last = list[i]
	}
	return list
}

func (d *decoder) time() posix.Time {
	z := d.num() // zigzag, as binary.AppendVarint writes it
	t := posix.Time{Sec: int64(z>>1) ^ -int64(z&1), Nsec: d.num32()}
	if t.Nsec >= 1e9 {
		d.bad = true
	}
	return t
}

// done answers whether all was read and well, else which record was not.
func (d *decoder) done(what string, which uint64) error {
	if d.bad || len(d.b) != 0 {
		return fmt.Errorf("%w: %s %d", errRecord, what, which)
	}
	return nil
}
