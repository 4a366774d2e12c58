package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// fakeBlocks is a chunk role in memory: Puts become durable at Sync, and a
// test may refuse or hold back each call.
type fakeBlocks struct {
	mu      sync.Mutex
	blocks  map[posix.BlockID][]byte
	synced  map[posix.BlockID]bool
	pending []posix.BlockID // what the next Sync makes durable
	valid   string          // the capability that is accepted, "" for any
	puts    int
	gets    int
	brought int // by commits
	largest int
	fault   func(op string, id posix.BlockID) error // called without the lock, may block
}

func newFakeBlocks() *fakeBlocks {
	return &fakeBlocks{blocks: map[posix.BlockID][]byte{}, synced: map[posix.BlockID]bool{}}
}

func (b *fakeBlocks) check(op string, capability []byte, id posix.BlockID) error {
	b.mu.Lock()
	fault, valid := b.fault, b.valid
	b.mu.Unlock()
	if valid != "" && string(capability) != valid {
		return posix.E(op, posix.EACCES, nil)
	}
	if fault != nil {
		return fault(op, id)
	}
	return nil
}

func (b *fakeBlocks) setFault(f func(op string, id posix.BlockID) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = f
}

func (b *fakeBlocks) Put(ctx context.Context, capability []byte, id posix.BlockID, data []byte) error {
	if err := b.check("put", capability, id); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, ok := b.blocks[id]; ok && !bytes.Equal(old, data) {
		return posix.E("put", posix.EIO, errors.New("other bytes under the name "+id.String()))
	}
	b.puts++
	b.largest = max(b.largest, len(data))
	b.blocks[id] = bytes.Clone(data)
	b.pending = append(b.pending, id)
	return ctx.Err()
}

func (b *fakeBlocks) Get(ctx context.Context, capability []byte, id posix.BlockID, off uint32, dst []byte) error {
	if err := b.check("get", capability, id); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	data, ok := b.blocks[id]
	switch {
	case !ok:
		return posix.E("get", posix.ENOENT, nil)
	case int(off)+len(dst) > len(data):
		return posix.E("get", posix.EINVAL, nil)
	}
	copy(dst, data[off:])
	return ctx.Err()
}

func (b *fakeBlocks) Sync(ctx context.Context, capability []byte) error {
	if err := b.check("sync", capability, posix.BlockID{}); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range b.pending {
		b.synced[id] = true
	}
	b.pending = nil
	return ctx.Err()
}

// bring stores what came with a commit.
func (b *fakeBlocks) bring(ino posix.Ino, blocks []posix.Inline) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range blocks {
		id := posix.BlockID{File: ino, Slice: x.Slice}
		b.blocks[id], b.synced[id] = bytes.Clone(x.Data), true
		b.brought++
	}
}

// fakeTree is as much of a namespace as the data path sees: files by number
// and name in one directory, for one caller who may everything.
type fakeTree struct {
	posix.Namespace // nil: what is not below is not called
	blocks          *fakeBlocks

	mu      sync.Mutex
	files   map[posix.Ino]*fakeFile
	names   map[string]posix.Ino
	handles map[posix.Handle]posix.Ino
	zoned   bool // all is in an encryption zone: slices can't be shared
	next    posix.Ino
	fault   func(op string) error
	calls   map[string]int
	bad     []string // commits that no honest client sends
	clock   int64
	right   string // the capability that opens answer

	trusting bool // do not judge commits
}

type fakeFile struct {
	attr posix.Attr
	m    posix.Map
}

func newFakeTree(b *fakeBlocks) *fakeTree {
	return &fakeTree{blocks: b, files: map[posix.Ino]*fakeFile{}, names: map[string]posix.Ino{},
		handles: map[posix.Handle]posix.Ino{}, next: 2, calls: map[string]int{}}
}

func (t *fakeTree) begin(op string) error {
	t.mu.Lock()
	fault := t.fault
	t.calls[op]++
	t.mu.Unlock()
	if fault != nil {
		return fault(op)
	}
	return nil
}

func (t *fakeTree) setFault(f func(op string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = f
}

func (t *fakeTree) count(op string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[op]
}

// touch is a change of the file at the server's time.
func (t *fakeTree) touch(f *fakeFile) {
	t.clock++
	f.attr.Change++
	f.attr.Mtime = posix.Time{Sec: t.clock}
	f.attr.Ctime = f.attr.Mtime
	if !t.trusting {
		f.attr.Alloc = f.m.Covered(0, posix.FileSizeMax)
	}
}

func (t *fakeTree) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	if err := t.begin("lookup"); err != nil {
		return posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ino, ok := t.names[name]
	if !ok {
		return posix.Attr{}, posix.E("lookup", posix.ENOENT, nil)
	}
	return t.files[ino].attr, nil
}

func (t *fakeTree) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	if err := t.begin("getattr"); err != nil {
		return posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[ino].attr, nil
}

func (t *fakeTree) Readdir(ctx context.Context, dir posix.Ino, _ posix.Handle, from posix.Cookie, max int, plus bool) ([]posix.Dirent, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []posix.Dirent
	for name, ino := range t.names {
		out = append(out, posix.Dirent{Name: name, Attr: t.files[ino].attr})
	}
	return out, nil
}

func (t *fakeTree) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	if err := t.begin("setattr"); err != nil {
		return posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[ino]
	if set.Set&posix.SetSize != 0 {
		f.m = f.m.Range(0, set.Size)
		f.attr.Size = set.Size
	}
	mtime := f.attr.Mtime
	t.touch(f)
	switch {
	case set.Set&posix.SetMtime != 0:
		f.attr.Mtime = set.Mtime
	case set.Set&(posix.SetSize|posix.SetMtimeNow) == 0:
		f.attr.Mtime = mtime
	}
	return f.attr, nil
}

func (t *fakeTree) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	if err := t.begin("create"); err != nil {
		return posix.Opened{}, err
	}
	t.mu.Lock()
	ino, ok := t.names[name]
	if !ok {
		ino = t.next
		t.next++
		t.names[name] = ino
		t.files[ino] = &fakeFile{attr: posix.Attr{Ino: ino, Mode: posix.TypeReg | mode&^umask, Nlink: 1, Change: 1}}
	}
	t.mu.Unlock()
	return t.Open(ctx, ino, h, flags)
}

func (t *fakeTree) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	if err := t.begin("open"); err != nil {
		return posix.Opened{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[ino]
	if old, ok := t.handles[h]; ok && old != ino {
		return posix.Opened{}, posix.E("open", posix.EBADF, nil)
	}
	t.handles[h] = ino
	if flags&posix.OpenTrunc != 0 {
		f.m, f.attr.Size = nil, 0
		t.touch(f)
	}
	// A short first answer, so that the rest has to be asked for.
	return posix.Opened{Attr: f.attr, Extents: f.m.Range(0, 1<<20), LayoutEnd: 1 << 20, Capability: []byte(t.right)}, nil
}

func (t *fakeTree) Close(ctx context.Context, h posix.Handle) error {
	if err := t.begin("close"); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.handles, h)
	return nil
}

func (t *fakeTree) Layout(ctx context.Context, h posix.Handle, off, length uint64) ([]posix.Extent, uint64, error) {
	if err := t.begin("layout"); err != nil {
		return nil, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ino, ok := t.handles[h]
	if !ok {
		return nil, 0, posix.E("layout", posix.EBADF, nil)
	}
	m, end := t.files[ino].m.Range(off, off+length), off+length
	if len(m) > 50 {
		m, end = m[:50], m[49].End()
	}
	return m, end, nil
}

func (t *fakeTree) Tmpfile(ctx context.Context, dir posix.Ino, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	t.mu.Lock()
	name := fmt.Sprint("nameless ", t.next)
	t.mu.Unlock()
	o, err := t.Create(ctx, dir, name, mode, umask, h, flags)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, name)
	return o, err
}

// file answers the file open as h. t.mu is held.
func (t *fakeTree) file(op string, h posix.Handle) (*fakeFile, error) {
	if ino, ok := t.handles[h]; ok {
		return t.files[ino], nil
	}
	return nil, posix.E(op, posix.EBADF, nil)
}

func (t *fakeTree) Allocate(ctx context.Context, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	if err := t.begin("allocate"); err != nil {
		return posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := t.file("allocate", h)
	if err != nil {
		return posix.Attr{}, err
	}
	if mode&(posix.AllocPunchHole|posix.AllocZeroRange) != 0 {
		f.clear(off, off+length)
	}
	if mode&posix.AllocKeepSize == 0 {
		f.attr.Size = max(f.attr.Size, off+length)
	}
	t.touch(f)
	return f.attr, nil
}

func (f *fakeFile) clear(lo, hi uint64) {
	f.m = append(f.m.Range(0, lo), f.m.Range(hi, math.MaxUint64)...)
}

func (t *fakeTree) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, n uint64) (uint64, posix.Attr, error) {
	if err := t.begin("copyrange"); err != nil {
		return 0, posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	src, err := t.file("copyrange", from)
	dst, err2 := t.file("copyrange", to)
	switch {
	case err != nil || err2 != nil:
		return 0, posix.Attr{}, errors.Join(err, err2)
	case t.zoned:
		return 0, posix.Attr{}, posix.E("copyrange", posix.EXDEV, nil)
	case off >= src.attr.Size:
		return 0, dst.attr, nil
	}
	n = min(n, src.attr.Size-off)
	if src == dst && off < toOff+n && toOff < off+n {
		return 0, posix.Attr{}, posix.E("copyrange", posix.EINVAL, nil)
	}
	n = min(n, 200<<10) // where there is much to share
	dst.clear(toOff, toOff+n)
	for _, e := range src.m.Range(off, off+n) {
		e.Off = e.Off - off + toOff
		if border := (e.Off/posix.ChunkSize + 1) * posix.ChunkSize; e.End() > border {
			dst.m = dst.m.Lay(e.Cut(e.Off, border))
			e = e.Cut(border, e.End())
		}
		dst.m = dst.m.Lay(e)
	}
	dst.attr.Size = max(dst.attr.Size, toOff+n)
	t.touch(dst)
	return n, dst.attr, nil
}

func (t *fakeTree) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	if err := t.begin("commit"); err != nil {
		return posix.Attr{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ino, ok := t.handles[h]
	if !ok {
		return posix.Attr{}, posix.E("commit", posix.EBADF, nil)
	}
	f := t.files[ino]
	if c.Append && c.Extents[0].Off != f.attr.Size {
		return posix.Attr{}, posix.E("commit", posix.ERANGE, nil)
	}
	if len(c.Extents) == 0 || len(c.Extents) > maxCommit {
		t.bad = append(t.bad, "number of extents")
	}
	t.blocks.bring(ino, c.Inline)
	for _, e := range c.Extents {
		if !t.trusting {
			t.judge(ino, e)
		}
		f.m = f.m.Lay(e)
		f.attr.Size = max(f.attr.Size, e.End())
	}
	t.touch(f)
	f.attr.Mtime = c.Mtime
	return f.attr, nil
}

// judge notes what is wrong with a committed extent: its blocks must all be
// there, durable and of the right length.
func (t *fakeTree) judge(ino posix.Ino, e posix.Extent) {
	if e.Check() != 0 || e.Slice.File != ino || e.Hole() {
		t.bad = append(t.bad, "malformed extent")
		return
	}
	t.blocks.mu.Lock()
	defer t.blocks.mu.Unlock()
	for k := range e.Slice.Blocks() {
		id := e.Slice.BlockID(k)
		if len(t.blocks.blocks[id]) < int(e.Slice.Block(k)) || !t.blocks.synced[id] {
			t.bad = append(t.bad, "block "+id.String()+" is not durable")
		}
	}
}
