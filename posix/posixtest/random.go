package posixtest

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// model is a namespace in its simplest form: what the random operations of
// one superuser must come to.
type model struct {
	inos map[posix.Ino]*thing
}

type thing struct {
	ino    posix.Ino
	typ    posix.Mode
	names  map[string]*thing // of a directory
	parent *thing
	links  int
	bytes  map[uint64]source // of a file: where each byte that is no hole comes from
	size   uint64
	xattrs map[string]string
}

// source is one byte of a slice.
type source struct {
	slice posix.SliceID
	at    uint32
}

func (m *model) add(dir *thing, name string, ino posix.Ino, typ posix.Mode) *thing {
	x := &thing{ino: ino, typ: typ, links: 1, xattrs: map[string]string{}}
	switch typ {
	case posix.TypeDir:
		x.names, x.parent = map[string]*thing{}, dir
	case posix.TypeReg:
		x.bytes = map[uint64]source{}
	}
	m.inos[ino] = x
	if dir != nil {
		dir.names[name] = x
	}
	return x
}

func (m *model) drop(dir *thing, name string) {
	x := dir.names[name]
	delete(dir.names, name)
	if x.links--; x.links == 0 {
		delete(m.inos, x.ino)
	}
}

func (x *thing) isDir() bool { return x.typ == posix.TypeDir }

// below reports whether x is d or below it.
func (x *thing) below(d *thing) bool {
	for ; x != nil; x = x.parent {
		if x == d {
			return true
		}
	}
	return false
}

// remove answers what unlink(2) and rmdir(2) would.
func (m *model) remove(d *thing, name string, isDir bool) posix.Errno {
	x := d.names[name]
	switch {
	case x == nil:
		return posix.ENOENT
	case isDir && !x.isDir():
		return posix.ENOTDIR
	case !isDir && x.isDir():
		return posix.EISDIR
	case len(x.names) > 0:
		return posix.ENOTEMPTY
	}
	m.drop(d, name)
	return 0
}

// rename answers what renameat2(2) would.
func (m *model) rename(fd *thing, name string, td *thing, newName string, flags posix.RenameFlags) posix.Errno {
	s, t := fd.names[name], td.names[newName]
	swap := flags == posix.RenameExchange
	switch {
	case s == nil:
		return posix.ENOENT
	case t != nil && flags == posix.RenameNoReplace:
		return posix.EEXIST
	case t == nil && swap:
		return posix.ENOENT
	case fd != td && s.isDir() && td.below(s):
		return posix.EINVAL
	case fd != td && t != nil && t.isDir() && fd.below(t) && swap:
		return posix.EINVAL
	case fd != td && t != nil && t.isDir() && fd.below(t):
		return posix.ENOTEMPTY
	case s == t:
		return 0
	}
	if swap {
		fd.names[name], td.names[newName] = t, s
		if t.isDir() {
			t.parent = fd
		}
	} else {
		if t != nil {
			if e := m.remove(td, newName, s.isDir()); e != 0 {
				return e
			}
		}
		delete(fd.names, name)
		td.names[newName] = s
	}
	if s.isDir() {
		s.parent = td
	}
	return 0
}

// random is a run of random operations on a namespace and on a model at once.
type random struct {
	*env
	*rand.Rand
	m    *model
	open map[posix.Ino]posix.Handle
}

func testRandom(e *env) {
	for seed := range int64(4) {
		e.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			sub := *e
			sub.T = t
			d := sub.mkdir(1, fmt.Sprint("seed", seed), 0o755)
			r := random{&sub, rand.New(rand.NewSource(seed)), &model{map[posix.Ino]*thing{}}, map[posix.Ino]posix.Handle{}}
			top := r.m.add(nil, "", d, posix.TypeDir)
			for range 1500 {
				r.act()
			}
			r.compare(top)
			for _, h := range r.open {
				r.ok(r.root.Close(r.ctx, h))
			}
		})
	}
}

// pick chooses a thing of the kind, nil if there is none.
func (r *random) pick(isDir bool) *thing {
	var of []*thing
	for _, ino := range slices.Sorted(maps.Keys(r.m.inos)) {
		if x := r.m.inos[ino]; x.isDir() == isDir {
			of = append(of, x)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return of[r.Intn(len(of))]
}

func (r *random) name() string { return fmt.Sprintf("n%d", r.Intn(6)) }

// act does one operation here and there.
func (r *random) act() {
	d, name := r.pick(true), r.name()
	switch k := r.Intn(20); {
	case k < 6:
		r.makeOne(k, d, name)
	case k < 7:
		if f := r.pick(false); f != nil {
			want := posix.Errno(0)
			if d.names[name] != nil {
				want = posix.EEXIST
			} else {
				d.names[name] = f
				f.links++
			}
			_, err := r.root.Link(r.ctx, f.ino, d.ino, name)
			r.either("link", want, err)
		}
	case k < 9:
		r.either("unlink", r.m.remove(d, name, false), r.root.Unlink(r.ctx, d.ino, name))
	case k < 10:
		r.either("rmdir", r.m.remove(d, name, true), r.root.Rmdir(r.ctx, d.ino, name))
	case k < 14:
		to, newName := r.pick(true), r.name()
		flags := []posix.RenameFlags{0, 0, posix.RenameNoReplace, posix.RenameExchange}[r.Intn(4)]
		r.either(fmt.Sprintf("rename(%d/%s, %d/%s, %d)", d.ino, name, to.ino, newName, flags),
			r.m.rename(d, name, to, newName, flags), r.root.Rename(r.ctx, d.ino, name, to.ino, newName, flags))
	case k < 15:
		r.xattr(d)
	default:
		if f := r.pick(false); f != nil && f.typ == posix.TypeReg {
			r.data(f)
		}
	}
}

func (r *random) makeOne(kind int, d *thing, name string) {
	var a posix.Attr
	var err error
	typ := posix.TypeReg
	switch {
	case kind < 2:
		typ = posix.TypeDir
		a, err = r.root.Mkdir(r.ctx, d.ino, name, 0o755, 0)
	case kind < 3:
		typ = posix.TypeLink
		a, err = r.root.Symlink(r.ctx, d.ino, name, "x")
	default:
		a, err = r.root.Mknod(r.ctx, d.ino, name, 0o644, 0, 0)
	}
	if d.names[name] != nil {
		r.no("make", posix.EEXIST, err)
		return
	}
	r.ok(err)
	r.m.add(d, name, a.Ino, typ)
}

func (r *random) xattr(d *thing) {
	name, value := "user."+r.name(), fmt.Sprint(r.Intn(100))
	if r.Intn(2) == 0 {
		r.either("setxattr", 0, r.root.Setxattr(r.ctx, d.ino, name, []byte(value), 0))
		d.xattrs[name] = value
		return
	}
	want := posix.Errno(0)
	if _, ok := d.xattrs[name]; !ok {
		want = posix.ENODATA
	}
	delete(d.xattrs, name)
	r.either("removexattr", want, r.root.Removexattr(r.ctx, d.ino, name))
}

// data writes to or cuts a file, near its beginning or near a chunk's border.
func (r *random) data(f *thing) {
	h, ok := r.open[f.ino]
	if !ok {
		h = r.env.open(f.ino, rw)
		r.open[f.ino] = h
	}
	off := uint64(r.Intn(60))
	if r.Intn(2) == 0 {
		off += posix.ChunkSize - 30
	}
	if r.Intn(4) == 0 {
		r.truncate(f.ino, off)
		maps.DeleteFunc(f.bytes, func(at uint64, _ source) bool { return at >= off })
		f.size = off
		return
	}
	var c posix.Commit
	for range 1 + r.Intn(3) {
		x := posix.Extent{Off: off, Len: uint32(1 + r.Intn(20)), From: uint32(r.Intn(5))}
		if x.Off < posix.ChunkSize && x.End() > posix.ChunkSize {
			x.Len = uint32(posix.ChunkSize - x.Off)
		}
		if r.Intn(5) > 0 {
			x.Slice = r.fresh(f.ino, 30)
		}
		for i := range uint64(x.Len) {
			delete(f.bytes, x.Off+i)
			if !x.Hole() {
				f.bytes[x.Off+i] = source{x.Slice.ID, x.From + uint32(i)}
			}
		}
		f.size = max(f.size, x.End())
		c.Extents = append(c.Extents, x)
		off += uint64(r.Intn(10))
	}
	_, err := r.root.Commit(r.ctx, h, c)
	r.ok(err)
}

// compare walks both trees.
func (r *random) compare(d *thing) {
	a := r.attr(d.ino)
	subs := uint32(0)
	got := r.list(d.ino, 3)
	r.is("entries", len(got), len(d.names))
	for name, x := range d.names {
		r.is("entry "+name, got[name], x.ino)
		b := r.attr(x.ino)
		r.is("type of "+name, b.Mode.Type(), x.typ)
		switch x.typ {
		case posix.TypeDir:
			subs++
			r.compare(x)
			continue
		case posix.TypeReg:
			r.compareBytes(x, b)
		}
		r.is("links of "+name, b.Nlink, uint32(x.links))
	}
	r.is("links", a.Nlink, 2+subs)
	if d.parent != nil {
		up, err := r.root.Lookup(r.ctx, d.ino, "..")
		r.ok(err)
		r.is("..", up.Ino, d.parent.ino)
	}
	r.is("xattrs", len(r.names(root, d.ino)) > 0, len(d.xattrs) > 0)
	for name, want := range d.xattrs {
		v, err := r.root.Getxattr(r.ctx, d.ino, name)
		r.ok(err)
		r.is(name, string(v), want)
	}
}

func (r *random) compareBytes(x *thing, a posix.Attr) {
	r.is("size", a.Size, x.size)
	r.is("bytes", a.Alloc, uint64(len(x.bytes)))
	h := r.env.open(x.ino, rd)
	got := map[uint64]source{}
	for _, e := range r.layout(h) {
		for i := range e.Len {
			got[e.Off+uint64(i)] = source{e.Slice.ID, e.From + i}
		}
	}
	if !maps.Equal(got, x.bytes) {
		r.Errorf("the bytes of %d differ", x.ino)
	}
	r.ok(r.root.Close(r.ctx, h))
}
