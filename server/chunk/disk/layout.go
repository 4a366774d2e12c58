package disk

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/wardfs/wardfs/posix"
)

// The sizes of the format, in bytes. docs/format.md draws it whole.
const (
	// sectorSize is what records are aligned to: a sector that a sync made
	// durable is never written again, so that a torn write harms nothing old,
	// and a scan for records after damage knows where to look.
	sectorSize = 512
	// unitSize is what one sum covers: a range read checks no more than the
	// units it touches.
	unitSize   = 16 << 10
	headerSize = 80 // of a record
	sumSize    = 4  // of a unit, in the record's table
	maxUnits   = (posix.BlockMax + unitSize - 1) / unitSize
	tombSize   = 8 // of one grave in a record of graves
	pageSize   = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// units is how many sums a record of size bytes of data has.
func units(size uint32) int { return int((uint64(size) + unitSize - 1) / unitSize) }

// dataOff is where the data begins in a record.
func dataOff(size uint32) int64 { return headerSize + sumSize*int64(units(size)) }

// recordSize is the room a record takes in its volume.
func recordSize(size uint32) int64 { return alignUp(dataOff(size)+int64(size), sectorSize) }

func alignUp(n, to int64) int64   { return (n + to - 1) / to * to }
func alignDown(n, to int64) int64 { return n / to * to }

// place is where a record lies. No two records ever have the same: volume
// numbers are not used twice and a volume only grows. Of two records of one
// block the later place is the newer.
type place struct {
	vol    uint32
	sector uint32 // offset / sectorSize
}

func placeOf(vol uint32, off int64) place { return place{vol, uint32(off / sectorSize)} }

func (p place) off() int64    { return int64(p.sector) * sectorSize }
func (p place) order() uint64 { return uint64(p.vol)<<32 | uint64(p.sector) }

// span is the run of units that a read of some bytes of a block must check.
type span struct {
	first int    // the first unit
	start uint32 // where it begins in the block
	head  int    // bytes of the units before the wanted ones
	tail  int    // and after them
}

// spanOf is the span of the n > 0 bytes at off of a block of size bytes.
func spanOf(size, off uint32, n int) span {
	first := off / unitSize
	end := uint64(off) + uint64(n)
	stop := min((end+unitSize-1)/unitSize*unitSize, uint64(size))
	return span{int(first), first * unitSize, int(off - first*unitSize), int(stop - end)}
}

// unitSums calls f with the sum of each unit of the bytes that pieces make
// one after the other, until f answers false.
func unitSums(pieces [][]byte, f func(i int, sum uint32) bool) {
	var sum uint32
	i, left := 0, unitSize
	for _, p := range pieces {
		for len(p) > 0 {
			n := min(left, len(p))
			sum = crc32.Update(sum, castagnoli, p[:n])
			p, left = p[n:], left-n
			if left > 0 {
				continue
			}
			if !f(i, sum) {
				return
			}
			i, left, sum = i+1, unitSize, 0
		}
	}
	if left < unitSize {
		f(i, sum)
	}
}

// fillTable writes the sums of pieces to table, which has room for just them.
func fillTable(table []byte, pieces [][]byte) {
	unitSums(pieces, func(i int, sum uint32) bool {
		le.PutUint32(table[sumSize*i:], sum)
		return true
	})
}

// badUnit is the first unit, counted from first, whose bytes in pieces differ
// from its sum in table; -1 if there is none.
func badUnit(table []byte, first int, pieces [][]byte) int {
	bad := -1
	unitSums(pieces, func(i int, sum uint32) bool {
		if le.Uint32(table[sumSize*(first+i):]) != sum {
			bad = first + i
		}
		return bad < 0
	})
	return bad
}
