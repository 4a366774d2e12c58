package posixtest

import (
	"slices"

	"github.com/wardfs/wardfs/posix"
)

const (
	rd  = posix.OpenRead
	wr  = posix.OpenWrite
	rw  = posix.OpenRead | posix.OpenWrite
	cut = posix.OpenTrunc
	dir = posix.OpenDir
	exe = posix.OpenExec
)

func (e *env) sameMap(what string, got, want posix.Map) {
	e.Helper()
	if !slices.Equal(got, want) {
		e.Errorf("%s:\n got  %v\n want %v", what, got, want)
	}
}

func testOpen(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h := e.open(f, rw)
	x := e.write(h, f, 0, 100)
	y := e.write(h, f, 200, 100)
	o, err := e.root.Open(e.ctx, f, e.handle(), rd)
	e.ok(err)
	e.is("attributes", o.Attr, e.attr(f))
	e.sameMap("layout", o.Extents, posix.Map{x, y})
	if o.LayoutEnd < 300 {
		e.Errorf("layout ends at %d", o.LayoutEnd)
	}
	o, err = e.root.Open(e.ctx, f, e.handle(), wr|cut)
	e.ok(err)
	e.is("size", o.Attr.Size, uint64(0))
	e.sameMap("layout", o.Extents, nil)
	e.sameMap("layout", e.layout(h), nil)
	e.open(e.mkdir(1, "d", 0o755), rd|dir)
	e.open(1, rd)
}

// testOpenErrors: types, and all modes against all flags for all callers.
func testOpenErrors(e *env) {
	node := func(name string, mode posix.Mode) posix.Ino {
		a, err := e.root.Mknod(e.ctx, 1, name, mode, 0, 1)
		e.ok(err)
		return a.Ino
	}
	d := e.mkdir(1, "d", 0o777)
	f := e.mkfile(1, "f", 0o777)
	link, err := e.root.Symlink(e.ctx, 1, "l", "x")
	e.ok(err)
	for _, c := range []struct {
		what  string
		want  posix.Errno
		ino   posix.Ino
		flags posix.OpenFlags
	}{
		{"directory for writing", posix.EISDIR, d, wr},
		{"directory for both", posix.EISDIR, d, rw},
		{"directory to be cut", posix.EISDIR, d, rd | cut},
		{"directory to run", posix.EACCES, d, exe},
		{"file as a directory", posix.ENOTDIR, f, rd | dir},
		{"link", posix.ELOOP, link.Ino, rd},
		{"socket", posix.ENXIO, node("s", posix.TypeSock|0o777), rw},
		{"fifo", 0, node("p", posix.TypeFIFO|0o777), rd},
		{"fifo to be cut", 0, node("p2", posix.TypeFIFO|0o777), wr | cut},
		{"device", 0, node("c", posix.TypeChar|0o777), rw},
		{"device to run", posix.EACCES, node("b", posix.TypeBlock|0o777), exe},
		{"no way", posix.EINVAL, f, 0},
		{"nothing", posix.ESTALE, 1 << 40, rd},
	} {
		_, err := e.root.Open(e.ctx, c.ino, e.handle(), c.flags)
		e.either(c.what, c.want, err)
	}
	_, err = e.root.Open(e.ctx, f, 0, rd)
	e.no("no handle", posix.EINVAL, err)

	e.owned(f, alice, staff)
	for mode := posix.Mode(0); mode < 8; mode++ {
		e.chmod(f, mode<<6)
		for _, flags := range []posix.OpenFlags{rd, wr, rw, rd | cut, exe} {
			var want posix.Errno
			if flags&rd != 0 && mode&4 == 0 || flags&(wr|cut) != 0 && mode&2 == 0 || flags&exe != 0 && mode&1 == 0 {
				want = posix.EACCES
			}
			_, err := e.as(alice).Open(e.ctx, f, e.handle(), flags)
			e.either("owner", want, err)
			_, err = e.as(bob).Open(e.ctx, f, e.handle(), flags)
			e.no("group", posix.EACCES, err)
			_, err = e.as(eve).Open(e.ctx, f, e.handle(), flags)
			e.no("other", posix.EACCES, err)
		}
	}
}

func testCreate(e *env) {
	open := e.mkdir(1, "d", 0o777)
	fs := e.as(alice)
	h := e.handle()
	o, err := fs.Create(e.ctx, open, "f", 0o666, 0o666, h, rw) // a mode that forbids does not shut it
	e.ok(err)
	e.is("mode", o.Attr.Mode, posix.TypeReg)
	e.is("found", e.at(open, "f"), o.Attr.Ino)
	e.write(h, o.Attr.Ino, 0, 10)

	_, err = fs.Create(e.ctx, open, "f", 0o666, 0, e.handle(), rw|posix.OpenExcl)
	e.no("exclusively", posix.EEXIST, err)
	_, err = fs.Create(e.ctx, open, "f", 0o666, 0, e.handle(), rw)
	e.no("what exists, without permission", posix.EACCES, err)
	e.chmod(o.Attr.Ino, 0o600)
	again, err := fs.Create(e.ctx, open, "f", 0o666, 0, e.handle(), rw)
	e.ok(err)
	e.is("what exists", again.Attr.Ino, o.Attr.Ino)
	e.is("its mode", again.Attr.Mode.Perm(), posix.Mode(0o600))
	e.is("its size", again.Attr.Size, uint64(10))
	again, err = fs.Create(e.ctx, open, "f", 0o666, 0, e.handle(), rw|cut)
	e.ok(err)
	e.is("its size when cut", again.Attr.Size, uint64(0))

	e.mkdir(open, "sub", 0o777)
	_, err = fs.Create(e.ctx, open, "sub", 0o666, 0, e.handle(), rw)
	e.no("a directory", posix.EISDIR, err)
	_, err = e.root.Symlink(e.ctx, open, "l", "f")
	e.ok(err)
	_, err = fs.Create(e.ctx, open, "l", 0o666, 0, e.handle(), rw)
	e.no("a link", posix.ELOOP, err)
	_, err = fs.Create(e.ctx, open, "g", 0o666, 0, 0, rw)
	e.no("no handle", posix.EINVAL, err)
	e.is("what was made without a handle", e.at(open, "g"), posix.Ino(0))
}

// testOpenUnlinked: a file lives until its last close, and everything can be
// done to it through its handles but to give it a name.
func testOpenUnlinked(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h, h2 := e.open(f, rw), e.open(f, rd)
	x := e.write(h, f, 0, 10)
	e.ok(e.root.Unlink(e.ctx, 1, "f"))
	e.is("links", e.attr(f).Nlink, uint32(0))
	y := e.write(h, f, 10, 10)
	e.sameMap("layout", e.layout(h2), posix.Map{x, y})
	e.truncate(f, 15)
	e.chmod(f, 0o600)
	e.ok(e.root.Setxattr(e.ctx, f, "user.a", []byte("1"), 0))
	_, err := e.root.Link(e.ctx, f, 1, "g")
	e.no("a new name", posix.ENOENT, err)
	h3 := e.open(f, rd) // as through /proc/self/fd
	e.ok(e.root.Close(e.ctx, h))
	e.ok(e.root.Close(e.ctx, h2))
	e.is("layout of the last handle", e.layout(h3).Covered(0, 100), uint64(15))
	e.ok(e.root.Close(e.ctx, h3))
	_, err = e.root.Open(e.ctx, f, e.handle(), rd)
	e.no("open after the last close", posix.ESTALE, err)

	// The same for a file that another takes the place of.
	old, h := e.mkfile(1, "old", 0o644), e.handle()
	_, err = e.root.Open(e.ctx, old, h, rd)
	e.ok(err)
	e.mkfile(1, "new", 0o644)
	e.ok(e.root.Rename(e.ctx, 1, "new", 1, "old", 0))
	e.is("links", e.attr(old).Nlink, uint32(0))
	e.sameMap("layout", e.layout(h), nil)
	e.ok(e.root.Close(e.ctx, h))
}

func testHandles(e *env) {
	f, g := e.mkfile(1, "f", 0o644), e.mkfile(1, "g", 0o644)
	h := e.open(f, rd)
	_, err := e.root.Open(e.ctx, f, h, rd)
	e.ok(err) // the same open again
	_, err = e.root.Open(e.ctx, g, h, rd)
	e.no("a handle of another file", posix.EBADF, err)
	_, err = e.root.Open(e.ctx, f, h, wr)
	e.no("a handle of another way", posix.EBADF, err)
	_, err = e.root.Commit(e.ctx, h, posix.Commit{})
	e.no("commit through a handle for reading", posix.EBADF, err)
	e.ok(e.root.Close(e.ctx, h))
	e.ok(e.root.Close(e.ctx, h))
	_, _, err = e.root.Layout(e.ctx, h, 0, 1)
	e.no("layout of what is closed", posix.EBADF, err)
	_, err = e.root.Commit(e.ctx, h, posix.Commit{})
	e.no("commit to what is closed", posix.EBADF, err)
	_, err = e.root.Open(e.ctx, g, h, rd)
	e.ok(err) // the number is free again
}

func testCommit(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h := e.open(f, rw)
	const border = posix.ChunkSize
	var want posix.Map
	var size uint64
	for _, x := range []posix.Extent{
		{Off: 0, Len: 100},                   // the beginning
		{Off: 100, Len: 50},                  // an append
		{Off: 1000, Len: 10},                 // beyond a hole
		{Off: 20, Len: 10},                   // inside: two are left
		{Off: 0, Len: 5},                     // over a beginning
		{Off: 140, Len: 30},                  // over an end
		{Off: 0, Len: 1005},                  // over much
		{Off: border - 7, Len: 7},            // at the end of a chunk
		{Off: border, Len: 7},                // at the beginning of the next
		{Off: border - 3, Len: 3},            // over an end, at a border
		{Off: border, Len: 100},              // all of one, and more
		{Off: border * 1000, Len: 1},         // far away
		{Off: posix.FileSizeMax - 1, Len: 1}, // as far as can be
	} {
		x.Slice = e.fresh(f, x.Len+9)
		x.From = 4
		a, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{x}})
		e.ok(err)
		want, size = want.Lay(x), max(size, x.End())
		e.is("size", a.Size, size)
		e.is("bytes", a.Alloc, want.Covered(0, posix.FileSizeMax))
		e.is("attributes", e.attr(f), a)
		e.sameMap("layout", e.layout(h), want)
	}
	// Many at once, in order: a hole punches, one slice serves twice.
	s := e.fresh(f, 50)
	many := []posix.Extent{
		{Off: 10, Len: 40, Slice: s}, {Off: 20, Len: 10}, {Off: 200, Len: 50, Slice: s}, {Off: 25, Len: 1, From: 49, Slice: s},
	}
	a, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: many})
	e.ok(err)
	for _, x := range many {
		want = want.Lay(x)
	}
	want = slices.DeleteFunc(want, posix.Extent.Hole)
	e.sameMap("layout", e.layout(h), want)
	e.is("bytes", a.Alloc, want.Covered(0, posix.FileSizeMax))

	g := e.mkfile(1, "g", 0o644)
	h = e.open(g, wr)
	a, err = e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{{Off: 50, Len: 50}}})
	e.ok(err)
	e.is("a hole makes size", a.Size, uint64(100))
	e.is("and no bytes", a.Alloc, uint64(0))
}

// testCommitAppend: an append is taken where the file ends and nowhere else.
func testCommitAppend(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h := e.open(f, wr)
	var want posix.Map
	for _, c := range []struct {
		off, size uint64 // size is the file's before
		no        posix.Errno
	}{
		{0, 0, 0}, {0, 10, posix.ERANGE}, {9, 10, posix.ERANGE}, {11, 10, posix.ERANGE}, {10, 10, 0}, {20, 20, 0},
	} {
		before := e.attr(f)
		e.is("size", before.Size, c.size)
		x := posix.Extent{Off: c.off, Len: 10, Slice: e.fresh(f, 10)}
		a, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{x}, Append: true})
		if c.no != 0 {
			e.no("append elsewhere", c.no, err)
			e.is("attributes", e.attr(f), before)
			continue
		}
		e.ok(err)
		want = want.Lay(x)
		e.is("size", a.Size, c.size+10)
	}
	e.sameMap("layout", e.layout(h), want)
	_, err := e.root.Commit(e.ctx, h, posix.Commit{Append: true})
	e.no("append nothing", posix.ERANGE, err)
}

func testCommitErrors(e *env) {
	f, g := e.mkfile(1, "f", 0o644), e.mkfile(1, "g", 0o644)
	h := e.open(f, rw)
	x := e.write(h, f, 0, 100)
	before := e.attr(f)
	s := e.fresh(f, 100)
	long := x.Slice
	long.Len++
	for _, c := range []struct {
		what string
		want posix.Errno
		ext  posix.Extent
	}{
		{"empty", posix.EINVAL, posix.Extent{Slice: s}},
		{"across a chunk's border", posix.EINVAL, posix.Extent{Off: posix.ChunkSize - 1, Len: 2, Slice: s}},
		{"a hole across a chunk's border", posix.EINVAL, posix.Extent{Off: posix.ChunkSize - 1, Len: 2}},
		{"outside its slice", posix.EINVAL, posix.Extent{Len: 100, From: 1, Slice: s}},
		{"far outside its slice", posix.EINVAL, posix.Extent{Len: 100, From: 1<<32 - 1, Slice: s}},
		{"of a slice too long", posix.EINVAL, posix.Extent{Len: 1, Slice: posix.Slice{File: f, ID: s.ID, Len: posix.ChunkSize + 1}}},
		{"too far", posix.EFBIG, posix.Extent{Off: posix.FileSizeMax, Len: 1, Slice: s}},
		{"much too far", posix.EFBIG, posix.Extent{Off: 1<<64 - 1, Len: 1, Slice: s}},
		{"of a slice of another file", posix.EINVAL, posix.Extent{Len: 100, Slice: e.fresh(g, 100)}},
		{"of a slice of another length", posix.EINVAL, posix.Extent{Off: 200, Len: 100, Slice: long}},
		{"over a slice of another length", posix.EINVAL, posix.Extent{Len: 100, Slice: long}},
	} {
		good := posix.Extent{Off: 500, Len: 10, Slice: e.fresh(f, 10)}
		_, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{good, c.ext}})
		e.no(c.what, c.want, err)
		e.is(c.what+": after refusal", e.attr(f), before)
	}
	other := s
	other.Len++
	_, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{{Len: 10, Slice: s}, {Off: 50, Len: 10, Slice: other}}})
	e.no("one slice of two lengths", posix.EINVAL, err)
	_, err = e.root.Commit(e.ctx, h, posix.Commit{Mtime: posix.Time{Nsec: 1e9}})
	e.no("a second of nanoseconds", posix.EINVAL, err)
	e.sameMap("layout", e.layout(h), posix.Map{x})
	p, err := e.root.Mknod(e.ctx, 1, "p", posix.TypeFIFO|0o666, 0, 0)
	e.ok(err)
	_, err = e.root.Commit(e.ctx, e.open(p.Ino, rw), posix.Commit{})
	e.no("to a fifo", posix.EINVAL, err)
}

func testLayout(e *env) {
	f := e.mkfile(1, "f", 0o644)
	h := e.open(f, rw)
	var all []posix.Extent
	for i := range uint64(5000) { // more than one answer holds
		all = append(all, posix.Extent{Off: i * 20, Len: 10, Slice: e.fresh(f, 10)})
	}
	for part := range slices.Chunk(all, 1000) {
		_, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: part})
		e.ok(err)
	}
	e.sameMap("all of it", e.layout(h), all)
	got, end, err := e.root.Layout(e.ctx, h, 45, 30)
	e.ok(err)
	e.sameMap("part of it", posix.Map(got).Range(45, 75), posix.Map(all).Range(45, 75))
	if end < 75 || got[0].Off < 45 {
		e.Errorf("from %d to %d", got[0].Off, end)
	}
	got, end, err = e.root.Layout(e.ctx, h, 1<<40, 1<<50)
	e.ok(err)
	e.is("beyond", len(got), 0)
	if end < 1<<40+1<<50 {
		e.Errorf("ends at %d", end)
	}
	_, _, err = e.root.Layout(e.ctx, h, 1, 1<<64-1)
	e.ok(err)
	_, _, err = e.root.Layout(e.ctx, h, 1<<63, 1)
	e.no("past all offsets", posix.EINVAL, err)
	_, _, err = e.root.Layout(e.ctx, e.open(1, rd|dir), 0, 1)
	e.no("of a directory", posix.EINVAL, err)
}
