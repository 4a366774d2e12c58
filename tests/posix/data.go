package posix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var dataChecks = []check{
	{"offsets", dataOffsets},
	{"end", dataEnd},
	{"sparse", dataSparse},
	{"seek", dataSeek},
	{"truncate", dataTruncate},
	{"exposure", dataExposure},
	{"vectors", dataVectors},
	{"copy", dataCopy},
	{"blocks", dataBlocks},
	{"big", dataBig},
}

// Where something may end and something else begin: pages, requests of the
// kernel, blocks and chunks of the store.
var edges = []int64{0, 1, 511, 4096, 64 << 10, 128 << 10, 1 << 20, 4 << 20, 64 << 20, 128 << 20}

// dataOffsets writes pieces of odd lengths across every edge, and reads them
// back one by one, then through a new open.
func dataOffsets(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	piece := func(i int, at int64) []byte {
		return bytes.Repeat([]byte(fmt.Sprintf("%d@%d|", i, at)), 1+i%90)
	}
	for i, e := range edges {
		for _, d := range []int64{-700, -1, 0, 1, 4095} {
			if at := e + d; at >= 0 {
				p := piece(i, at)
				_, err := f.WriteAt(p, at)
				ok(t, err)
				got := make([]byte, len(p))
				_, err = f.ReadAt(got, at)
				ok(t, err)
				if !bytes.Equal(got, p) {
					t.Fatalf("at %d: read %q, want %q", at, got, p)
				}
			}
		}
	}
	// The last piece written over an edge is whole.
	again := open(t, f.Name(), os.O_RDONLY, 0)
	for i, e := range edges {
		at := e + 4095
		if e < 511 {
			continue // the next edges' pieces lie over these
		}
		p := piece(i, at)
		got := make([]byte, len(p))
		_, err := again.ReadAt(got, at)
		ok(t, err)
		if !bytes.Equal(got, p) {
			t.Errorf("through a new open, at %d: read %q, want %q", at, got, p)
		}
	}
	last := edges[len(edges)-1] + 4095
	equal(t, "size", fstat(t, f).Size, last+int64(len(piece(len(edges)-1, last))))
}

func dataEnd(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	fd := int(f.Fd())
	n, err := unix.Write(fd, nil)
	ok(t, err)
	equal(t, "bytes of an empty write", n, 0)
	_, err = unix.Pwrite(fd, nil, 100)
	ok(t, err)
	equal(t, "size after an empty write beyond the end", fstat(t, f).Size, 0)
	_, err = unix.Pwrite(fd, []byte("abc"), 0)
	ok(t, err)
	b := make([]byte, 10)
	for at, want := range map[int64]int{0: 3, 2: 1, 3: 0, 4: 0, 1 << 40: 0} {
		n, err = unix.Pread(fd, b, at)
		ok(t, err)
		equal(t, fmt.Sprintf("bytes read at %d", at), n, want)
	}
	_, err = unix.Pread(fd, b, -1)
	refused(t, "pread at -1", err, unix.EINVAL)
	_, err = unix.Pwrite(fd, b, -1)
	refused(t, "pwrite at -1", err, unix.EINVAL)
	_, err = unix.Seek(fd, -1, io.SeekStart)
	refused(t, "lseek to -1", err, unix.EINVAL)
}

func dataSparse(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	const far = 5 << 30
	_, err := f.WriteAt([]byte("tail"), far)
	ok(t, err)
	_, err = f.WriteAt([]byte("middle"), far/2)
	ok(t, err)
	equal(t, "size", fstat(t, f).Size, far+4)
	ok(t, f.Sync())
	if used := fstat(t, f).Blocks * 512; used > 64<<20 {
		t.Errorf("a file of two small pieces uses %d bytes", used)
	}
	buf := make([]byte, 1<<20)
	for _, at := range []int64{0, 4096, far/2 - 1<<20, far / 2, far - 1<<19} {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		want := make([]byte, n)
		if i := far/2 - at; i >= 0 && i < int64(n) {
			copy(want[i:], "middle")
		}
		if i := far - at; i >= 0 && i < int64(n) {
			copy(want[i:], "tail")
		}
		if !bytes.Equal(buf[:n], want) {
			t.Errorf("at %d: a hole does not read as zeros", at)
		}
	}
}

// dataSeek asks for what every answer of SEEK_HOLE and SEEK_DATA must obey:
// data that was written is never called a hole, and the end is one.
func dataSeek(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	fd := int(f.Fd())
	const size = 16 << 20
	ok(t, unix.Ftruncate(fd, size))
	written := [][2]int64{{1 << 20, 1<<20 + 70000}, {9 << 20, 9<<20 + 1}}
	for _, w := range written {
		_, err := f.WriteAt(bytes.Repeat([]byte("d"), int(w[1]-w[0])), w[0])
		ok(t, err)
	}
	for _, synced := range []bool{false, true} { // also with dirty pages
		if synced {
			ok(t, f.Sync())
		}
		inData := func(at int64) bool { // by the answers of the filesystem
			d, err := unix.Seek(fd, at, unix.SEEK_DATA)
			return err == nil && d == at
		}
		for _, w := range written {
			for _, at := range []int64{w[0], w[1] - 1} {
				if !inData(at) {
					t.Errorf("synced=%v: SEEK_DATA calls written byte %d a hole", synced, at)
				}
			}
			h, err := unix.Seek(fd, w[0], unix.SEEK_HOLE)
			ok(t, err)
			if h < w[1] || h > size {
				t.Errorf("synced=%v: SEEK_HOLE from %d: %d is in written data or beyond the end", synced, w[0], h)
			}
		}
		_, err := unix.Seek(fd, size, unix.SEEK_DATA)
		refused(t, "SEEK_DATA at the end", err, unix.ENXIO)
		_, err = unix.Seek(fd, size, unix.SEEK_HOLE)
		refused(t, "SEEK_HOLE at the end", err, unix.ENXIO)
		end, err := unix.Seek(fd, size-1, unix.SEEK_HOLE)
		ok(t, err)
		if end != size && end != size-1 {
			t.Errorf("SEEK_HOLE before the end: %d", end)
		}
	}
}

func dataTruncate(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	ok(t, unix.Truncate(name, 4))
	equal(t, "shorter", content(t, name), "0123")
	ok(t, unix.Truncate(name, 8))
	equal(t, "longer", content(t, name), "0123\x00\x00\x00\x00")
	f := open(t, name, os.O_RDWR, 0)
	ok(t, f.Truncate(2))
	equal(t, "by the descriptor", content(t, name), "01")
	equal(t, "its size by the descriptor", fstat(t, f).Size, 2)
	refused(t, "truncate to -1", unix.Truncate(name, -1), unix.EINVAL)
	refused(t, "truncate of a directory", unix.Truncate(dir, 0), unix.EISDIR)
	refused(t, "truncate of nothing", unix.Truncate(name+"x", 0), unix.ENOENT)
	refused(t, "truncate below a file", unix.Truncate(name+"/x", 0), unix.ENOTDIR)
	// The position stays and a write there leaves a hole.
	_, err := f.Seek(0, io.SeekStart)
	ok(t, err)
	_, err = f.Write([]byte("abcdef"))
	ok(t, err)
	ok(t, f.Truncate(1))
	_, err = f.Write([]byte("Z"))
	ok(t, err)
	equal(t, "a write at the old position", content(t, name), "a\x00\x00\x00\x00\x00Z")
}

// dataExposure: whatever was cut off never shows again, at no edge, however
// the file grows.
func dataExposure(t *testing.T, dir string) {
	grow := map[string]func(f *os.File, to int64) error{
		"truncate": func(f *os.File, to int64) error { return f.Truncate(to) },
		"write":    func(f *os.File, to int64) error { _, err := f.WriteAt([]byte{0}, to-1); return err },
	}
	const size = 5 << 20
	secret := bytes.Repeat([]byte("secret"), size/6)
	for how, grow := range grow {
		for _, cut := range []int64{0, 1, 4095, 4096, 5000, 128<<10 - 1, 4<<20 - 1, 4 << 20, 4<<20 + 1} {
			for _, sync := range []bool{false, true} {
				f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
				_, err := f.WriteAt(secret, 0)
				ok(t, err)
				if sync {
					ok(t, f.Sync())
				}
				ok(t, f.Truncate(cut))
				ok(t, grow(f, size))
				got := make([]byte, size)
				_, err = f.ReadAt(got, 0)
				ok(t, err)
				if !bytes.Equal(got[:cut], secret[:cut]) {
					t.Errorf("%s, cut at %d, sync %v: what was kept has changed", how, cut, sync)
				}
				if i := bytes.IndexFunc(got[cut:], func(r rune) bool { return r != 0 }); i >= 0 {
					t.Errorf("%s, cut at %d, sync %v: byte %d of the old shows", how, cut, sync, cut+int64(i))
				}
				ok(t, f.Close())
			}
		}
	}
}

func dataVectors(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	fd := int(f.Fd())
	n, err := unix.Pwritev(fd, [][]byte{[]byte("ab"), {}, []byte("cde"), bytes.Repeat([]byte("f"), 200000)}, 3)
	ok(t, err)
	equal(t, "written", n, 200005)
	one, two := make([]byte, 4), make([]byte, 100000)
	n, err = unix.Preadv(fd, [][]byte{one, two}, 1)
	ok(t, err)
	equal(t, "read", n, 100004)
	equal(t, "the first", string(one), "\x00\x00ab")
	equal(t, "the second", string(two[:4]), "cdef")
}

// dataCopy: copy_file_range and sendfile, as cp and servers use them.
func dataCopy(t *testing.T, dir string) {
	src := open(t, filepath.Join(dir, "src"), os.O_CREATE|os.O_RDWR, 0o644)
	data := bytes.Repeat([]byte("0123456789abcdef!"), 100000)
	_, err := src.Write(data)
	ok(t, err)
	dst := open(t, filepath.Join(dir, "dst"), os.O_CREATE|os.O_RDWR, 0o644)
	in, out := int64(1), int64(7)
	for left := len(data) - 1; left > 0; {
		n, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, left, 0)
		ok(t, err)
		if n == 0 {
			t.Fatalf("copy_file_range copies nothing, with %d bytes left", left)
		}
		left -= n
	}
	equal(t, "the copy is whole", content(t, dst.Name()) == "\x00\x00\x00\x00\x00\x00\x00"+string(data[1:]), true)
	third := open(t, filepath.Join(dir, "third"), os.O_CREATE|os.O_RDWR, 0o644)
	_, err = src.Seek(0, io.SeekStart)
	ok(t, err)
	_, err = io.Copy(third, src)
	ok(t, err)
	equal(t, "io.Copy is whole", content(t, third.Name()) == string(data), true)
}

func dataBlocks(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR, 0o644)
	_, err := f.Write(make([]byte, 1<<20))
	ok(t, err)
	ok(t, f.Sync())
	st := fstat(t, f)
	if used := st.Blocks * 512; used < 1<<20 || used > 2<<20 {
		t.Errorf("1 MiB of data uses %d bytes by st_blocks", used)
	}
	if st.Blksize < 512 || st.Blksize > 64<<20 {
		t.Errorf("st_blksize is %d", st.Blksize)
	}
	ok(t, f.Truncate(0))
	ok(t, f.Sync())
	equal(t, "st_blocks of nothing", fstat(t, f).Blocks, 0)
}

// dataBig passes more than any buffer on the way holds, and looks at each byte.
func dataBig(t *testing.T, dir string) {
	const size, step = 160 << 20, 1 << 20
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_WRONLY, 0o644)
	block := func(i int) []byte {
		b := make([]byte, step)
		for j := range b {
			b[j] = byte(i*31 + j*7 + j>>8)
		}
		return b
	}
	for i := range size / step {
		_, err := f.Write(block(i))
		ok(t, err)
	}
	ok(t, f.Close())
	r := open(t, name, os.O_RDONLY, 0)
	got := make([]byte, step)
	for i := range size / step {
		_, err := io.ReadFull(r, got)
		ok(t, err)
		if !bytes.Equal(got, block(i)) {
			t.Fatalf("the %dth MiB differs", i)
		}
	}
}
