package namespace

import (
	"maps"
	"slices"
)

// list looks at an interned ACL. That its sum names it is seen to in
// unusedACLs.
func (c *checker) list(num uint64, v []byte) {
	l, err := decodeACL(num, v)
	if err != nil {
		c.bad("%v", err)
		return
	}
	c.lists[num] = l
	c.sums[string(listSumKey(l))] = num
}

// listSum looks at a name of an ACL.
func (c *checker) listSum(k, v []byte) {
	num, err := decodeNamed(v)
	if err != nil {
		c.bad("%v", err)
		return
	}
	if c.sums[string(k)] != num {
		c.bad("ACL %d is not what its sum says", num)
		return
	}
	delete(c.sums, string(k)) // seen
}

// acls counts what an inode has.
func (c *checker) acls(n *inode) {
	for _, num := range []uint64{n.acl, n.defACL} {
		if num == 0 {
			continue
		}
		c.uses[string(listUsesKey(num, n.Ino))]++
		if c.lists[num] == nil {
			c.bad("inode %d has ACL %d, which is not there", n.Ino, num)
		}
	}
	if l := c.lists[n.acl]; l != nil && (l.Minimal() || l.Mode() != n.Mode&0o777 || n.Mode.IsLink()) {
		c.bad("inode %d has mode %o and ACL %v", n.Ino, n.Mode, l)
	}
	if n.defACL != 0 && !n.Mode.IsDir() {
		c.bad("inode %d of mode %o has a default ACL", n.Ino, n.Mode)
	}
}

// listUses compares a count with what was counted.
func (c *checker) listUses(k, v []byte) {
	n, err := decodeCount(k, v)
	if err != nil {
		c.bad("%v", err)
	}
	if is := c.uses[string(k)]; n != is || n == 0 {
		c.bad("inodes of stripe %d have ACL %d %d times, counted %d", k[9], first(k), is, n)
	}
	delete(c.uses, string(k)) // seen
	delete(c.lists, first(k)) // used
}

// unusedACLs tells what is stored or counted and should not be.
func (c *checker) unusedACLs() {
	for _, k := range slices.Sorted(maps.Keys(c.uses)) {
		c.bad("inodes of stripe %d have ACL %d %d times, counted none", k[9], first([]byte(k)), c.uses[k])
		delete(c.lists, first([]byte(k)))
	}
	for _, num := range slices.Sorted(maps.Keys(c.lists)) {
		c.bad("ACL %d is had by no inode", num)
	}
	for _, num := range slices.Sorted(maps.Values(c.sums)) {
		c.bad("ACL %d is not found by its sum", num)
	}
}
