package namespace

import (
	"fmt"
	"sync"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// ACLs are interned: equal ones are stored once, under a number that the
// inodes that have it bear. An inode without one bears none and costs nothing.
// A list goes with its last use. Its number is never used again, so that what
// a number means never changes and can be remembered without doubt.

// aclMost is how many entries an ACL may have. The kernel of a mount reads
// no list that is longer than a page, and would let nobody in.
const aclMost = (4096 - 4) / 8

// The two ACLs of an inode.
type aclKind uint8

const (
	_ aclKind = iota
	aclAccess
	aclDefault
)

// aclXattrs are the names under which they are read and set.
var aclXattrs = [...]string{aclAccess: acl.XattrAccess, aclDefault: acl.XattrDefault}

// aclKindOf is which ACL the attribute name is, 0 for none.
func aclKindOf(name string) aclKind {
	switch name {
	case acl.XattrAccess:
		return aclAccess
	case acl.XattrDefault:
		return aclDefault
	}
	return 0
}

// number is the inode's place for the number of its ACL.
func (n *inode) number(k aclKind) *uint64 {
	if k == aclDefault {
		return &n.defACL
	}
	return &n.acl
}

// aclOf is the ACL of a number, shared by all who ask; nil for 0.
func (s *snap) aclOf(num uint64) (acl.ACL, error) {
	if num == 0 {
		return nil, nil
	}
	if l := s.t.acls.get(num); l != nil {
		return l, nil
	}
	b, ok, err := s.r.Get(listKey(num))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: ACL %d is not there", errRecord, num)
	}
	l, err := decodeACL(num, b)
	if err == nil && (s.fresh == 0 || num < s.fresh) { // else it may come to nothing
		s.t.acls.put(num, l)
	}
	return l, err
}

// setACL gives n the list l, nil for none. The mode is the caller's to change.
func (x *txn) setACL(n *inode, k aclKind, l acl.ACL) error {
	at := n.number(k)
	num, err := x.intern(l)
	if err == nil && num != *at {
		if err = x.use(num, n.Ino, +1); err == nil {
			err = x.use(*at, n.Ino, -1)
		}
	}
	if err != nil {
		return err
	}
	*at = num
	n.NoACL = n.acl == 0 && n.defACL == 0
	if k == aclAccess {
		n.access = l
	}
	n.dirty = true
	return nil
}

// intern answers the number of l, under which it then is stored; 0 for nil.
func (x *txn) intern(l acl.ACL) (uint64, error) {
	if l == nil {
		return 0, nil
	}
	b, ok, err := x.r.Get(listSumKey(l))
	if err != nil {
		return 0, err
	}
	if ok {
		return decodeNamed(b)
	}
	last, err := count(x.r, metaList)
	if err != nil {
		return 0, err
	}
	num := last + 1
	if x.fresh == 0 {
		x.fresh = num
	}
	x.tx.Put(metaList, encodeCount(num))
	x.tx.Put(listSumKey(l), encodeNamed(num))
	x.tx.Put(listKey(num), encodeACL(l))
	return num, nil
}

// use counts that ino has the ACL once more or once less. The last use of a
// list takes it along.
func (x *txn) use(num uint64, ino posix.Ino, by int64) error {
	if num == 0 {
		return nil
	}
	key := listUsesKey(num, ino)
	was, err := count(x.r, key)
	if err != nil {
		return err
	}
	if by < 0 && was == 0 {
		return fmt.Errorf("%w: inode %d has ACL %d, which is not counted", errRecord, ino, num)
	}
	if now := was + uint64(by); now > 0 {
		x.tx.Put(key, encodeCount(now))
		return nil
	}
	x.tx.Delete(key)
	used := false
	prefix := key8(keyListUses, num)
	err = x.r.Scan(prefix, engine.Successor(prefix), func(_, _ []byte) bool {
		used = true
		return false
	})
	if err != nil || used {
		return err
	}
	return x.forgetACL(num)
}

// forgetACL deletes a list that nobody has.
func (x *txn) forgetACL(num uint64) error {
	b, ok, err := x.r.Get(listKey(num))
	if err != nil || !ok {
		return err
	}
	l, err := decodeACL(num, b)
	if err == nil {
		x.tx.Delete(listSumKey(l))
		x.tx.Delete(listKey(num))
	}
	return err
}

// dropACLs takes both from an inode that is being deleted.
func (x *txn) dropACLs(n *inode) error {
	err := x.use(n.acl, n.Ino, -1)
	if err == nil {
		err = x.use(n.defACL, n.Ino, -1)
	}
	return err
}

func encodeACL(l acl.ACL) []byte {
	return append([]byte{recordVersion}, acl.EncodeXattr(l)...)
}

// decodeACL takes only what encodeACL makes of a list that is not minimal or
// is a default ACL.
func decodeACL(num uint64, b []byte) (acl.ACL, error) {
	d := decoder{b: b}
	d.version()
	rest := d.rest()
	l, err := acl.DecodeXattr(rest)
	if err != nil || l == nil || l.Key() != string(rest) {
		d.bad = true
	}
	return l, d.done("ACL", num)
}

func encodeNamed(num uint64) []byte {
	return append([]byte{recordVersion}, encodeCount(num)...)
}

func decodeNamed(b []byte) (uint64, error) {
	d := decoder{b: b}
	d.version()
	num := d.num()
	if num == 0 {
		d.bad = true
	}
	return num, d.done("number of ACL", num)
}

// aclCache remembers ACLs by their numbers. It is two generations: what is
// asked for is in the young one, and when that is full the old one goes.
type aclCache struct {
	mu         sync.RWMutex
	young, old map[uint64]acl.ACL
	weight     int // of the young, in entries
}

// Each generation holds this many entries at most, some 1 MiB; a list weighs
// aclWeight more than its entries.
const (
	aclGeneration = 1 << 17
	aclWeight     = 16
)

// get answers nil for what it does not know.
func (c *aclCache) get(num uint64) acl.ACL {
	c.mu.RLock()
	l := c.young[num]
	old := c.old[num]
	c.mu.RUnlock()
	if l == nil && old != nil {
		c.put(num, old)
		return old
	}
	return l
}

func (c *aclCache) put(num uint64, l acl.ACL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.young[num]; again {
		return
	}
	w := len(l) + aclWeight
	if c.young == nil || c.weight+w > aclGeneration {
		c.old, c.young, c.weight = c.young, map[uint64]acl.ACL{}, 0
	}
	c.young[num] = l
	c.weight += w
}
