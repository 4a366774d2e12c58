package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// tagged is a codec with segments of 4 KiB: each is turned over and followed by
// a sum over its place, its index and its bytes, as a sealed one would be.
type tagged struct{}

const (
	tagSegment = 4096
	tagSize    = 16
)

func (tagged) stored(size uint32) uint32 {
	return size + (size+tagSegment-1)/tagSegment*tagSize
}

func (c tagged) span(size, off, n uint32) (start, length uint32) {
	first, last := off/tagSegment, (off+n-1)/tagSegment
	start = first * (tagSegment + tagSize)
	return start, c.stored(min(size, (last+1)*tagSegment)) - start
}

func tag(at place, index uint32, sealed []byte) uint32 {
	b := append([]byte(nil), at.id.Slice[:]...)
	for _, v := range []uint64{uint64(at.id.File), uint64(at.id.Index), at.chunk, uint64(at.size), uint64(index)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return crc32.ChecksumIEEE(append(b, sealed...))
}

func (tagged) seal(dst []byte, at place, plain []byte) error {
	for index := uint32(0); len(plain) > 0; index++ {
		n := min(len(plain), tagSegment)
		for i := range n {
			dst[i] = ^plain[i]
		}
		clear(dst[n : n+tagSize])
		binary.LittleEndian.PutUint32(dst[n:], tag(at, index, dst[:n]))
		plain, dst = plain[n:], dst[n+tagSize:]
	}
	if len(dst) > 0 {
		return errors.New("dst is too long")
	}
	return nil
}

func (tagged) open(dst []byte, at place, off uint32, stored []byte) error {
	skip := int(off % tagSegment)
	for index := off / tagSegment; len(dst) > 0; index++ {
		n := min(len(stored)-tagSize, tagSegment)
		if binary.LittleEndian.Uint32(stored[n:]) != tag(at, index, stored[:n]) {
			return posix.E("read", posix.EIO, errors.New("wrong tag"))
		}
		m := min(len(dst), n-skip)
		for i := range m {
			dst[i] = ^stored[skip+i]
		}
		dst, stored, skip = dst[m:], stored[n+tagSize:], 0
	}
	return nil
}

// TestTaggedSpan proves the test's codec, so that a failure elsewhere is not its.
func TestTaggedSpan(t *testing.T) {
	plain := make([]byte, 3*tagSegment+100)
	for i := range plain {
		plain[i] = byte(i * 7)
	}
	at := place{size: uint32(len(plain)), chunk: 3}
	sealed := make([]byte, tagged{}.stored(at.size))
	if err := (tagged{}).seal(sealed, at, plain); err != nil {
		t.Fatal(err)
	}
	for off := uint32(0); off < at.size; off += 613 {
		for n := uint32(1); off+n <= at.size; n += 977 {
			start, length := tagged{}.span(at.size, off, n)
			got := make([]byte, n)
			if err := (tagged{}).open(got, at, off, sealed[start:start+length]); err != nil {
				t.Fatal(off, n, err)
			}
			if !bytes.Equal(got, plain[off:off+n]) {
				t.Fatal(off, n, "differs")
			}
		}
	}
}
