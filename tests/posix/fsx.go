package posix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// Fuzz does random things to files and compares each with an oracle in memory,
// in several processes at once. A failure names its seed; SEED=n runs that one
// again, alone.
func Fuzz(t *testing.T, dir string, steps int) {
	seeds := []uint64{rand.Uint64N(1e9), rand.Uint64N(1e9), rand.Uint64N(1e9), 1, 2, 3}
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		ok(t, err)
		seeds = []uint64{seed}
	}
	var cmds []*exec.Cmd
	var outs []*strings.Builder
	for i, seed := range seeds {
		out := &strings.Builder{}
		cmd := harness.Child("posix-fsx", filepath.Join(dir, fmt.Sprint("fsx", i)), fmt.Sprint(seed), itoa(steps))
		cmd.Stdout, cmd.Stderr = out, out
		ok(t, cmd.Start())
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("SEED=%d: %v\n%s", seeds[i], err, outs[i])
		}
	}
}

// fsxChild is one process of Fuzz: FILE SEED STEPS.
func fsxChild(args []string) (err error) {
	seed, err1 := strconv.ParseUint(args[1], 10, 64)
	steps, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	x := &fsx{name: args[0], r: rand.New(rand.NewPCG(seed, 0)), log: make([]string, 0, steps)}
	debug.SetPanicOnFault(true) // a map that lost its file: an error, not a crash
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a mapped page is not there: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("%w\nthe last steps of %d:\n%s", err, len(x.log), strings.Join(x.log[max(0, len(x.log)-25):], "\n"))
		}
	}()
	if err := x.reopen(); err != nil {
		return err
	}
	for range steps {
		if err := x.step(); err != nil {
			return err
		}
	}
	return errors.Join(x.compare(), x.f.Close())
}

// fsxMax is the largest size: several blocks, so that their borders are met.
const fsxMax = 10 << 20

// fsx is a file and what it should hold.
type fsx struct {
	name string
	f    *os.File
	want []byte
	r    *rand.Rand
	log  []string
}

func (x *fsx) did(format string, args ...any) { x.log = append(x.log, fmt.Sprintf(format, args...)) }

// span picks a range, small ones and borders of pages and blocks preferred.
func (x *fsx) span(limit int) (off, n int) {
	off = x.r.IntN(limit)
	if x.r.IntN(3) == 0 {
		edge := []int{4096, 128 << 10, 4 << 20}[x.r.IntN(3)]
		off = min(max(off/edge*edge+x.r.IntN(7)-3, 0), limit-1)
	}
	n = 1 + x.r.IntN([]int{16, 5000, 70000, 700000}[x.r.IntN(4)])
	return off, min(n, limit-off)
}

func (x *fsx) data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + x.r.IntN(255)) // never zero: a lost write is seen
	}
	return b
}

// lay puts b into the oracle.
func (x *fsx) lay(off int, b []byte) {
	if end := off + len(b); end > len(x.want) {
		x.want = append(x.want, make([]byte, end-len(x.want))...)
	}
	copy(x.want[off:], b)
}

func (x *fsx) step() error {
	switch n := x.r.IntN(100); {
	case n < 35:
		return x.write()
	case n < 55:
		return x.read()
	case n < 65:
		return x.truncate()
	case n < 75:
		return x.mapWrite()
	case n < 83:
		return x.mapRead()
	case n < 88:
		x.did("fsync")
		return x.f.Sync()
	case n < 94:
		return x.reopen()
	case n < 96:
		return x.compare()
	default:
		return x.append()
	}
}

func (x *fsx) write() error {
	off, n := x.span(fsxMax)
	b := x.data(n)
	x.did("write %d at %d (size %d)", n, off, len(x.want))
	x.lay(off, b)
	_, err := x.f.WriteAt(b, int64(off))
	return err
}

// append writes through a second descriptor of O_APPEND.
func (x *fsx) append() error {
	n := min(1+x.r.IntN(9000), fsxMax-len(x.want))
	if n <= 0 {
		return nil
	}
	b := x.data(n)
	x.did("append %d (size %d)", n, len(x.want))
	x.lay(len(x.want), b)
	f, err := os.OpenFile(x.name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func (x *fsx) read() error {
	off, n := x.span(fsxMax)
	x.did("read %d at %d (size %d)", n, off, len(x.want))
	b := make([]byte, n)
	got, err := x.f.ReadAt(b, int64(off))
	if err != nil && err != io.EOF {
		return err
	}
	return x.same("read", off, b[:got], min(n, max(0, len(x.want)-off)))
}

func (x *fsx) truncate() error {
	size := x.r.IntN(fsxMax)
	if x.r.IntN(2) == 0 && len(x.want) > 0 {
		size = x.r.IntN(len(x.want)) // as often shorter as longer
	}
	x.did("truncate to %d (size %d)", size, len(x.want))
	if size < len(x.want) {
		x.want = append([]byte(nil), x.want[:size]...)
	} else {
		x.want = append(x.want, make([]byte, size-len(x.want))...)
	}
	if x.r.IntN(2) == 0 {
		return os.Truncate(x.name, int64(size))
	}
	return x.f.Truncate(int64(size))
}

// mapped runs f over a part of the file as a shared map shows it.
func (x *fsx) mapped(f func(off int, m []byte) error) error {
	if len(x.want) == 0 {
		return nil
	}
	off, n := x.span(len(x.want))
	page := off &^ 4095
	m, err := unix.Mmap(int(x.f.Fd()), int64(page), off-page+n, readWrite, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	err = f(off, m[off-page:])
	if x.r.IntN(2) == 0 {
		x.did("msync")
		err = errors.Join(err, unix.Msync(m, unix.MS_SYNC))
	}
	return errors.Join(err, unix.Munmap(m))
}

func (x *fsx) mapWrite() error {
	return x.mapped(func(off int, m []byte) error {
		x.did("mapwrite %d at %d (size %d)", len(m), off, len(x.want))
		b := x.data(len(m))
		copy(m, b)
		x.lay(off, b)
		return nil
	})
}

func (x *fsx) mapRead() error {
	return x.mapped(func(off int, m []byte) error {
		x.did("mapread %d at %d (size %d)", len(m), off, len(x.want))
		return x.same("mapread", off, m, len(m))
	})
}

func (x *fsx) reopen() error {
	x.did("reopen")
	if x.f != nil {
		if err := x.f.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	var err error
	x.f, err = os.OpenFile(x.name, os.O_CREATE|os.O_RDWR, 0o644)
	return err
}

// compare looks at everything.
func (x *fsx) compare() error {
	x.did("compare")
	b, err := os.ReadFile(x.name)
	if err != nil {
		return err
	}
	st, err := x.f.Stat()
	if err == nil && st.Size() != int64(len(x.want)) {
		err = fmt.Errorf("size is %d, want %d", st.Size(), len(x.want))
	}
	return errors.Join(err, x.same("compare", 0, b, len(x.want)))
}

// same says where got, read at off, differs from the oracle first.
func (x *fsx) same(what string, off int, got []byte, n int) error {
	if len(got) != n {
		return fmt.Errorf("%s at %d: got %d bytes, want %d", what, off, len(got), n)
	}
	if n == 0 || bytes.Equal(got, x.want[off:off+n]) {
		return nil
	}
	i := 0
	for got[i] == x.want[off+i] {
		i++
	}
	end := min(i+8, n)
	return fmt.Errorf("%s of %d bytes at %d: byte %d differs: got % x, want % x", what, n, off, off+i, got[i:end], x.want[off+i:off+end])
}
