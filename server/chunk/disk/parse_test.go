package disk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

var testMark = mark{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func testHeader() header {
	return header{kind: blockRecord, id: chunktest.ID(5), size: 70_000, stored: 1700000000123456789, durable: 512, sum: 0xdeadbeef}
}

func testImage() *image {
	return &image{
		covered: 1 << 20,
		graves:  []place{{1, 1}, {2, 77}},
		items:   []item{{chunktest.ID(1), 1700000000123456789, 5000, 1, 7}, {chunktest.ID(2), 1, 1, 12, 8}},
	}
}

// FuzzHeader: what parses prints the same, and only at its own place.
func FuzzHeader(f *testing.F) {
	b := make([]byte, headerSize)
	h := testHeader()
	h.put(b, testMark, place{3, 9})
	f.Add(b, uint32(3), uint32(9))
	f.Add(b, uint32(3), uint32(10))
	h = header{kind: graveRecord, size: tombSize, durable: 9 * sectorSize}
	h.put(b, testMark, place{1, 9})
	f.Add(bytes.Clone(b), uint32(1), uint32(9))
	f.Add([]byte(recordMagic), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, vol, sector uint32) {
		at := place{vol, sector}
		if len(b) >= headerSize { // let the fuzzer past the sum
			copy(b[8:], testMark[:])
			le.PutUint32(b[76:], headerSum(b, at))
		}
		h, err := parseHeader(b, testMark, at)
		if err != nil {
			return
		}
		again := make([]byte, headerSize)
		h.put(again, testMark, at)
		if !bytes.Equal(again, b[:headerSize]) {
			t.Fatalf("%x prints as %x", b, again)
		}
		if _, err := parseHeader(b, testMark, place{vol, sector + 1}); err == nil {
			t.Fatal("parsed at another place")
		}
		if h.size == 0 || h.size > posix.BlockMax || h.durable > at.off() {
			t.Fatalf("parsed %+v", h)
		}
	})
}

// FuzzIndexFile: what parses prints the same.
func FuzzIndexFile(f *testing.F) {
	f.Add(testImage().encode(testMark, 4))
	f.Add((&image{covered: sectorSize}).encode(testMark, 4))
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= indexHeaderSize {
			copy(b[16:], testMark[:])
			le.PutUint32(b[48:], sumOf(b[indexHeaderSize:]))
			le.PutUint32(b[60:], sumOf(b[:60]))
		}
		im, err := parseIndex(b, testMark, 4)
		if err != nil {
			return
		}
		if again := im.encode(testMark, 4); !bytes.Equal(again, b) {
			t.Fatalf("%x prints as %x", b, again)
		}
	})
}

// FuzzFormat: what parses prints the same.
func FuzzFormat(f *testing.F) {
	f.Add(formatText(testMark))
	f.Add("wardfs chunk store\nversion 2\nsum 00000000\n")
	f.Add("sum ")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseFormat(text)
		if err == nil && formatText(m) != text {
			t.Fatalf("%q prints as %q", text, formatText(m))
		}
	})
}

// FuzzVolume opens a store whose volume has any bytes: whatever they are, it
// opens, and every block that it lists can be asked for.
func FuzzVolume(f *testing.F) {
	seed := func(edit func([]byte)) []byte {
		fs := newSim(1)
		fs.names[formatName] = simBytes(fs, formatName, []byte(formatText(testMark)))
		s, err := open(simConfig(), fs)
		if err != nil {
			f.Fatal(err)
		}
		for i := range 3 {
			if err := s.Put(ctx, chunktest.ID(i), [][]byte{chunktest.Bytes(i, 400)}); err != nil {
				f.Fatal(err)
			}
		}
		s.Delete(ctx, chunktest.ID(0))
		s.maintain(ctx)
		b := bytes.Clone(fs.names[volumeName(1)].cur[:s.active.tail])
		edit(b)
		return b
	}
	f.Add(seed(func([]byte) {}), false)
	f.Add(seed(func(b []byte) { b[600]++ }), true)
	f.Add(seed(func(b []byte) { clear(b[:sectorSize]) }), false)
	f.Add([]byte{}, false)
	f.Add(bytes.Repeat([]byte(recordMagic), 1000), true)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		for off := int64(sectorSize); fix && off+headerSize <= int64(len(b)); off += sectorSize {
			copy(b[off+8:], testMark[:])
			le.PutUint32(b[off+76:], headerSum(b[off:], placeOf(1, off)))
		}
		fs := newSim(1)
		fs.names[formatName] = simBytes(fs, formatName, []byte(formatText(testMark)))
		fs.names[volumeName(1)] = simBytes(fs, volumeName(1), b)
		s, err := open(simConfig(), fs)
		if err != nil {
			if newer := (*newerError)(nil); errors.As(err, &newer) {
				return
			}
			t.Fatal(err)
		}
		err = s.List(ctx, func(i chunk.Info) bool {
			_ = s.Get(ctx, i.ID, 0, make([]byte, i.Size))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(ctx, chunktest.ID(50), [][]byte{{1}}); err != nil {
			t.Fatal(err)
		}
	})
}

func simBytes(fs *simFS, name string, b []byte) *simFile {
	f := &simFile{fs: fs, name: name, dirty: map[int64]struct{}{}, pages: map[int64]struct{}{}}
	f.cur, f.disk = bytes.Clone(b), bytes.Clone(b)
	return f
}

// FuzzSpan holds the arithmetic of ranges to what it is for.
func FuzzSpan(f *testing.F) {
	for _, n := range []uint32{1, unitSize - 1, unitSize, unitSize + 1, posix.BlockSize, posix.BlockMax} {
		f.Add(n, uint32(0), n)
		f.Add(n, n-1, uint32(1))
	}
	f.Fuzz(func(t *testing.T, size, off, n uint32) {
		size = size%posix.BlockMax + 1
		off %= size
		n = n%(size-off) + 1
		sp := spanOf(size, off, int(n))
		end := sp.start + uint32(sp.head) + n + uint32(sp.tail)
		switch {
		case sp.start%unitSize != 0 || int(sp.start)/unitSize != sp.first,
			sp.head < 0 || sp.head >= unitSize || sp.start+uint32(sp.head) != off,
			sp.tail < 0 || sp.tail >= unitSize,
			end > size || end%unitSize != 0 && end != size:
			t.Fatalf("%d bytes at %d of %d: %+v", n, off, size, sp)
		}
	})
}

// TestGolden holds the bytes on disk to what they were. A difference is a new
// version of the format, or a fault.
func TestGolden(t *testing.T) {
	fs := newSim(1)
	fs.names[formatName] = simBytes(fs, formatName, []byte(formatText(testMark)))
	cfg := simConfig()
	cfg.Now = func() time.Time { return time.Unix(1700000000, 123456789) }
	s, err := open(cfg, fs)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{1, 700, 17_000} {
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{bytes.Repeat([]byte{byte(i) + 1}, n)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, chunktest.ID(1)); err != nil {
		t.Fatal(err)
	}
	s.maintain(ctx)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{formatName, volumeName(1), indexName(1)} {
		got := dump(fs.names[name].cur)
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what it was; go test -update, and read the difference", name)
		}
	}
}

// dump is b as hexadecimal, lines of zeros and repetitions left out.
func dump(b []byte) []byte {
	var out bytes.Buffer
	var last string
	for i, line := range bytes.Split([]byte(hex.Dump(b)), []byte("\n")) {
		if len(line) < 10 {
			continue
		}
		if body := string(line[8:]); body != last || i == 0 {
			out.Write(append(line, '\n'))
			last = body
		}
	}
	return out.Bytes()
}

func TestRecordSize(t *testing.T) {
	for _, c := range []struct {
		size uint32
		want int64
	}{
		{1, 512}, {428, 512}, {429, 1024}, {4096, 4608}, {16 << 10, 16896}, {posix.BlockSize, 4195840}, {posix.BlockMax, 4326912},
	} {
		if got := recordSize(c.size); got != c.want {
			t.Errorf("a block of %d takes %d, want %d", c.size, got, c.want)
		}
	}
}

// TestIndexModel does random operations on the index and on a map.
func TestIndexModel(t *testing.T) {
	x := newIndex()
	model := map[chunk.BlockID]entry{}
	r := newSim(5).r
	for step := range 60_000 {
		id := chunktest.ID(r.IntN(3000))
		e := entry{file: id.File, slice: id.Slice, index: id.Index, size: 1, at: place{1, uint32(step + 1)}}
		have, ok := model[id]
		switch r.IntN(4) {
		case 0:
			if got, found := x.remove(id); found != ok || got != have {
				t.Fatalf("remove: %+v, %v, want %+v, %v", got, found, have, ok)
			}
			delete(model, id)
		case 1:
			if x.swap(place{9, 9}, e) {
				t.Fatal("swapped what was not there")
			}
		default:
			if !x.swap(have.at, e) {
				t.Fatal("not swapped")
			}
			model[id] = e
		}
	}
	if x.len() != len(model) {
		t.Fatalf("%d entries, want %d", x.len(), len(model))
	}
	for id, want := range model {
		if got, ok := x.get(id); !ok || got != want {
			t.Fatalf("get %s: %+v, %v, want %+v", id, got, ok, want)
		}
	}
	x.each(func(e entry) bool {
		if model[e.id()] != e {
			t.Fatalf("%+v is in the index", e)
		}
		delete(model, e.id())
		return true
	})
	if len(model) != 0 {
		t.Fatalf("%d entries were not seen", len(model))
	}
}

// TestIndexMemory bounds what a block costs.
func TestIndexMemory(t *testing.T) {
	x := newIndex()
	const n = 300_000
	for i := range n {
		e := entry{file: 1, index: uint32(i), size: 1, at: place{1, uint32(i + 1)}}
		x.swap(place{}, e)
	}
	slots := 0
	for i := range x.shards {
		slots += cap(x.shards[i].slots)
	}
	if per := float64(slots) * 48 / n; per > 70 || math.IsNaN(per) {
		t.Errorf("%.1f bytes a block", per)
	} else {
		t.Logf("%.1f bytes a block", per)
	}
}
