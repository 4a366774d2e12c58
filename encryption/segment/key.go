package segment

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// KeySize is the length of a zone key in bytes, whatever the suite.
const KeySize = 32

// ZoneKey is one version of a zone's key, ready to derive from. It is safe for
// concurrent use until it is wiped.
type ZoneKey struct{ prk []byte }

// NewZoneKey takes the secret in; it keeps no reference to it.
func NewZoneKey(secret []byte) (*ZoneKey, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("a zone key has %d bytes, this has %d", KeySize, len(secret))
	}
	prk, err := hkdf.Extract(sha256.New, secret, []byte("wardfs zone key 1"))
	if err != nil {
		return nil, err
	}
	return &ZoneKey{prk}, nil
}

// Wipe overwrites the key. Slices that were made from it go on.
func (k *ZoneKey) Wipe() { clear(k.prk) }

// The info of the derivation, RFC 5869 section 2.3; numbers are big-endian.
//
//	 0  "wardfs slice 1\n"   15
//	15  suite                 1
//	16  segment size          4
//	20  zone                  8
//	28  file                  8
//	36  slice                16
//
// The chunk is not in it, so that the keys of a file's slices do not depend on
// where they lie; each segment is bound to it (see bound).
func (k *ZoneKey) slice(f Format, p Place) ([]byte, error) {
	b := make([]byte, 0, 52)
	b = append(b, "wardfs slice 1\n"...)
	b = append(b, byte(f.Suite))
	b = binary.BigEndian.AppendUint32(b, f.Size)
	b = binary.BigEndian.AppendUint64(b, p.Zone)
	b = binary.BigEndian.AppendUint64(b, uint64(p.File))
	b = append(b, p.Slice[:]...)
	return hkdf.Expand(sha256.New, k.prk, string(b), suites[f.Suite].key)
}
