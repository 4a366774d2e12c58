package disk

import (
	"errors"
	"hash/crc32"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

const (
	indexMagic      = "wardidx\n"
	indexHeaderSize = 64
	itemSize        = 48
)

// image is what an index file tells of its volume: all records up to covered,
// dead ones included; the graves say which those are.
type image struct {
	covered int64 // the end of the last record
	graves  []place
	items   []item
	blocks  int  // how many items there are
	reread  bool // they are left out here: the index file has them
}

var errIndex = errors.New("index file is damaged")

// An index file is a header, the graves and the items:
//
//	 0  8  "wardidx\n"
//	 8  4  version
//	12  4  number of the volume
//	16 16  mark of the store
//	32  8  covered: bytes of the volume that the index describes
//	40  4  number of items
//	44  4  number of graves
//	48  4  crc32c of graves and items
//	52  8  zero
//	60  4  crc32c of the bytes above
//	64     graves: volume 4, sector 4
//	       items: file 8, slice 16, stored 8, index 4, size 4, sector 4, crc32c of the record's table 4
func (im *image) encode(m mark, number uint32) []byte {
	b := make([]byte, indexHeaderSize, indexHeaderSize+tombSize*len(im.graves)+itemSize*len(im.items))
	b = append(b, putGraves(im.graves)...)
	for i := range im.items {
		b = im.items[i].append(b)
	}
	copy(b, indexMagic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], number)
	copy(b[16:], m[:])
	le.PutUint64(b[32:], uint64(im.covered))
	le.PutUint32(b[40:], uint32(len(im.items)))
	le.PutUint32(b[44:], uint32(len(im.graves)))
	le.PutUint32(b[48:], crc32.Checksum(b[indexHeaderSize:], castagnoli))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func (it *item) append(b []byte) []byte {
	b = le.AppendUint64(b, uint64(it.id.File))
	b = append(b, it.id.Slice[:]...)
	b = le.AppendUint64(b, uint64(it.stored))
	b = le.AppendUint32(b, it.id.Index)
	b = le.AppendUint32(b, it.size)
	b = le.AppendUint32(b, it.sector)
	return le.AppendUint32(b, it.sum)
}

func parseItem(b []byte) item {
	return item{
		id:     chunk.BlockID{File: posix.Ino(le.Uint64(b)), Slice: posix.SliceID(b[8:24]), Index: le.Uint32(b[32:])},
		stored: int64(le.Uint64(b[24:])),
		size:   le.Uint32(b[36:]),
		sector: le.Uint32(b[40:]),
		sum:    le.Uint32(b[44:]),
	}
}

// parseIndex reads the index file b of volume number. It is taken whole or
// not at all: what it says can be had from the volume.
func parseIndex(b []byte, m mark, number uint32) (*image, error) {
	if len(b) < indexHeaderSize || string(b[:8]) != indexMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return nil, errIndex
	}
	if v := le.Uint32(b[8:]); v > version {
		return nil, &newerError{"an index file", v}
	}
	items, graves := uint64(le.Uint32(b[40:])), uint64(le.Uint32(b[44:]))
	body := b[indexHeaderSize:]
	im := &image{covered: int64(le.Uint64(b[32:]))}
	switch {
	case le.Uint32(b[8:]) != version, le.Uint32(b[12:]) != number, mark(b[16:32]) != m, le.Uint64(b[52:]) != 0,
		uint64(len(body)) != tombSize*graves+itemSize*items,
		le.Uint32(b[48:]) != crc32.Checksum(body, castagnoli),
		im.covered < sectorSize, im.covered%sectorSize != 0:
		return nil, errIndex
	}
	im.graves = parseGraves(body[:tombSize*graves])
	im.items = make([]item, 0, items)
	for body = body[tombSize*graves:]; len(body) > 0; body = body[itemSize:] {
		it := parseItem(body)
		if it.size == 0 || it.size > posix.BlockMax || it.sector == 0 ||
			int64(it.sector)*sectorSize+recordSize(it.size) > im.covered {
			return nil, errIndex
		}
		im.items = append(im.items, it)
	}
	return im, nil
}
