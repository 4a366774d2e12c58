package segment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
)

// macced is what CTR and CBC share: half of the slice key encrypts, half makes
// the HMAC-SHA-256 over bound data and ciphertext, whose 32 bytes end the
// segment. The tag is checked before a byte is decrypted.
type macced struct {
	block cipher.Block
	sums  *sync.Pool // of hash.Hash under the second half
}

func newMacced(key []byte) (macced, error) {
	b, err := aes.NewCipher(key[:32])
	if err != nil {
		return macced{}, err
	}
	mac := append([]byte(nil), key[32:]...)
	return macced{b, &sync.Pool{New: func() any { return hmac.New(sha256.New, mac) }}}, nil
}

// tag is the sum of a segment's ciphertext, in b's room.
func (m macced) tag(ciphertext []byte, b *bound) []byte {
	h := m.sums.Get().(hash.Hash)
	defer m.sums.Put(h)
	h.Reset()
	h.Write(b.ad[:])
	h.Write(ciphertext)
	return h.Sum(b.work[:0])
}

// split parts ciphertext and tag, and reports whether the tag is right.
func (m macced) split(src []byte, b *bound) ([]byte, bool) {
	n := len(src) - sha256.Size
	return src[:n], subtle.ConstantTimeCompare(m.tag(src[:n], b), src[n:]) == 1
}

// ctr is AES-CTR, NIST SP 800-38A: the first counter block is the index (8)
// and zeros, and a segment has fewer than 2^64 blocks, so none comes twice.
type ctr struct{ macced }

func newCTR(key []byte) (ctr, error) {
	m, err := newMacced(key)
	return ctr{m}, err
}

func (c ctr) xor(dst, src []byte, b *bound) {
	iv := b.work[48:64]
	clear(iv)
	copy(iv, b.nonce[4:])
	cipher.NewCTR(c.block, iv).XORKeyStream(dst, src)
}

func (c ctr) seal(dst, src []byte, b *bound) {
	c.xor(dst[:len(src)], src, b)
	copy(dst[len(src):], c.tag(dst[:len(src)], b))
}

func (c ctr) open(dst, src []byte, b *bound) bool {
	text, ok := c.split(src, b)
	if !ok {
		clear(dst)
		return false
	}
	c.xor(dst, text, b)
	return true
}

// cbc is AES-CBC with PKCS#7 padding. The initialisation vector must not be
// foreseen: it is the encryption of the index (SP 800-38A, appendix C), with
// ones behind it.
type cbc struct{ macced }

func newCBC(key []byte) (cbc, error) {
	m, err := newMacced(key)
	return cbc{m}, err
}

func (c cbc) iv(b *bound) []byte {
	iv := b.work[48:64]
	for i := range iv {
		iv[i] = 0xff
	}
	copy(iv, b.nonce[4:])
	c.block.Encrypt(iv, iv)
	return iv
}

func (c cbc) seal(dst, src []byte, b *bound) {
	n := len(dst) - sha256.Size
	text := dst[:n]
	pad := byte(n - len(src))
	for i := copy(text, src); i < n; i++ {
		text[i] = pad
	}
	cipher.NewCBCEncrypter(c.block, c.iv(b)).CryptBlocks(text, text)
	copy(dst[n:], c.tag(text, b))
}

func (c cbc) open(dst, src []byte, b *bound) bool {
	text, ok := c.split(src, b)
	if !ok {
		clear(dst)
		return false
	}
	// The last block holds the padding, whose length the bound data vouch for.
	mode := cipher.NewCBCDecrypter(c.block, c.iv(b))
	whole := len(text) - aes.BlockSize
	mode.CryptBlocks(dst[:whole], text[:whole])
	var last [aes.BlockSize]byte
	mode.CryptBlocks(last[:], text[whole:])
	copy(dst[whole:], last[:])
	clear(last[:])
	return true
}
