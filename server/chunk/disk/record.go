package disk

import (
	"errors"
	"hash/crc32"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// version is that of the format: of records, volumes and index files alike.
const version = 1

const recordMagic = "wrdR"

// kind is what a record's data is.
type kind uint8

const (
	blockRecord kind = 1
	// graveRecord holds the places of deleted records, tombSize bytes each:
	// they stay dead when their volume is read again.
	graveRecord kind = 2
)

// mark is the random number of one store. It stands in all its records and
// nothing of it ever leaves the server, so that no client can write data which
// a scan would take for a record.
type mark [16]byte

// header is what stands before a record's table of sums and data:
//
//	 0  4  "wrdR"
//	 4  1  version
//	 5  1  kind
//	 6  2  zero
//	 8 16  mark of the store
//	24  8  file
//	32 16  slice
//	48  4  index
//	52  4  size: bytes of data
//	56  8  stored: ns since the epoch
//	64  8  durable
//	72  4  crc32c of the table of sums
//	76  4  crc32c of the bytes above, then volume number (4) and offset (8)
//
// All numbers are little-endian. The last sum binds the record to its place: a
// copy of it elsewhere, in a user's data say, is no record.
type header struct {
	kind   kind
	id     chunk.BlockID
	size   uint32
	stored int64
	// durable says that all of the volume before this offset had been synced
	// when the record was written: damage below it is damage, above it may be
	// a write that a crash cut short.
	durable int64
	sum     uint32 // of the table
}

var errNoRecord = errors.New("no record here")

// put writes the header to b, which has headerSize bytes, as it stands at p.
func (h *header) put(b []byte, m mark, p place) {
	copy(b, recordMagic)
	b[4], b[5], b[6], b[7] = version, byte(h.kind), 0, 0
	copy(b[8:], m[:])
	le.PutUint64(b[24:], uint64(h.id.File))
	copy(b[32:], h.id.Slice[:])
	le.PutUint32(b[48:], h.id.Index)
	le.PutUint32(b[52:], h.size)
	le.PutUint64(b[56:], uint64(h.stored))
	le.PutUint64(b[64:], uint64(h.durable))
	le.PutUint32(b[72:], h.sum)
	le.PutUint32(b[76:], headerSum(b, p))
}

func headerSum(b []byte, p place) uint32 {
	var at [12]byte
	le.PutUint32(at[:], p.vol)
	le.PutUint64(at[4:], uint64(p.off()))
	return crc32.Update(crc32.Checksum(b[:76], castagnoli), castagnoli, at[:])
}

// parseHeader reads the header at p; errNoRecord if there is none.
func parseHeader(b []byte, m mark, p place) (header, error) {
	if len(b) < headerSize || string(b[:4]) != recordMagic || mark(b[8:24]) != m ||
		le.Uint32(b[76:]) != headerSum(b, p) || b[4] != version || b[6]|b[7] != 0 {
		return header{}, errNoRecord
	}
	h := header{
		kind:    kind(b[5]),
		id:      chunk.BlockID{File: posix.Ino(le.Uint64(b[24:])), Slice: posix.SliceID(b[32:48]), Index: le.Uint32(b[48:])},
		size:    le.Uint32(b[52:]),
		stored:  int64(le.Uint64(b[56:])),
		durable: int64(le.Uint64(b[64:])),
		sum:     le.Uint32(b[72:]),
	}
	known := h.kind == blockRecord || h.kind == graveRecord && h.size%tombSize == 0
	if !known || h.size == 0 || h.size > posix.BlockMax || h.durable < 0 || h.durable > p.off() {
		return header{}, errNoRecord
	}
	return h, nil
}

// item is what an index file and the appender remember of a block's record.
type item struct {
	id     chunk.BlockID
	stored int64
	size   uint32
	sector uint32
	sum    uint32 // of the table
}

// putGraves writes places as the data of a graveRecord.
func putGraves(places []place) []byte {
	b := make([]byte, 0, tombSize*len(places))
	for _, p := range places {
		b = le.AppendUint32(b, p.vol)
		b = le.AppendUint32(b, p.sector)
	}
	return b
}

// parseGraves reads them back.
func parseGraves(b []byte) []place {
	places := make([]place, 0, len(b)/tombSize)
	for ; len(b) >= tombSize; b = b[tombSize:] {
		places = append(places, place{le.Uint32(b), le.Uint32(b[4:])})
	}
	return places
}
