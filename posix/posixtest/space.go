package posixtest

import (
	"math/rand/v2"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

const (
	keep  = posix.AllocKeepSize
	punch = posix.AllocPunchHole
	zero  = posix.AllocZeroRange
)

func testAllocate(e *env) {
	f := e.owned(e.mkfile(1, "f", 0o666), alice, alice.GID)
	h := e.open(f, rw)
	want := posix.Map{e.write(h, f, 0, 100), e.write(h, f, 200, 100)}
	size := uint64(300)
	for _, c := range []struct {
		mode     posix.AllocMode
		off, len uint64
	}{
		{0, 0, 300},               // what is there
		{keep, 0, 1000},           // beyond the end, without a word
		{0, 250, 150},             // longer
		{punch | keep, 50, 200},   // the end of one, the beginning of another
		{punch | keep, 10, 1},     // inside
		{punch | keep, 350, 1000}, // beyond the end
		{zero | keep, 90, 10000},
		{zero, 20, 10},
		{zero, 0, 5000}, // all, and longer
	} {
		a, err := e.root.Allocate(e.ctx, h, c.mode, c.off, c.len)
		e.ok(err)
		if c.mode&keep == 0 {
			size = max(size, c.off+c.len)
		}
		if c.mode&(punch|zero) != 0 {
			want = append(want.Range(0, c.off), want.Range(c.off+c.len, posix.FileSizeMax)...)
		}
		e.is("size", a.Size, size)
		e.is("bytes", a.Alloc, want.Covered(0, posix.FileSizeMax))
		e.is("attributes", e.attr(f), a)
		e.sameMap("layout", e.layout(h), want)
	}
	// It is a write, as far as set-id bits and times go.
	e.chmod(f, 0o6777)
	was := e.attr(f)
	h = e.handle()
	_, err := e.as(eve).Open(e.ctx, f, h, wr)
	e.ok(err)
	a, err := e.as(eve).Allocate(e.ctx, h, keep, 0, 1)
	e.ok(err)
	e.is("mode", a.Mode.Perm(), posix.Mode(0o777))
	if a.Mtime.Before(was.Mtime) || a.Change <= was.Change {
		e.Errorf("not changed: %+v after %+v", a, was)
	}
	_, err = e.root.Allocate(e.ctx, h, 0, posix.FileSizeMax-1, 1)
	e.ok(err)
	e.is("size", e.attr(f).Size, uint64(posix.FileSizeMax))
}

func testAllocateErrors(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h, reader := e.open(f, rw), e.open(f, rd)
	x := e.write(h, f, 0, 100)
	p, err := e.root.Mknod(e.ctx, 1, "p", posix.TypeFIFO|0o666, 0, 0)
	e.ok(err)
	c, err := e.root.Mknod(e.ctx, 1, "c", posix.TypeChar|0o666, 0, 1)
	e.ok(err)
	before := e.attr(f)
	for _, c := range []struct {
		what     string
		want     posix.Errno
		h        posix.Handle
		mode     posix.AllocMode
		off, len uint64
	}{
		{"no bytes", posix.EINVAL, h, 0, 0, 0},
		{"a negative offset", posix.EINVAL, h, 0, 1 << 63, 1},
		{"a negative length", posix.EINVAL, h, 0, 0, 1 << 63},
		{"too far", posix.EFBIG, h, 0, posix.FileSizeMax, 1},
		{"a hole that cuts", posix.EOPNOTSUPP, h, punch, 0, 10},
		{"a hole of zeros", posix.EOPNOTSUPP, h, punch | zero | keep, 0, 10},
		{"collapse", posix.EOPNOTSUPP, h, 0x08, 0, 4096},
		{"insert", posix.EOPNOTSUPP, h, 0x20, 0, 4096},
		{"unshare", posix.EOPNOTSUPP, h, 0x40, 0, 10},
		{"to read alone", posix.EBADF, reader, 0, 0, 10},
		{"no handle", posix.EBADF, e.handle(), 0, 0, 10},
		{"a directory", posix.EBADF, e.open(1, rd|dir), 0, 0, 10},
		{"a fifo", posix.ESPIPE, e.open(p.Ino, wr), 0, 0, 10},
		{"a fifo's hole", posix.ESPIPE, e.open(p.Ino, wr), punch | keep, 0, 10},
		{"a device", posix.ENODEV, e.open(c.Ino, wr), 0, 0, 10},
	} {
		_, err := e.root.Allocate(e.ctx, c.h, c.mode, c.off, c.len)
		e.no(c.what, c.want, err)
	}
	e.is("after all that", e.attr(f), before)
	e.sameMap("layout", e.layout(h), posix.Map{x})
}

// moved is m[off, off+n) where a copy to "to" puts it, cut at chunks' borders.
func moved(m posix.Map, off, to, n uint64) posix.Map {
	out := posix.Map{}
	for _, x := range m.Range(off, off+n) {
		x.Off = x.Off - off + to
		if border := (x.Off/posix.ChunkSize + 1) * posix.ChunkSize; x.End() > border {
			out = append(out, x.Cut(x.Off, border))
			x = x.Cut(border, x.End())
		}
		out = append(out, x)
	}
	return out
}

// copyRange copies until nothing is copied any more, as programs do, for an
// answer may be short.
func (e *env) copyRange(from posix.Handle, off uint64, to posix.Handle, at, length uint64) (n uint64, a posix.Attr, err error) {
	for {
		var did uint64
		did, a, err = e.root.CopyRange(e.ctx, from, off+n, to, at+n, length-n)
		n += did
		if did == 0 || n == length || err != nil {
			return n, a, err
		}
	}
}

func testCopyRange(e *env) {
	f, g := e.mkfile(1, "f", 0o644), e.owned(e.mkfile(1, "g", 0o666), alice, alice.GID)
	from, to := e.open(f, rd), e.open(g, rw)
	w := e.open(f, wr)
	e.write(w, f, 0, 100)
	e.write(w, f, posix.ChunkSize-50, 50)
	e.write(w, f, posix.ChunkSize, 1000)
	src := e.layout(from)
	size := uint64(posix.ChunkSize + 1000)
	var want posix.Map
	end := uint64(0)
	for _, c := range []struct{ off, to, len, n uint64 }{
		{0, 0, 100, 100},
		{20, 50, 10, 10},         // over what is there
		{0, 1000, 1 << 40, size}, // all of it, and a border in between
		{posix.ChunkSize - 10, posix.ChunkSize*3 - 5, 500, 500}, // other borders
		{200, 0, 5000, 5000},  // of a hole
		{size, 0, 100, 0},     // from the end
		{size + 5, 0, 100, 0}, // from beyond
		{0, 7, 0, 0},          // nothing
		{size - 1, posix.ChunkSize * 4, posix.FileSizeMax / 2, 1}, // the last byte
	} {
		n, a, err := e.copyRange(from, c.off, to, c.to, c.len)
		e.ok(err)
		e.is("bytes copied", n, c.n)
		if n > 0 {
			rest := want.Range(c.to+n, posix.FileSizeMax)
			want = slices.Concat(want.Range(0, c.to), moved(src, c.off, c.to, n), rest)
			end = max(end, c.to+n)
		}
		e.is("size", a.Size, end)
		e.is("bytes", a.Alloc, want.Covered(0, posix.FileSizeMax))
		e.is("attributes", e.attr(g), a)
		e.sameMap("layout", e.layout(to), want)
	}
	e.sameMap("the source", e.layout(from), src)

	// A copy counts as a write by its caller.
	e.chmod(g, 0o6777)
	was := e.attr(g)
	h := e.handle()
	_, err := e.as(eve).Open(e.ctx, g, h, wr)
	e.ok(err)
	_, a, err := e.as(eve).CopyRange(e.ctx, from, 0, h, 0, 10)
	e.ok(err)
	e.is("mode", a.Mode.Perm(), posix.Mode(0o777))
	if a.Change <= was.Change {
		e.Errorf("not changed: %+v after %+v", a, was)
	}

	// The copy outlives its source, and an open tells all of it.
	want = e.layout(to)
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	e.ok(e.root.Close(e.ctx, from))
	e.ok(e.root.Close(e.ctx, w))
	o, err := e.root.Open(e.ctx, g, e.handle(), rd)
	e.ok(err)
	e.sameMap("layout", o.Extents, want)
	e.truncate(g, 0)
	e.sameMap("layout when cut", e.layout(to), nil)
}

func testCopyRangeErrors(e *env) {
	f, g := e.mkfile(1, "f", 0o644), e.mkfile(1, "g", 0o644)
	from, to, both := e.open(f, rd), e.open(g, wr), e.open(f, rw)
	e.write(both, f, 0, 100)
	p, err := e.root.Mknod(e.ctx, 1, "p", posix.TypeFIFO|0o666, 0, 0)
	e.ok(err)
	d := e.open(1, rd|dir)
	before := e.attr(g)
	for _, c := range []struct {
		what         string
		want         posix.Errno
		from, to     posix.Handle
		off, at, len uint64
	}{
		{"no source", posix.EBADF, e.handle(), to, 0, 0, 10},
		{"no target", posix.EBADF, from, e.handle(), 0, 0, 10},
		{"a source to write", posix.EBADF, to, to, 0, 0, 10},
		{"a target to read", posix.EBADF, from, from, 0, 0, 10},
		{"of a directory", posix.EISDIR, d, to, 0, 0, 10},
		{"of a fifo", posix.EINVAL, e.open(p.Ino, rd), to, 0, 0, 10},
		{"to a fifo", posix.EINVAL, from, e.open(p.Ino, wr), 0, 0, 10},
		{"onto itself", posix.EINVAL, both, both, 0, 0, 10},
		{"over its end", posix.EINVAL, both, both, 0, 9, 10},
		{"over its beginning", posix.EINVAL, both, both, 9, 0, 10},
		{"from a negative offset", posix.EINVAL, from, to, 1 << 63, 0, 10},
		{"to a negative offset", posix.EINVAL, from, to, 0, 1 << 63, 10},
		{"of a negative length", posix.EINVAL, from, to, 0, 0, 1 << 63},
		{"past all offsets", posix.EOVERFLOW, from, to, posix.FileSizeMax, 0, 10},
		{"to past all offsets", posix.EOVERFLOW, from, to, 0, posix.FileSizeMax - 5, 10},
	} {
		_, _, err := e.root.CopyRange(e.ctx, c.from, c.off, c.to, c.at, c.len)
		e.no(c.what, c.want, err)
	}
	e.is("after all that", e.attr(g), before)
	n, _, err := e.root.CopyRange(e.ctx, both, 0, both, 100, 1000)
	e.ok(err)
	e.is("of itself, up to its end", n, uint64(100))

	// The slices of a file come from few others: then it is to be copied.
	for i := range 64 {
		e.copyOne(to, uint64(i))
	}
	was := e.layout(e.open(g, rd))
	one := e.mkfile(1, "one too many", 0o644)
	e.write(e.open(one, wr), one, 0, 1)
	_, _, err = e.root.CopyRange(e.ctx, e.open(one, rd), 0, to, 64, 1)
	e.no("of one more file", posix.EXDEV, err)
	e.sameMap("after refusal", e.layout(e.open(g, rd)), was)
	e.truncate(g, 0)
	_, _, err = e.root.CopyRange(e.ctx, e.open(one, rd), 0, to, 64, 1)
	e.ok(err) // the others are forgotten
}

// copyOne shares a byte of a new file at off.
func (e *env) copyOne(to posix.Handle, off uint64) {
	e.Helper()
	name := "origin " + string(rune('0'+off))
	f := e.mkfile(1, name, 0o644)
	h := e.open(f, rw)
	e.write(h, f, 0, 1)
	_, _, err := e.root.CopyRange(e.ctx, h, 0, to, off, 1)
	e.ok(err)
	e.ok(e.root.Close(e.ctx, h))
}

// testCopyRangeRandom: two files are written to, cut and copied about, and are
// what a map of each says.
func testCopyRangeRandom(e *env) {
	rng := rand.New(rand.NewPCG(5, 6))
	const span = 300
	var inos [2]posix.Ino
	var h [2]posix.Handle
	var m [2]posix.Map
	var size [2]uint64
	for i := range inos {
		inos[i] = e.mkfile(1, string(rune('a'+i)), 0o644)
		h[i] = e.open(inos[i], rw)
	}
	clear := func(i int, lo, hi uint64) {
		m[i] = append(m[i].Range(0, lo), m[i].Range(hi, posix.FileSizeMax)...)
	}
	for range 400 {
		i, j := rng.IntN(2), rng.IntN(2)
		off, to, n := rng.Uint64N(span), rng.Uint64N(span), 1+rng.Uint64N(span/2)
		switch rng.IntN(6) {
		case 0:
			m[i] = m[i].Lay(e.write(h[i], inos[i], off, uint32(n)))
			size[i] = max(size[i], off+n)
		case 1:
			_, err := e.root.Allocate(e.ctx, h[i], punch|keep, off, n)
			e.ok(err)
			clear(i, off, off+n)
		case 2:
			e.truncate(inos[i], off)
			clear(i, off, posix.FileSizeMax)
			size[i] = off
		default:
			want := min(n, size[i]-min(size[i], off))
			if want > 0 {
				n = want // or a file that grows by a copy of itself is copied on
			}
			got, a, err := e.copyRange(h[i], off, h[j], to, n)
			if i == j && want > 0 && off < to+want && to < off+want {
				e.no("overlap", posix.EINVAL, err)
				continue
			}
			e.ok(err)
			e.is("bytes copied", got, want)
			if want > 0 {
				part := moved(m[i], off, to, want)
				m[j] = slices.Concat(m[j].Range(0, to), part, m[j].Range(to+want, posix.FileSizeMax))
				size[j] = max(size[j], to+want)
			}
			e.is("size", a.Size, size[j])
		}
		for i := range inos {
			e.sameMap("layout", e.layout(h[i]), m[i])
			e.is("bytes", e.attr(inos[i]).Alloc, m[i].Covered(0, posix.FileSizeMax))
		}
		if e.Failed() {
			return
		}
	}
}
