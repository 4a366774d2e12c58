package segment

import "crypto/aes"

// Stored is how many bytes a block of size bytes of plaintext takes.
func (f Format) Stored(size uint32) uint32 {
	full, rest := size/f.Size, size%f.Size
	n := full * f.sealed(f.Size)
	if rest > 0 {
		n += f.sealed(rest)
	}
	return n
}

// Span is which stored bytes of a block of size bytes hold the plaintext
// [off, off+n): whole segments, for a tag says nothing of a part. n is at
// least 1 and off+n at most size.
func (f Format) Span(size, off, n uint32) (start, length uint32) {
	first, last := off/f.Size, (off+n-1)/f.Size
	start = first * f.sealed(f.Size)
	end := f.Stored(uint32(min(uint64(size), (uint64(last)+1)*uint64(f.Size))))
	return start, end - start
}

// Within is the other way round: which plaintext of a block of size bytes lies
// whole in its stored bytes [start, start+length); n is 0 where none does.
func (f Format) Within(size, start, length uint32) (off, n uint32) {
	whole, end := uint64(f.sealed(f.Size)), uint64(start)+uint64(length)
	first := (uint64(start) + whole - 1) / whole * uint64(f.Size)
	last := min(uint64(size), end/whole*uint64(f.Size))
	if end >= uint64(f.Stored(size)) {
		last = uint64(size)
	}
	if first >= last {
		return 0, 0
	}
	return uint32(first), uint32(last - first)
}

// sealed is the length of a segment of n bytes of plaintext, n at least 1.
func (f Format) sealed(n uint32) uint32 {
	v := suites[f.Suite]
	if v.padded {
		n += aes.BlockSize - n%aes.BlockSize
	}
	return n + uint32(v.tag)
}
