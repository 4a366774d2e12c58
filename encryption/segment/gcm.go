package segment

import (
	"crypto/aes"
	"crypto/cipher"
)

// gcm is AES-GCM, NIST SP 800-38D: ciphertext, then a tag of 16 bytes.
type gcm struct{ cipher.AEAD }

func newGCM(key []byte) (gcm, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return gcm{}, err
	}
	a, err := cipher.NewGCM(b)
	return gcm{a}, err
}

func (g gcm) seal(dst, src []byte, b *bound) { g.Seal(dst[:0], b.nonce[:], src, b.ad[:]) }

func (g gcm) open(dst, src []byte, b *bound) bool {
	_, err := g.Open(dst[:0], b.nonce[:], src, b.ad[:])
	return err == nil
}
