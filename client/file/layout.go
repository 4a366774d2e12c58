package file

import (
	"math"
	"slices"
	"sort"

	"github.com/wardfs/wardfs/posix"
)

// maxLayout is how many extents of one file are kept. A file that is broken up
// more is asked for again region by region.
const maxLayout = 1 << 14

// maxIdleLayout is how many of them are kept when nobody has the file open.
const maxIdleLayout = 64

// layout is what is known of where a file's committed bytes lie. The known
// regions have all their extents in the map; nothing is known of the rest.
type layout struct {
	extents posix.Map
	known   ranges
}

// learn notes the server's answer for [lo, hi), whatever was known of it.
func (l *layout) learn(extents []posix.Extent, lo, hi uint64) {
	if len(l.extents)+len(extents) > maxLayout {
		*l = layout{}
	}
	m := l.extents.Range(0, lo)
	for _, e := range extents {
		if e.Off < hi && e.End() > lo {
			m = append(m, e.Cut(lo, hi))
		}
	}
	l.extents = append(m, l.extents.Range(hi, math.MaxUint64)...)
	l.known = l.known.add(lo, hi)
}

// lay notes extents that this client has committed, in order of offset.
func (l *layout) lay(over posix.Map) {
	if len(l.extents)+len(over) > maxLayout {
		*l = layout{}
	}
	l.extents = overlay(l.extents, over)
	for _, e := range over {
		l.known = l.known.add(e.Off, e.End())
	}
}

// truncate notes that the file ends at size, and what may follow is zeros.
func (l *layout) truncate(size uint64) {
	l.extents = l.extents.Range(0, size)
	l.known = l.known.add(size, math.MaxUint64)
}

// clear notes that [lo, hi) has become a hole.
func (l *layout) clear(lo, hi uint64) { l.learn(nil, lo, hi) }

// unlearn forgets what is known of [lo, hi).
func (l *layout) unlearn(lo, hi uint64) {
	l.extents = append(l.extents.Range(0, lo), l.extents.Range(hi, math.MaxUint64)...)
	l.known = l.known.remove(lo, hi)
}

// overlay puts over on base; both are in order and free of overlap. It may
// reuse base's array.
func overlay(base, over posix.Map) posix.Map {
	if len(over) <= 8 {
		for _, e := range over {
			base = base.Lay(e)
		}
		return base
	}
	out := make(posix.Map, 0, len(base)+len(over))
	var from uint64 // what of base lies before is in out or covered
	b := base
	for _, e := range over {
		b = shift(&out, b, from, e.Off)
		out, from = append(out, e), e.End()
	}
	shift(&out, b, from, math.MaxUint64)
	return out
}

// shift appends to out what of b lies in [lo, hi), and answers the rest of b,
// the extent across hi included.
func shift(out *posix.Map, b posix.Map, lo, hi uint64) posix.Map {
	for len(b) > 0 && b[0].Off < hi {
		if b[0].End() > lo && lo < hi {
			*out = append(*out, b[0].Cut(lo, hi))
		}
		if b[0].End() > hi {
			break
		}
		b = b[1:]
	}
	return b
}

// span is the bytes [lo, hi) of a file.
type span struct{ lo, hi uint64 }

// ranges is a set of bytes: spans in order that do not touch.
type ranges []span

// add puts [lo, hi) into the set.
func (r ranges) add(lo, hi uint64) ranges {
	if lo >= hi {
		return r
	}
	i := sort.Search(len(r), func(i int) bool { return r[i].hi >= lo })
	j := i
	for ; j < len(r) && r[j].lo <= hi; j++ {
		lo, hi = min(lo, r[j].lo), max(hi, r[j].hi)
	}
	return slices.Replace(r, i, j, span{lo, hi})
}

// remove takes [lo, hi) out of the set.
func (r ranges) remove(lo, hi uint64) ranges {
	var out ranges
	for _, s := range r {
		out = out.add(s.lo, min(s.hi, lo)).add(max(s.lo, hi), s.hi)
	}
	return out
}

// gap answers the first byte of [lo, hi) that is not in the set.
func (r ranges) gap(lo, hi uint64) (uint64, bool) {
	i := sort.Search(len(r), func(i int) bool { return r[i].hi > lo })
	if i < len(r) && r[i].lo <= lo {
		lo = r[i].hi
	}
	return lo, lo < hi
}
