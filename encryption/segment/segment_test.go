package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var all = []Suite{AES256GCM, AES128GCM, AES256CTR, AES256CBC}

// here is a place with a different value in each field.
var here = Place{Zone: 3, File: 0x1122334455, Chunk: 7, Slice: posix.SliceID{15: 9, 0: 1}}

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func slice(t testing.TB, f Format, key byte, p Place) *Slice {
	t.Helper()
	s, err := New(secret(key), f, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text is n bytes that no two offsets share for long.
func text(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func seal(t testing.TB, s *Slice, block uint32, plain []byte) []byte {
	t.Helper()
	dst := make([]byte, s.f.Stored(uint32(len(plain))))
	if err := s.Seal(dst, block, plain); err != nil {
		t.Fatal(err)
	}
	return dst
}

// edges are sizes around all borders of a format.
func edges(f Format) []uint32 {
	return []uint32{1, 15, 16, 17, f.Size - 1, f.Size, f.Size + 1, 2*f.Size - 16, 2 * f.Size, 3*f.Size + 100}
}

func TestRanges(t *testing.T) {
	for _, suite := range all {
		f := Format{suite, MinSize}
		t.Run(suite.String(), func(t *testing.T) {
			s := slice(t, f, 1, here)
			for _, size := range edges(f) {
				plain := text(int(size))
				sealed := seal(t, s, 5, plain)
				for _, off := range edges(f) {
					for _, end := range edges(f) {
						if off--; off >= end || end > size {
							continue
						}
						start, n := f.Span(size, off, end-off)
						got := make([]byte, end-off)
						if err := s.Open(got, 5, size, off, sealed[start:start+n]); err != nil {
							t.Fatalf("size %d [%d, %d): %v", size, off, end, err)
						}
						if !bytes.Equal(got, plain[off:end]) {
							t.Fatalf("size %d [%d, %d) differs", size, off, end)
						}
						if at, m := f.Within(size, start, n); at > off || at+m < end {
							t.Fatalf("size %d: %d+%d stored hold [%d, +%d), not [%d, %d)", size, start, n, at, m, off, end)
						}
					}
				}
			}
		})
	}
}

// TestStored states the overheads that docs/format.md states.
func TestStored(t *testing.T) {
	for _, c := range []struct {
		want, size uint32
		f          Format
	}{
		{0, 0, Default},
		{1 + 16, 1, Default},
		{16<<10 + 16, 16 << 10, Default},
		{4<<20 + 256*16, 4 << 20, Default},
		{4<<20 + 1024*16, 4 << 20, Format{AES128GCM, 4 << 10}},
		{4<<20 + 1024*32, 4 << 20, Format{AES256CTR, 4 << 10}},
		{4<<20 + 1024*48, 4 << 20, Format{AES256CBC, 4 << 10}},
		{16 + 32, 15, Format{AES256CBC, 4 << 10}},
		{32 + 32, 16, Format{AES256CBC, 4 << 10}},
		{4<<20 + 4*16, 4 << 20, Format{AES256GCM, 1 << 20}},
	} {
		if got := c.f.Stored(c.size); got != c.want {
			t.Errorf("%v: %d bytes take %d, want %d", c.f, c.size, got, c.want)
		}
		if c.f.Stored(c.size) > posix.BlockMax {
			t.Errorf("%v: a block takes more than the chunk store has", c.f)
		}
	}
	for _, suite := range all {
		if n := (Format{suite, MinSize}).Stored(64 << 10); n > posix.InlineMax {
			t.Errorf("%v: 64 KiB take %d, more than a commit may bring", suite, n)
		}
	}
}

// TestDamage changes what is stored, or where it is said to lie, in every way
// that a server could; each must be found, and name what is damaged.
func TestDamage(t *testing.T) {
	const size = 3*MinSize + 100
	for _, suite := range all {
		f := Format{suite, MinSize}
		s := slice(t, f, 1, here)
		plain := text(size)
		good := seal(t, s, 2, plain)
		one := int(f.sealed(f.Size))
		deny := func(name string, s *Slice, block, size uint32, stored []byte) {
			t.Helper()
			dst := make([]byte, size)
			err := s.Open(dst, block, size, 0, stored)
			if !errors.Is(err, ErrDamaged) || posix.ErrnoOf(err) != posix.EIO {
				t.Errorf("%v: %s: %v, want damage", suite, name, err)
			}
		}
		change := func(at int, b byte) []byte {
			c := bytes.Clone(good)
			c[at] ^= b
			return c
		}
		for at := range len(good) {
			if at%97 == 0 || at%one >= one-48 {
				deny(fmt.Sprint("flip at ", at), s, 2, size, change(at, 1<<(at%8)))
			}
		}
		deny("cut", s, 2, size, good[:len(good)-1])
		deny("cut at a border", s, 2, size, good[:3*one])
		deny("grown", s, 2, size, append(bytes.Clone(good), 0))
		deny("empty", s, 2, size, nil)
		deny("shorter by the server's word", s, 2, 3*MinSize+99, good[:f.Stored(3*MinSize+99)])
		deny("longer by the server's word", s, 2, size+1, append(bytes.Clone(good), make([]byte, f.Stored(size+1)-f.Stored(size))...))
		swapped := append(append(bytes.Clone(good[one:2*one]), good[:one]...), good[2*one:]...)
		deny("segments swapped", s, 2, size, swapped)
		deny("another block of the slice", s, 3, size, good)
		for name, p := range map[string]Place{
			"another zone":  {4, here.File, here.Chunk, here.Slice},
			"another file":  {here.Zone, here.File + 1, here.Chunk, here.Slice},
			"another chunk": {here.Zone, here.File, here.Chunk + 1, here.Slice},
			"another slice": {here.Zone, here.File, here.Chunk, posix.SliceID{2}},
		} {
			deny(name, slice(t, f, 1, p), 2, size, good)
		}
		deny("another key", slice(t, f, 2, here), 2, size, good)
		deny("zeros", s, 2, size, make([]byte, len(good)))
		deny("an older write of the same place", slice(t, f, 1, Place{3, here.File, 7, posix.SliceID{8}}), 2, size, good)
		// What is whole stays readable beside what is not.
		start, n := f.Span(size, MinSize, MinSize)
		got := make([]byte, MinSize)
		if err := s.Open(got, 2, size, MinSize, change(0, 1)[start:start+n]); err != nil || !bytes.Equal(got, plain[MinSize:2*MinSize]) {
			t.Errorf("%v: the segment beside a damaged one: %v", suite, err)
		}
	}
}

// TestOtherSuite: a block of one suite or segment size is damage to another.
func TestOtherSuite(t *testing.T) {
	for _, a := range all {
		for _, b := range all {
			for _, size := range []uint32{MinSize, 2 * MinSize} {
				fa, fb := Format{a, MinSize}, Format{b, size}
				if fa == fb {
					continue
				}
				sealed := seal(t, slice(t, fa, 1, here), 0, text(100))
				stored := make([]byte, fb.Stored(100))
				copy(stored, sealed)
				if err := slice(t, fb, 1, here).Open(make([]byte, 100), 0, 100, 0, stored); !errors.Is(err, ErrDamaged) {
					t.Errorf("%v opened as %v: %v", fa, fb, err)
				}
			}
		}
	}
}

// TestNonce is the proof in the package comment, in numbers: within a slice no
// two segments share a nonce, for any segment size, and no two slices share a key.
func TestNonce(t *testing.T) {
	for size := uint32(MinSize); size <= MaxSize; size *= 2 {
		f := Format{AES256GCM, size}
		seen := make(map[uint64]bool)
		for block := uint32(0); block < posix.ChunkSize/posix.BlockSize; block++ {
			for i := uint32(0); i < posix.BlockSize/size; i++ {
				n := nonce(f, block, i)
				if seen[n] {
					t.Fatalf("segments of %d bytes: block %d, segment %d has another's nonce", size, block, i)
				}
				seen[n] = true
			}
		}
	}
	keys := make(map[string]string)
	for _, secretByte := range []byte{1, 2} {
		for _, suite := range all {
			for _, size := range []uint32{MinSize, MaxSize} {
				for _, p := range []Place{here, {4, here.File, 7, here.Slice}, {3, 1, 7, here.Slice}, {3, here.File, 7, posix.SliceID{5}}} {
					key, err := derive(secret(secretByte), Format{suite, size}, p)
					if err != nil {
						t.Fatal(err)
					}
					name := fmt.Sprint(secretByte, suite, size, p)
					if other, ok := keys[string(key[:16])]; ok {
						t.Fatalf("%s has the key of %s", name, other)
					}
					keys[string(key[:16])] = name
				}
			}
		}
	}
}

// TestSame: a retry sends the same bytes, whoever seals them.
func TestSame(t *testing.T) {
	for _, suite := range all {
		f := Format{suite, MinSize}
		plain := text(5 * MinSize)
		a := seal(t, slice(t, f, 1, here), 1, plain)
		b := seal(t, slice(t, f, 1, here), 1, plain)
		if !bytes.Equal(a, b) {
			t.Errorf("%v: two sealings differ", suite)
		}
	}
}

// TestConcurrent: one Slice serves many readers and writers.
func TestConcurrent(t *testing.T) {
	for _, suite := range all {
		s := slice(t, Format{suite, MinSize}, 1, here)
		plain := text(3*MinSize + 5)
		want := seal(t, s, 0, plain)
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				dst := make([]byte, len(want))
				got := make([]byte, len(plain))
				for range 20 {
					if s.Seal(dst, 0, plain) != nil || !bytes.Equal(dst, want) {
						t.Error("sealed otherwise")
					}
					if s.Open(got, 0, uint32(len(plain)), 0, want) != nil || !bytes.Equal(got, plain) {
						t.Error("opened otherwise")
					}
				}
			})
		}
		work.Wait()
	}
}

func TestRefusals(t *testing.T) {
	for _, f := range []Format{{}, {9, MinSize}, {AES256GCM, 0}, {AES256GCM, 5000}, {AES256GCM, 2 << 20}, {AES256GCM, 2048}} {
		if f.Check() == nil {
			t.Errorf("%v was accepted", f)
		}
	}
	if _, err := New(secret(1)[:31], Default, here); err == nil {
		t.Error("a key of 31 bytes was accepted")
	}
	if _, err := New(secret(1), Default, Place{Zone: 1, File: 1}); err == nil {
		t.Error("a slice without a name was accepted")
	}
	s := slice(t, Default, 1, here)
	for _, n := range []int{0, posix.BlockSize + 1} {
		if s.Seal(make([]byte, Default.Stored(uint32(n))), 0, make([]byte, n)) == nil {
			t.Errorf("a block of %d bytes was sealed", n)
		}
	}
	if s.Seal(make([]byte, 10), 0, make([]byte, 10)) == nil {
		t.Error("a destination without room for the tag was accepted")
	}
	if s.Open(make([]byte, 10), 0, 9, 0, make([]byte, 25)) == nil {
		t.Error("more than the block has was opened")
	}
	for _, suite := range all {
		if got, err := ParseSuite(suite.String()); got != suite || err != nil {
			t.Errorf("%v reads as %v, %v", suite, got, err)
		}
	}
	if _, err := ParseSuite("rot13"); err == nil || !strings.Contains(err.Error(), "aes-256-gcm") {
		t.Errorf("rot13: %v", err)
	}
}

// TestGolden: what was sealed by an older build is opened by this one. Each
// line: suite, segment size, sum of the sealed block, its first segment's end.
func TestGolden(t *testing.T) {
	var out strings.Builder
	for _, suite := range all {
		for _, size := range []uint32{MinSize, 64 << 10} {
			f := Format{suite, size}
			plain := make([]byte, 150_001)
			for i := range plain {
				plain[i] = byte(i * 7)
			}
			sealed := seal(t, slice(t, f, 0x42, here), 3, plain)
			end := f.sealed(f.Size)
			fmt.Fprintf(&out, "%s %d %x %s\n", suite, size, sha256.Sum256(sealed), hex.EncodeToString(sealed[end-32:end]))
		}
	}
	const path = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("sealed blocks changed; what is on disks would be lost:\n%s", out.String())
	}
}
