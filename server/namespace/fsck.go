package namespace

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// Fsck reads the whole namespace in one snapshot and answers what is wrong
// with it, one sentence each; none is well. It holds all inodes but no entries
// in memory. What it checks: every record decodes; names name inodes, of the
// type they say, in the place of their hash; link counts, sizes of directories,
// ".." and what inodes know of where they are named agree with the names;
// orphans are what has no name; extents lie in
// their files without overlap and Alloc is their sum; slices are counted as
// often as they are named, and queued only when they are not; ACLs are stored
// once each, counted as often as inodes have them, and agree with the modes.
func (t *Tree) Fsck(ctx context.Context) ([]string, error) {
	c := checker{
		t:      t,
		quotas: newQuotaCheck(),
		nodes:  map[posix.Ino]*checked{},
		refs:   map[sliceName]*ref{},
		freeds: map[sliceName]uint32{},
		lists:  map[uint64]acl.ACL{},
		uses:   map[string]uint64{},
		sums:   map[string]uint64{},
	}
	err := t.eng.View(ctx, func(r engine.Reader) error {
		for _, kind := range kinds {
			err := r.Scan([]byte{kind}, []byte{kind + 1}, func(k, v []byte) bool {
				c.key(k, v)
				return ctx.Err() == nil
			})
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
		return r.Scan(nil, nil, c.strange)
	})
	if err != nil {
		return nil, wrap("fsck", err)
	}
	c.sum()
	return c.found, nil
}

// kinds are all there are, in the order in which they can be checked: names
// after the inodes that they name, slices after extents, ACLs before who has
// them.
var kinds = []byte{keyMeta, keyList, keyListSum, keyQuota, keyUsage, keyRetag, keyInode, keyListUses, keyEntry, keyLink, keyXattr, keyExtent, keyRef, keyFreed, keyInline, keyOrphan, keyReply, keyFiles}

// checked is an inode and what the other keys say of it.
type checked struct {
	*inode
	names, subdirs uint32
	entries        uint64
	up             posix.Ino // the directory that names it, of a directory
	tagged         bool      // it may have its tag where one of its names is
	places         uint64    // a sum over where it is named, less one over where it says so
	alloc, end     uint64    // of extents: bytes, and the end of the last
	buried         uint64    // bytes of its slices that it does not cover
	caps, orphan   bool
}

type checker struct {
	quotas quotaCheck
	t      *Tree
	found  []string
	nodes  map[posix.Ino]*checked
	refs   map[sliceName]*ref   // counted from extents; what 'r' says is subtracted
	freeds map[sliceName]uint32 // the length of what waits to be forgotten
	lists  map[uint64]acl.ACL   // by number
	uses   map[string]uint64    // by key; what 'u' says is taken away
	sums   map[string]uint64    // numbers by key of 'h'; what is named is taken away
	bound  uint64
	files  [fileStripes]uint64
}

func (c *checker) bad(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// key looks at one record. Kinds come in the order that Fsck gives them.
func (c *checker) key(k, v []byte) {
	least := map[byte]int{keyMeta: 2, keyInode: 9, keyEntry: entryName + 1, keyLink: 25, keyXattr: 10, keyExtent: 17,
		keyRef: 25, keyFreed: 25, keyInline: 25, keyOrphan: 9, keyReply: 13, keyFiles: 2, keyList: 9, keyListSum: 33, keyListUses: 10,
		keyQuota: 10, keyUsage: 11, keyRetag: 9}
	if len(k) < least[k[0]] {
		c.bad("key %q is cut short", k)
		return
	}
	switch k[0] {
	case keyMeta:
		if string(k) == string(metaIno) {
			c.bound, _ = binary.Uvarint(v)
		}
		if string(k) == string(metaOwners) {
			c.quotas.owners = string(v)
		}
	case keyInode:
		c.inode(posix.Ino(first(k)), v)
	case keyEntry:
		c.entry(posix.Ino(first(k)), second(k), string(k[entryName:]), v)
	case keyQuota:
		c.quotaRule(k, v)
	case keyUsage:
		c.usage(k, v)
	case keyRetag:
		c.retag(k, v)
	case keyLink:
		c.link(posix.Ino(first(k)), posix.Ino(second(k)), third(k), v)
	case keyXattr:
		c.xattr(posix.Ino(first(k)), string(k[9:]))
	case keyExtent:
		c.extent(posix.Ino(first(k)), second(k), v)
	case keyRef:
		c.ref(nameIn(k), v)
	case keyFreed:
		c.freed(nameIn(k), v)
	case keyList:
		c.list(first(k), v)
	case keyListSum:
		c.listSum(k, v)
	case keyListUses:
		c.listUses(k, v)
	case keyInline:
		c.inline(nameIn(k), v)
	case keyOrphan:
		c.orphan(posix.Ino(first(k)))
	case keyReply:
		if _, err := decodeReply(v); err != nil {
			c.bad("session %d: %v", first(k), err)
		}
	case keyFiles:
		n, _ := binary.Uvarint(v)
		if is := c.files[k[1]%fileStripes]; n != is {
			c.bad("there are %d inodes of stripe %d, counted %d", is, k[1], n)
		}
		c.files[k[1]%fileStripes] = 0 // seen
	}
}

func nameIn(key []byte) (n sliceName) {
	n.file = posix.Ino(first(key))
	copy(n.id[:], key[9:])
	return n
}

// strange finds keys of no known kind.
func (c *checker) strange(k, _ []byte) bool {
	if !slices.Contains(kinds, k[0]) {
		c.bad("key %q is of no known kind", k)
	}
	return true
}

func (c *checker) inode(ino posix.Ino, v []byte) {
	n, err := decodeInode(ino, v)
	if err != nil {
		c.bad("%v", err)
		return
	}
	c.nodes[ino] = &checked{inode: n}
	if n.place != 0 {
		c.nodes[ino].places -= mix(n.parent, n.place)
	}
	c.files[ino%fileStripes]++
	c.quotas.inode(n)
	if uint64(ino) >= c.bound {
		c.bad("inode %d is not below the numbers given away, %d", ino, c.bound)
	}
	if n.Mode.IsDir() && n.parent == 0 || n.Mode.IsLink() == (n.target == "") {
		c.bad("inode %d of mode %o has parent %d and target %q", ino, n.Mode, n.parent, n.target)
	}
	c.acls(n)
}

func (c *checker) entry(dir posix.Ino, hash uint64, name string, v []byte) {
	what := fmt.Sprintf("entry %q of directory %d", name, dir)
	e, err := decodeEntry(v)
	if err != nil {
		c.bad("%s: %v", what, err)
		return
	}
	if hash != c.t.hash(name) || posix.CheckName(name) != 0 {
		c.bad("%s is in the wrong place", what)
	}
	d, n := c.nodes[dir], c.nodes[e.ino]
	switch {
	case d == nil || !d.Mode.IsDir():
		c.bad("%s is in no directory", what)
		return
	case n == nil:
		c.bad("%s names inode %d, which is not there", what, e.ino)
		return
	case n.Mode.Type() != e.typ:
		c.bad("%s says type %o, inode %d has %o", what, e.typ, e.ino, n.Mode.Type())
	}
	d.entries++
	n.names++
	n.places += mix(dir, hash)
	c.tagged(d, n)
	if n.Mode.IsDir() {
		d.subdirs++
		n.up = dir
	}
}

// mix makes one number of where a name is, so that sums of them differ where
// the places do.
func mix(dir posix.Ino, hash uint64) uint64 {
	x := (uint64(dir) + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>29 ^ hash) * 0xbf58476d1ce4e5b9
	return x ^ x>>32
}

func (c *checker) link(ino, dir posix.Ino, hash uint64, v []byte) {
	names, n := binary.Uvarint(v)
	switch node := c.nodes[ino]; {
	case n != len(v) || names == 0:
		c.bad("link of inode %d in directory %d is damaged", ino, dir)
	case node == nil:
		c.bad("link of inode %d, which is not there", ino)
	default:
		node.places -= names * mix(dir, hash)
		if node.Nlink < 2 || node.Mode.IsDir() {
			c.bad("link of inode %d, which has its place in its record", ino)
		}
	}
}

func (c *checker) xattr(ino posix.Ino, name string) {
	n := c.nodes[ino]
	if n == nil {
		c.bad("xattr %q of inode %d, which is not there", name, ino)
		return
	}
	n.caps = n.caps || name == xattrCaps
}

func (c *checker) extent(ino posix.Ino, end uint64, v []byte) {
	e, err := decodeExtent(end, v)
	if err != nil {
		c.bad("inode %d: %v", ino, err)
		return
	}
	r := c.refs[nameOf(e.Slice)]
	if r == nil {
		r = &ref{len: e.Slice.Len, kept: true}
		c.refs[nameOf(e.Slice)] = r
	}
	if e.Slice.File == ino {
		r.own += uint64(e.Len)
	}
	if r.count++; r.len != e.Slice.Len {
		c.bad("slice %s has %d bytes and %d", e.Slice.ID, r.len, e.Slice.Len)
	}
	n := c.nodes[ino]
	if n == nil || !n.Mode.IsReg() {
		c.bad("extent [%d, %d) of inode %d, which is no file", e.Off, end, ino)
		return
	}
	if _, known := slices.BinarySearch(n.origins, e.Slice.File); e.Slice.File != ino && !known {
		c.bad("extent [%d, %d) of inode %d is of a slice of file %d, which is no origin of it", e.Off, end, ino, e.Slice.File)
	}
	if e.Off < n.end {
		c.bad("extent [%d, %d) of inode %d begins before %d, where another ends", e.Off, end, ino, n.end)
	}
	if end > n.Size {
		c.bad("extent [%d, %d) of inode %d ends after its size, %d", e.Off, end, ino, n.Size)
	}
	n.end = end
	n.alloc += uint64(e.Len)
}

func (c *checker) ref(s sliceName, v []byte) {
	r, err := decodeRef(v)
	if err != nil {
		c.bad("slice %s: %v", s.id, err)
		return
	}
	is := c.refs[s]
	if is == nil {
		c.bad("slice %s of file %d is counted %d times and named by none", s.id, s.file, r.count)
		return
	}
	if n := c.nodes[s.file]; n != nil {
		n.buried += r.dead()
	}
	if !r.kept {
		is.own, is.kept = 0, false
	}
	if *is != r {
		c.bad("slice %s of file %d is counted %d times with %d bytes, %d its own, and named %d times with %d bytes, %d its own",
			s.id, s.file, r.count, r.len, r.own, is.count, is.len, is.own)
	}
	is.count = 0 // seen
}

func (c *checker) freed(s sliceName, v []byte) {
	f, err := decodeFreed(v)
	if err != nil {
		c.bad("slice %s: %v", s.id, err)
	}
	c.freeds[s] = f.len
	if c.refs[s] != nil {
		c.bad("slice %s of file %d is freed and named", s.id, s.file)
	}
}

func (c *checker) inline(s sliceName, v []byte) {
	length, known := c.freeds[s]
	if r := c.refs[s]; r != nil {
		length, known = r.len, true
	}
	if !known {
		c.bad("the block of slice %s of file %d lies here, and nothing names it", s.id, s.file)
	} else if uint64(len(v)) < uint64(length) || len(v) > posix.InlineMax {
		c.bad("the block of slice %s of file %d has %d bytes, the slice %d", s.id, s.file, len(v), length)
	}
}

func (c *checker) orphan(ino posix.Ino) {
	if n := c.nodes[ino]; n != nil {
		n.orphan = true
	} else {
		c.bad("orphan %d is not there", ino)
	}
}

// sum compares what inodes say with what was counted.
func (c *checker) sum() {
	c.sumQuotas()
	for _, ino := range slices.Sorted(maps.Keys(c.nodes)) {
		c.node(c.nodes[ino])
	}
	for stripe, n := range c.files {
		if n != 0 {
			c.bad("there are %d inodes of stripe %d, counted none", n, stripe)
		}
	}
	c.unusedACLs()
	for s, r := range c.refs {
		if r.count != 0 {
			c.bad("slice %s of file %d is named and not counted", s.id, s.file)
		}
	}
	if root := c.nodes[posix.RootIno]; root == nil || !root.Mode.IsDir() {
		c.bad("there is no root directory")
	}
}

func (c *checker) node(n *checked) {
	what := fmt.Sprintf("inode %d", n.Ino)
	if n.orphan != (n.Nlink == 0) {
		c.bad("%s has %d links, and that it is an orphan is %v", what, n.Nlink, n.orphan)
	}
	if n.inode.caps != n.caps {
		c.bad("%s has %s: %v, says %v", what, xattrCaps, n.caps, n.inode.caps)
	}
	if n.Alloc != n.alloc {
		c.bad("%s has %d bytes, says %d", what, n.alloc, n.Alloc)
	}
	if n.inode.dead != n.buried {
		c.bad("%s stores %d bytes that it does not cover, says %d", what, n.buried, n.inode.dead)
	}
	c.tag(n)
	if n.places != 0 {
		c.bad("%s does not know where it is named", what)
	}
	if !n.Mode.IsDir() {
		if n.Nlink != n.names {
			c.bad("%s has %d names, says %d", what, n.names, n.Nlink)
		}
		return
	}
	if n.Ino == posix.RootIno {
		n.names, n.up = n.names+1, n.up+posix.RootIno
	}
	links := 2 + n.subdirs
	if n.orphan {
		links, n.names, n.up = 0, n.names+1, n.parent
	}
	if n.Nlink != links || n.names != 1 {
		c.bad("%s is a directory with %d subdirectories, %d names and %d links", what, n.subdirs, n.names, n.Nlink)
	}
	if n.Size != n.entries {
		c.bad("%s has %d entries, says %d", what, n.entries, n.Size)
	}
	if n.parent != n.up {
		c.bad("%s is in directory %d, says %d", what, n.up, n.parent)
	}
	c.loop(n)
}

// loop finds directories that no way leads to from the root.
func (c *checker) loop(n *checked) {
	up := n
	for steps := 0; up != nil && up.Ino != posix.RootIno && !up.orphan; steps++ {
		if steps > len(c.nodes) {
			c.bad("inode %d is a directory below itself", n.Ino)
			return
		}
		up = c.nodes[up.parent]
	}
}
