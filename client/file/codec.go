package file

import "github.com/wardfs/wardfs/posix"

// place is where a block's bytes belong. Encryption binds them to it.
type place struct {
	id    posix.BlockID
	chunk uint64 // Off / posix.ChunkSize of the extents that name the slice
	size  uint32 // bytes of plaintext in the whole block
}

// codec is the seam between a slice's plaintext and its stored blocks. Here an
// encryption zone seals segments and opens them again; everything above counts
// in plaintext, everything below in stored bytes.
//
// seal must give the same bytes for the same place and plaintext, for a retried
// upload sends them again under the same name.
type codec interface {
	// span answers which stored bytes hold the plaintext [off, off+n), whole
	// segments of it.
	span(size, off, n uint32) (start, length uint32)
	// stored is how many bytes a block of so much plaintext takes, at most
	// posix.BlockMax.
	stored(size uint32) uint32
	// seal fills dst, of stored(len(plain)) bytes, with the block's stored
	// form; plain is only read.
	seal(dst []byte, at place, plain []byte) error
	// open fills dst with the plaintext from off on, out of what span named.
	// Damage is an error that bears posix.EIO. stored may be overwritten.
	open(dst []byte, at place, off uint32, stored []byte) error
}

// plain stores blocks as they are. The data path knows it by its type and
// spares the copies.
type plain struct{}

func (plain) span(_, off, n uint32) (start, length uint32) { return off, n }
func (plain) stored(size uint32) uint32                    { return size }

func (plain) seal(dst []byte, _ place, plain []byte) error {
	copy(dst, plain)
	return nil
}

func (plain) open(dst []byte, _ place, _ uint32, stored []byte) error {
	copy(dst, stored)
	return nil
}
