package mem

import "bytes"

// node is an immutable search tree by key that is at once a heap by rank: a
// treap. Since the rank is a hash of the key, the shape depends on the set of
// keys alone, and a change copies only the O(log n) nodes above it: every root
// is a snapshot for good, and a transaction is a root.
type node struct {
	key, value  []byte
	rank        uint64
	left, right *node
}

// rankOf is FNV-1a with a final mix: FNV alone leaves the high bits of short
// keys alike.
func rankOf(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// above is the heap's order. It is total over keys, so that a key's place is
// never in doubt.
func (n *node) above(m *node) bool {
	if n.rank != m.rank {
		return n.rank > m.rank
	}
	return bytes.Compare(n.key, m.key) < 0
}

// with is a copy of n with other children.
func (n *node) with(left, right *node) *node {
	return &node{key: n.key, value: n.value, rank: n.rank, left: left, right: right}
}

func (n *node) get(key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n
		}
	}
	return nil
}

// put is the tree with x, which has no children, in place of what had its key.
func (n *node) put(x *node) *node {
	if n == nil {
		return x
	}
	c := bytes.Compare(x.key, n.key)
	switch {
	case c == 0:
		return x.with(n.left, n.right)
	case x.above(n): // then its key is nowhere below n: equal keys have equal ranks
		l, r := n.split(x.key)
		return x.with(l, r)
	case c < 0:
		return n.with(n.left.put(x), n.right)
	default:
		return n.with(n.left, n.right.put(x))
	}
}

// split parts the tree into the keys below key and the keys above it.
func (n *node) split(key []byte) (below, over *node) {
	if n == nil {
		return nil, nil
	}
	if bytes.Compare(n.key, key) < 0 {
		l, r := n.right.split(key)
		return n.with(n.left, l), r
	}
	l, r := n.left.split(key)
	return l, n.with(r, n.right)
}

// remove is the tree without key; the same tree if key is not there.
func (n *node) remove(key []byte) *node {
	if n == nil {
		return nil
	}
	switch c := bytes.Compare(key, n.key); {
	case c < 0:
		if l := n.left.remove(key); l != n.left {
			return n.with(l, n.right)
		}
		return n
	case c > 0:
		if r := n.right.remove(key); r != n.right {
			return n.with(n.left, r)
		}
		return n
	default:
		return join(n.left, n.right)
	}
}

// join is the tree of both; all keys of l are below those of r.
func join(l, r *node) *node {
	switch {
	case l == nil:
		return r
	case r == nil:
		return l
	case l.above(r):
		return l.with(l.left, join(l.right, r))
	default:
		return r.with(join(l, r.left), r.right)
	}
}

// scan calls f for the keys in [lo, hi) until it answers false; hi nil is the
// end. It answers whether f never did.
func (n *node) scan(lo, hi []byte, f func(*node) bool) bool {
	if n == nil {
		return true
	}
	over := bytes.Compare(n.key, lo) >= 0
	under := hi == nil || bytes.Compare(n.key, hi) < 0
	if over && !n.left.scan(lo, hi, f) {
		return false
	}
	if over && under && !f(n) {
		return false
	}
	return !under || n.right.scan(lo, hi, f)
}
