package lock

import "math/rand/v2"

// An index finds a span that keeps somebody out, among the spans of all
// holders of a space: those of type Read overlap each other. It is a treap in
// the order of start and holder; each node knows how far the spans below it
// reach. The zero index is empty.
type index struct{ root *node }

type node struct {
	span
	h           *holder
	prio        uint32 // no parent's is smaller
	left, right *node

	// Below and at the node: one more than the last byte of any span, and of
	// any span of type Write; 0 if there is none.
	reach, writeReach uint64
}

// before reports whether n comes before a span of the numbered holder.
func (n *node) before(start, number uint64) bool {
	return n.start < start || n.start == start && n.h.number < number
}

// update computes what n knows of those below it.
func (n *node) update() {
	n.reach, n.writeReach = n.end+1, 0
	if n.typ == Write {
		n.writeReach = n.end + 1
	}
	for _, c := range [2]*node{n.left, n.right} {
		if c != nil {
			n.reach, n.writeReach = max(n.reach, c.reach), max(n.writeReach, c.writeReach)
		}
	}
}

// split takes n apart into what comes before a span of the numbered holder,
// and the rest.
func (n *node) split(start, number uint64) (l, r *node) {
	if n == nil {
		return nil, nil
	}
	if n.before(start, number) {
		n.right, r = n.right.split(start, number)
		l = n
	} else {
		l, n.left = n.left.split(start, number)
		r = n
	}
	n.update()
	return l, r
}

// join is the reverse of split.
func join(l, r *node) *node {
	switch {
	case l == nil:
		return r
	case r == nil:
		return l
	case l.prio >= r.prio:
		l.right = join(l.right, r)
		l.update()
		return l
	}
	r.left = join(l, r.left)
	r.update()
	return r
}

func (x *index) add(h *holder, s span) {
	n := &node{span: s, h: h, prio: rand.Uint32()}
	n.update()
	l, r := x.root.split(s.start, h.number)
	x.root = join(join(l, n), r)
}

func (x *index) remove(h *holder, s span) {
	l, r := x.root.split(s.start, h.number)
	_, r = r.split(s.start, h.number+1)
	x.root = join(l, r)
}

// clashes calls f for every holder, other than l's owner, that keeps l from
// being granted, once for each span, until f answers false.
func (n *node) clashes(l *Lock, f func(*holder) bool) bool {
	if n == nil || n.reach <= l.Start || l.Type == Read && n.writeReach <= l.Start {
		return true
	}
	if !n.left.clashes(l, f) {
		return false
	}
	if n.start > l.End {
		return true
	}
	if n.end >= l.Start && (l.Type == Write || n.typ == Write) && n.h.owner != l.Owner && !f(n.h) {
		return false
	}
	return n.right.clashes(l, f)
}
