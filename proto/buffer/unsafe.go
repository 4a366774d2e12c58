package buffer

import "unsafe"

// unsafeSlice is the slice of c bytes that begins at p. A pool keeps the
// pointer alone, for to keep a slice would cost an allocation at every Put.
func unsafeSlice(p *byte, c int) []byte { return unsafe.Slice(p, c) }
