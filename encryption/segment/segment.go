// Package segment is the format in which a zone's bytes leave the host: the
// plaintext of each block of a slice is cut into segments of equal size, and
// each is sealed by itself, so that a read of 4 KiB opens 4 KiB and a write
// never reads first. Pure: keys come in as bytes, nothing is read or written.
//
// It refuses to do three things: to choose names (a slice's id is drawn by who
// writes it, at random), to seal other bytes under a name that was used (see
// Proof), and to open what is not exactly what was sealed for that place.
//
//	zone key 32            drawn by the key store, one of the zone's versions
//	   | HKDF-SHA-256      bound to format, zone, file and slice: see key.go
//	slice key              lives as long as its Slice does
//	   | nonce             the segment's index in the slice
//	block   segment segment … segment     one object of the chunk store
//	segment = ciphertext | tag            of up to Size bytes of plaintext
//
// # Proof
//
// No (key, nonce) pair ever seals two plaintexts. A slice key is a function of
// the slice's id, which is 128 random bits (two slices of 2^48 have the same
// with a chance of 2^-33, and even then only within one file of one zone). The
// nonce is a function of block and segment alone, and one to one (TestNonce).
// So a pair names one segment of one slice, and the writer's rule is: what was
// once sealed for a name, whether the sending came through or not, is either
// sent again byte for byte or gets a new name. A crash forgets names and never
// reuses them, for they are drawn anew. Sealing draws no randomness, so sealing the
// same plaintext again for a retry gives the same bytes and reveals nothing.
package segment

import (
	"errors"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// Suite is a way to seal. The values are on disk.
type Suite uint8

// The suites. GCM authenticates by itself; CTR and CBC carry an HMAC-SHA-256
// over the ciphertext (encrypt, then MAC) and are for those who must have them.
const (
	AES256GCM Suite = 1 // the default: AES/GCM/NoPadding with 256 bits
	AES128GCM Suite = 2
	AES256CTR Suite = 3 // AES/CTR/NoPadding and HMAC-SHA-256
	AES256CBC Suite = 4 // AES/CBC, PKCS#7, and HMAC-SHA-256
)

// suites has what differs, by Suite.
var suites = map[Suite]struct {
	name   string
	key    int // bytes of a slice key
	tag    int // bytes after the ciphertext
	padded bool
}{
	AES256GCM: {"aes-256-gcm", 32, 16, false},
	AES128GCM: {"aes-128-gcm", 16, 16, false},
	AES256CTR: {"aes-256-ctr-hmac-sha256", 32 + 32, 32, false},
	AES256CBC: {"aes-256-cbc-hmac-sha256", 32 + 32, 32, true},
}

// String is the suite's name in configuration and listings.
func (s Suite) String() string {
	if v, ok := suites[s]; ok {
		return v.name
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// ParseSuite reads what String wrote.
func ParseSuite(name string) (Suite, error) {
	for s, v := range suites {
		if v.name == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no cipher %q: there are aes-256-gcm, aes-128-gcm, aes-256-ctr-hmac-sha256 and aes-256-cbc-hmac-sha256", name)
}

// The bounds of a segment's plaintext, in bytes.
const (
	MinSize = 4 << 10
	MaxSize = 1 << 20
)

// Format is how a zone's blocks are sealed. It is chosen when the zone is made
// and never changes.
type Format struct {
	Suite Suite
	Size  uint32 // plaintext bytes of a full segment: a power of two from MinSize to MaxSize
}

// Default is what a zone gets that says nothing.
var Default = Format{AES256GCM, 16 << 10}

// Check answers why the format is none of ours.
func (f Format) Check() error {
	if _, ok := suites[f.Suite]; !ok {
		return fmt.Errorf("no cipher has the number %d", uint8(f.Suite))
	}
	if f.Size < MinSize || f.Size > MaxSize || f.Size&(f.Size-1) != 0 {
		return fmt.Errorf("a segment of %d bytes: it must be a power of two from 4 KiB to 1 MiB", f.Size)
	}
	return nil
}

// Place is where a slice belongs. All of it is bound into each segment.
type Place struct {
	Zone  uint64
	File  posix.Ino // the inode that the slice was written for
	Chunk uint64    // offset in that file / posix.ChunkSize
	Slice posix.SliceID
}

// ErrDamaged says that bytes are not what was sealed for their place. Every
// error of Open is one, and bears posix.EIO.
var ErrDamaged = errors.New("not what was sealed here")

// damaged is the error of one segment.
func damaged(p Place, block, i uint32, why string) error {
	return posix.E("open", posix.EIO,
		fmt.Errorf("zone %d, block %d/%s.%d, segment %d: %s: %w", p.Zone, p.File, p.Slice, block, i, why, ErrDamaged))
}
