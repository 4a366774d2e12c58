package disk

import (
	"io"
)

// found is a record's header and where it is.
type found struct {
	header
	at place
}

func (r *found) end() int64 { return r.at.off() + recordSize(r.size) }

func (r *found) item() item { return item{r.id, r.stored, r.size, r.at.sector, r.sum} }

// run is a stretch of a volume that is neither record nor zeros.
type run struct{ from, to int64 }

// scanner walks a volume by the headers of its records. Where there is none
// it tries the next sector: damage hides no record but its own.
type scanner struct {
	s      *Store
	f      file
	number uint32

	window []byte
	at     int64 // the window's place in the file
	length int64 // of what is in the window
}

// The sizes of the scanner's window: small blocks are read together, between
// large ones only the headers.
const (
	windowSize = 256 << 10
	windowJump = pageSize
)

// peek answers n bytes at off, fewer at the end of the file.
func (sc *scanner) peek(off int64, n int64) ([]byte, error) {
	if off < sc.at || off+n > sc.at+sc.length {
		want := int64(windowSize)
		if far := off - (sc.at + sc.length); far > windowSize/4 {
			want = windowJump
		}
		if sc.window == nil {
			sc.window = make([]byte, windowSize)
		}
		got, err := sc.f.readv([][]byte{sc.window[:want]}, off)
		if err != nil {
			return nil, err
		}
		sc.at, sc.length = off, got
	}
	b := sc.window[off-sc.at : sc.length]
	return b[:min(n, int64(len(b)))], nil
}

// walk calls f for each record from the sector at from on, and answers what
// it could make nothing of. Large stretches of nothing are not even read.
func (sc *scanner) walk(from int64, f func(found) error) (junk []run, err error) {
	const stride = 1 << 20 // how often to ask where the data is
	for pos, ask := from, from; ; {
		if pos >= ask {
			next, err := sc.f.data(pos)
			if err == io.EOF {
				return junk, nil
			}
			if err != nil {
				return junk, err
			}
			pos = max(pos, alignDown(next, sectorSize))
			ask = pos + stride
		}
		b, err := sc.peek(pos, sectorSize)
		if err != nil || len(b) == 0 {
			return junk, err
		}
		at := placeOf(sc.number, pos)
		if h, err := parseHeader(b, sc.s.mark, at); err == nil {
			r := found{h, at}
			if err := f(r); err != nil {
				return junk, err
			}
			pos = r.end()
			continue
		}
		if !zero(b) {
			if n := len(junk); n > 0 && junk[n-1].to == pos {
				junk[n-1].to += sectorSize
			} else {
				junk = append(junk, run{pos, pos + sectorSize})
			}
		}
		pos += sectorSize
	}
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// whole reads a record and answers its data if all of it agrees with its sums.
// buf has room for it.
func (sc *scanner) whole(r found, buf []byte) (data []byte, ok bool, err error) {
	body := buf[headerSize : dataOff(r.size)+int64(r.size)]
	if err := readFull(sc.f, [][]byte{body}, r.at.off()+headerSize); err != nil {
		return nil, false, err
	}
	table, data := body[:sumSize*units(r.size)], body[sumSize*units(r.size):]
	if sumOf(table) != r.sum || badUnit(table, 0, [][]byte{data}) >= 0 {
		return nil, false, nil
	}
	return data, true, nil
}

// image reads all of a sealed volume's headers.
func (sc *scanner) image() (*image, error) {
	im := &image{covered: sectorSize}
	_, err := sc.walk(sectorSize, func(r found) error {
		im.covered = r.end()
		if r.kind == blockRecord {
			im.items = append(im.items, r.item())
			return nil
		}
		data, ok, err := sc.whole(r, make([]byte, recordSize(r.size)))
		if ok {
			im.graves = append(im.graves, parseGraves(data)...)
		}
		return err
	})
	return im, err
}
