package segment

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// BenchmarkBlock seals and opens a full block; beside it one call of AES-256-GCM
// over the same bytes, which is the limit.
func BenchmarkBlock(b *testing.B) {
	plain := text(posix.BlockSize)
	for _, suite := range all {
		for _, size := range []uint32{4 << 10, 16 << 10, 64 << 10, 1 << 20} {
			f := Format{suite, size}
			s := slice(b, f, 1, here)
			sealed := seal(b, s, 0, plain)
			b.Run(fmt.Sprintf("seal/%v/%dKiB", suite, size>>10), func(b *testing.B) {
				b.SetBytes(posix.BlockSize)
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Seal(sealed, 0, plain); err != nil {
						b.Fatal(err)
					}
				}
			})
			out := make([]byte, len(plain))
			b.Run(fmt.Sprintf("open/%v/%dKiB", suite, size>>10), func(b *testing.B) {
				b.SetBytes(posix.BlockSize)
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Open(out, 0, posix.BlockSize, 0, sealed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("limit", func(b *testing.B) {
		c, _ := aes.NewCipher(secret(1))
		a, _ := cipher.NewGCM(c)
		dst := make([]byte, 0, len(plain)+16)
		b.SetBytes(posix.BlockSize)
		for b.Loop() {
			a.Seal(dst, make([]byte, 12), plain, nil)
		}
	})
}

// BenchmarkRandom opens 4 KiB of a full block, key derivation included and not.
func BenchmarkRandom(b *testing.B) {
	plain := text(posix.BlockSize)
	for _, size := range []uint32{4 << 10, 16 << 10, 64 << 10} {
		f := Format{AES256GCM, size}
		s := slice(b, f, 1, here)
		sealed := seal(b, s, 0, plain)
		start, n := f.Span(posix.BlockSize, 1<<20, 4<<10)
		out := make([]byte, 4<<10)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Open(out, 0, posix.BlockSize, 1<<20, sealed[start:start+n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("derive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := New(secret(1), Default, here); err != nil {
				b.Fatal(err)
			}
		}
	})
}
