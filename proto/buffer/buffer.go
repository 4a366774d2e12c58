// Package buffer lends byte slices by size class, so that the data path makes
// no garbage of its own at full speed. It keeps no count: who borrows, budgets.
package buffer

import (
	"math/bits"
	"sync"
)

// The smallest and the largest class, in bytes. A larger request is served by
// the allocator and not kept when it comes back.
const (
	minShift = 12 // 4 KiB
	maxShift = 23 // 8 MiB: a sealed block is longer than 4 MiB
	Min      = 1 << minShift
	Max      = 1 << maxShift
)

// pools holds one pool for each class: a constant table in all but name.
var pools [maxShift - minShift + 1]sync.Pool

// Class is the capacity that Get(n) lends, in bytes: the next power of two.
func Class(n int) int {
	switch {
	case n <= Min:
		return Min
	case n > Max:
		return n
	}
	return 1 << bits.Len(uint(n-1))
}

// Get lends a slice of length n and capacity Class(n). Its bytes are whatever
// its last user left.
func Get(n int) []byte {
	c := Class(n)
	if c <= Max {
		if p, ok := pools[bits.Len(uint(c))-1-minShift].Get().(*byte); ok {
			return unsafeSlice(p, c)[:n]
		}
	}
	return make([]byte, n, c)
}

// Put takes a slice of Get's back. The caller must have no other use of it. A
// slice of another capacity than a class's is left to the collector.
func Put(b []byte) {
	c := cap(b)
	if c < Min || c > Max || c&(c-1) != 0 {
		return
	}
	pools[bits.Len(uint(c))-1-minShift].Put(&b[:1][0])
}
