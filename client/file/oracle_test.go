package file

import (
	"math"
	"slices"
	"sort"
)

// oracle is a file as it should be: sparse, in pages.
type oracle struct {
	pages map[uint64][]byte
	size  uint64
	data  ranges // what was written: SEEK_DATA finds this and nothing else
}

const oraclePage = 1 << 16

func (o *oracle) write(p []byte, off uint64) {
	o.size = max(o.size, off+uint64(len(p)))
	o.data = o.data.add(off, off+uint64(len(p)))
	for len(p) > 0 {
		page := o.pages[off/oraclePage]
		if page == nil {
			page = make([]byte, oraclePage)
			o.pages[off/oraclePage] = page
		}
		n := copy(page[off%oraclePage:], p)
		p, off = p[n:], off+uint64(n)
	}
}

func (o *oracle) read(p []byte, off uint64) int {
	if off >= o.size {
		return 0
	}
	p = p[:min(uint64(len(p)), o.size-off)]
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), int(oraclePage-off%oraclePage))
		if page := o.pages[off/oraclePage]; page != nil {
			copy(p[:n], page[off%oraclePage:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+uint64(n)
	}
	return total
}

func (o *oracle) truncate(size uint64) {
	o.punch(size, math.MaxInt64)
	o.size = size
}

// punch makes [lo, hi) a hole.
func (o *oracle) punch(lo, hi uint64) {
	o.data = o.data.remove(lo, hi)
	for index, page := range o.pages {
		start := index * oraclePage
		if from, to := max(lo, start), min(hi, start+oraclePage); from < to {
			clear(page[from-start : to-start])
		}
	}
}

// copy lays n bytes of src from off on over o at toOff, holes as holes. It
// answers how many there were.
func (o *oracle) copy(toOff uint64, src *oracle, off, n uint64) uint64 {
	p := make([]byte, n)
	n = uint64(src.read(p, off))
	if n == 0 {
		return 0
	}
	had := slices.Clone(src.data)
	o.punch(toOff, toOff+n)
	for _, s := range had {
		if lo, hi := max(s.lo, off), min(s.hi, off+n); lo < hi {
			o.write(p[lo-off:hi-off], lo-off+toOff)
		}
	}
	o.size = max(o.size, toOff+n)
	return n
}

// seek is lseek.
func (o *oracle) seek(off uint64, data bool) (uint64, bool) {
	for ; off < o.size; off++ {
		gap, missing := o.data.gap(off, o.size)
		switch {
		case data && (!missing || gap > off):
			return off, true
		case !data:
			return gap, true // the size if nothing is missing
		}
		k := sort.Search(len(o.data), func(k int) bool { return o.data[k].lo > off })
		if k == len(o.data) {
			break
		}
		off = o.data[k].lo - 1
	}
	return 0, false
}
