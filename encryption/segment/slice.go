package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// Slice seals and opens the blocks of one slice. It is safe for concurrent use.
type Slice struct {
	f     Format
	place Place
	aead  box
}

// box seals one segment. dst and src are apart; seal fills dst whole. What a
// nonce is made of is the segment's index, see bound.
type box interface {
	seal(dst, src []byte, b *bound)
	// open fills dst, which has the length that was sealed, and reports
	// whether the tag was right; if not, dst is zeros.
	open(dst, src []byte, b *bound) bool
}

// bound is what a segment is tied to: the associated data of GCM, the head of
// what the HMAC covers. Numbers are big-endian.
//
//	 0  zone                   8
//	 8  file                   8
//	16  chunk                  8
//	24  slice                 16
//	40  index in the slice     8    block * (4 MiB / segment size) + place in the block
//	48  bytes of plaintext     4
//
// The nonce is four zeros and the index.
type bound struct {
	ad    [52]byte
	nonce [12]byte
	work  [64]byte // room for a box's small sums
}

// New derives the key of a slice from the zone's, which it does not keep.
func New(zoneKey []byte, f Format, p Place) (*Slice, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	if p.Slice == (posix.SliceID{}) {
		return nil, fmt.Errorf("segment: a slice without a name has no key")
	}
	key, err := derive(zoneKey, f, p)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	s := &Slice{f: f, place: p}
	switch f.Suite {
	case AES256GCM, AES128GCM:
		s.aead, err = newGCM(key)
	case AES256CTR:
		s.aead, err = newCTR(key)
	case AES256CBC:
		s.aead, err = newCBC(key)
	}
	return s, err
}

// bind makes what all segments of the slice have in common.
func (s *Slice) bind() *bound {
	b := new(bound)
	binary.BigEndian.PutUint64(b.ad[0:], s.place.Zone)
	binary.BigEndian.PutUint64(b.ad[8:], uint64(s.place.File))
	binary.BigEndian.PutUint64(b.ad[16:], s.place.Chunk)
	copy(b.ad[24:], s.place.Slice[:])
	return b
}

// at ties b to segment i of a block, of n bytes of plaintext.
func (b *bound) at(f Format, block, i, n uint32) {
	index := nonce(f, block, i)
	binary.BigEndian.PutUint64(b.ad[40:], index)
	binary.BigEndian.PutUint32(b.ad[48:], n)
	binary.BigEndian.PutUint64(b.nonce[4:], index)
}

// nonce numbers the segments of a slice; a block has at most posix.BlockSize.
func nonce(f Format, block, i uint32) uint64 {
	return uint64(block)*uint64(posix.BlockSize/f.Size) + uint64(i)
}

// Seal fills dst, of Stored(len(plain)) bytes, with the stored form of a block.
// Equal plaintext gives equal bytes. plain is only read, has 1 to
// posix.BlockSize bytes, and must not overlap dst.
func (s *Slice) Seal(dst []byte, block uint32, plain []byte) error {
	if len(plain) == 0 || len(plain) > posix.BlockSize || uint32(len(dst)) != s.f.Stored(uint32(len(plain))) {
		return fmt.Errorf("segment: %d bytes of plaintext do not become %d", len(plain), len(dst))
	}
	b := s.bind()
	for i := uint32(0); len(plain) > 0; i++ {
		n := min(uint32(len(plain)), s.f.Size)
		m := s.f.sealed(n)
		b.at(s.f, block, i, n)
		s.aead.seal(dst[:m], plain[:n], b)
		plain, dst = plain[n:], dst[m:]
	}
	return nil
}

// Open fills dst with the plaintext from off on of a block that has size bytes
// of it, out of what Span named for that range. Where it answers an error, of
// which errors.Is ErrDamaged is true, nothing in dst may be used.
func (s *Slice) Open(dst []byte, block, size, off uint32, stored []byte) error {
	if len(dst) == 0 || size > posix.BlockSize || uint64(off)+uint64(len(dst)) > uint64(size) {
		return fmt.Errorf("segment: [%d, +%d) is not in a block of %d bytes", off, len(dst), size)
	}
	i := off / s.f.Size
	if _, n := s.f.Span(size, off, uint32(len(dst))); uint32(len(stored)) != n {
		return damaged(s.place, block, i, fmt.Sprintf("%d bytes where %d are stored", len(stored), n))
	}
	b := s.bind()
	var whole []byte // room for a segment of which only a part is asked for
	defer func() { clear(whole) }()
	for skip := off % s.f.Size; len(dst) > 0; i, skip = i+1, 0 {
		n := min(s.f.Size, size-i*s.f.Size)
		m := s.f.sealed(n)
		b.at(s.f, block, i, n)
		to := dst
		partly := skip > 0 || uint32(len(dst)) < n
		if partly {
			if whole == nil {
				whole = make([]byte, s.f.Size)
			}
			to = whole
		}
		if !s.aead.open(to[:n], stored[:m], b) {
			return damaged(s.place, block, i, "wrong tag")
		}
		took := n
		if partly {
			took = uint32(copy(dst, whole[skip:n]))
		}
		dst, stored = dst[took:], stored[m:]
	}
	return nil
}
