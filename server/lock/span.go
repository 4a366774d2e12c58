package lock

import (
	"slices"
	"sort"
)

// A span is a range of bytes of one owner, under one type of lock. end is
// included and at most EOF, so that end+1 is never 0.
type span struct {
	start, end uint64
	pid        uint32
	typ        Type
}

// spans are what one owner has of one inode: in order, without overlap, never
// two of one type side by side, none of type Unlock.
type spans []span

// clash finds the first span that keeps another owner from r.
func (s spans) clash(r span) (span, bool) {
	i := sort.Search(len(s), func(k int) bool { return s[k].end >= r.start })
	for ; i < len(s) && s[i].start <= r.end; i++ {
		if s[i].typ == Write || r.typ == Write {
			return s[i], true
		}
	}
	return span{}, false
}

// first finds the first span that shares a byte with [lo, hi].
func (s spans) first(lo, hi uint64) (span, bool) {
	return s.clash(span{start: lo, end: hi, typ: Write})
}

// An edit is what a new lock does to its owner's spans: old of them from
// index at on give way to fresh[:n].
type edit struct {
	at, old int
	fresh   [3]span // what is left before the new one, the new one, what is left after it
	n       int
	writes  int  // by how many there are more spans of type Write
	weaker  bool // some byte is less locked than before
}

// grows is by how many there are more spans.
func (e *edit) grows() int { return e.n - e.old }

func (e *edit) add(s span) {
	e.fresh[e.n] = s
	e.n++
	if s.typ == Write {
		e.writes++
	}
}

// plan answers what laying r over s would do.
func (s spans) plan(r span) (e edit) {
	lo, hi := r.start, r.end
	// What adjoins r is among the old ones too: it may merge.
	e.at = sort.Search(len(s), func(k int) bool { return s[k].end+1 >= lo })
	e.old = sort.Search(len(s)-e.at, func(k int) bool { return s[e.at+k].start > hi+1 })
	old := s[e.at : e.at+e.old]
	var right span
	for k, o := range old {
		if o.typ == Write {
			e.writes--
		}
		if o.typ > r.typ && o.start <= hi && o.end >= lo {
			e.weaker = true
		}
		if k == 0 && o.start < lo {
			if o.typ == r.typ {
				r.start = o.start
			} else {
				e.add(span{o.start, min(o.end, lo-1), o.pid, o.typ})
			}
		}
		if k == len(old)-1 && o.end > hi {
			if o.typ == r.typ {
				r.end = o.end
			} else {
				right = span{max(o.start, hi+1), o.end, o.pid, o.typ}
			}
		}
	}
	if r.typ != Unlock {
		e.add(r)
	}
	if right.typ != 0 {
		e.add(right)
	}
	return e
}

// apply does what was planned. The old array may be reused.
func (s spans) apply(e *edit) spans {
	return slices.Replace(s, e.at, e.at+e.old, e.fresh[:e.n]...)
}
