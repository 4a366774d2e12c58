package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/server/chunk"
)

var errDead = errors.New("sim: the power is off")

// simFS is a directory with a page cache: what was not synced is lost when the
// power is cut, sector by sector as chance has it. It counts its changing
// operations and can die at any of them.
type simFS struct {
	mu      sync.Mutex
	r       *rand.Rand
	names   map[string]*simFile
	durable map[string]*simFile // what the directory on disk has
	journal []dirOp             // changes of names since the last syncDir

	ops    int
	dieAt  int // the operation that is cut short; 0 for none
	dead   bool
	fault  func(op, name string) error // asked before an operation
	direct int                         // how many direct writes there were
	room   int64                       // bytes that files may hold; 0 for no bound
}

type dirOp struct {
	name string
	file *simFile // nil: removed
}

// simFile is a file's bytes as the cache has them and as the disk has them.
type simFile struct {
	fs    *simFS
	name  string
	cur   []byte
	disk  []byte
	dirty map[int64]struct{} // sectors that the disk does not have
	pages map[int64]struct{} // that it holds of the disk
}

func newSim(seed uint64) *simFS {
	return &simFS{r: rand.New(rand.NewPCG(seed, 99)), names: map[string]*simFile{}, durable: map[string]*simFile{}}
}

// step begins a changing operation. cut says that the power goes in its middle.
func (fs *simFS) step(op, name string) (cut bool, err error) {
	if fs.dead {
		return false, errDead
	}
	fs.ops++
	if fs.ops == fs.dieAt {
		fs.dead = true
		return true, nil
	}
	if fs.fault != nil {
		return false, fs.fault(op, name)
	}
	return false, nil
}

func (fs *simFS) open(name string, create bool) (file, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.dead {
		return nil, errDead
	}
	f := fs.names[name]
	if f != nil && create {
		f.resize(0)
	}
	if f != nil {
		return f, nil
	}
	if !create {
		return nil, unix.ENOENT
	}
	cut, err := fs.step("create", name)
	if err != nil || cut && fs.r.IntN(2) == 0 {
		return nil, errors.Join(err, dieIf(cut))
	}
	f = &simFile{fs: fs, name: name, dirty: map[int64]struct{}{}, pages: map[int64]struct{}{}}
	fs.change(name, f)
	return f, dieIf(cut)
}

func dieIf(cut bool) error {
	if cut {
		return errDead
	}
	return nil
}

func (fs *simFS) change(name string, f *simFile) {
	if f == nil {
		delete(fs.names, name)
	} else {
		fs.names[name] = f
	}
	fs.journal = append(fs.journal, dirOp{name, f})
}

func (fs *simFS) rename(from, to string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	cut, err := fs.step("rename", to)
	if err != nil || cut && fs.r.IntN(2) == 0 {
		return errors.Join(err, dieIf(cut))
	}
	f := fs.names[from]
	f.name = to
	// One entry of the journal would do; two in a row would let a cut fall
	// between them, which a rename does not know.
	fs.change(to, f)
	delete(fs.names, from)
	fs.journal[len(fs.journal)-1] = dirOp{to + "\x00" + from, f}
	return dieIf(cut)
}

func (fs *simFS) remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names[name] == nil {
		return unix.ENOENT
	}
	cut, err := fs.step("remove", name)
	if err != nil {
		return err
	}
	fs.change(name, nil)
	return dieIf(cut)
}

func (fs *simFS) list() (names []string, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for n := range fs.names {
		names = append(names, n)
	}
	return names, nil
}

func (fs *simFS) syncDir() error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	cut, err := fs.step("syncdir", "")
	if err != nil || cut {
		return errors.Join(err, dieIf(cut))
	}
	for _, op := range fs.journal {
		apply(fs.durable, op)
	}
	fs.journal = nil
	return nil
}

func apply(names map[string]*simFile, op dirOp) {
	to, from := op.name, ""
	for i := range len(op.name) {
		if op.name[i] == 0 {
			to, from = op.name[:i], op.name[i+1:]
		}
	}
	if op.file == nil {
		delete(names, to)
		return
	}
	names[to] = op.file
	delete(names, from)
}

func (fs *simFS) usage() (chunk.Usage, error) {
	return chunk.Usage{Capacity: 1 << 40, Free: 1 << 39}, nil
}

func (fs *simFS) close() error { return nil }

// revive answers the directory as it is found after the crash: with the cache
// as it was, after kill -9; without, after a power cut.
func (fs *simFS) revive(cache bool) *simFS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	next := newSim(fs.r.Uint64())
	next.room = fs.room
	names := fs.names
	if !cache {
		names = fs.durable
		for _, op := range fs.journal[:fs.r.IntN(len(fs.journal)+1)] {
			apply(names, op)
		}
	}
	for name, f := range names {
		if name == "" {
			continue
		}
		g := &simFile{fs: next, name: name, dirty: map[int64]struct{}{}, pages: map[int64]struct{}{}}
		if cache {
			g.cur, g.disk, g.dirty = f.cur, f.disk, f.dirty
		} else {
			g.cur = f.afterCut()
			g.disk = append([]byte(nil), g.cur...)
		}
		g.occupy(0, int64(len(g.cur)))
		next.names[name] = g
	}
	for name, f := range next.names {
		next.durable[name] = f
	}
	return next
}

// afterCut is what the disk has: for each sector that was not synced, the old
// bytes or the new.
func (f *simFile) afterCut() []byte {
	size := len(f.disk)
	if f.fs.r.IntN(2) == 0 {
		size = len(f.cur)
	}
	b := make([]byte, size)
	copy(b, f.disk)
	for s := range f.dirty {
		if f.fs.r.IntN(3) > 0 {
			copySector(b, f.cur, s)
		}
	}
	return b
}

func copySector(dst, src []byte, s int64) {
	from := s * sectorSize
	to := from + sectorSize
	if from >= int64(len(dst)) {
		return
	}
	clear(dst[from:min(to, int64(len(dst)))])
	if from < int64(len(src)) {
		copy(dst[from:], src[from:min(to, int64(len(src)))])
	}
}

func (f *simFile) resize(n int64) {
	old := int64(len(f.cur))
	for len(f.cur) < int(n) {
		f.cur = append(f.cur, make([]byte, int(n)-len(f.cur))...)
	}
	f.cur = f.cur[:n:n]
	for s := min(old, n) / sectorSize; s*sectorSize < max(old, n); s++ {
		f.dirty[s] = struct{}{}
	}
	for p := range f.pages {
		if p*pageSize >= n {
			delete(f.pages, p)
		}
	}
}

// occupy makes the range hold pages; false if there is no room.
func (f *simFile) occupy(from, to int64) bool {
	var want []int64
	for p := from / pageSize; p*pageSize < to; p++ {
		if _, ok := f.pages[p]; !ok {
			want = append(want, p)
		}
	}
	if f.fs.room > 0 {
		held := int64(len(want))
		for _, g := range f.fs.names {
			held += int64(len(g.pages))
		}
		if held*pageSize > f.fs.room {
			return false
		}
	}
	for _, p := range want {
		f.pages[p] = struct{}{}
	}
	return true
}

func (f *simFile) write(b []byte, off int64) {
	if end := off + int64(len(b)); end > int64(len(f.cur)) {
		f.resize(end)
	}
	copy(f.cur[off:], b)
	for s := off / sectorSize; s*sectorSize < off+int64(len(b)); s++ {
		f.dirty[s] = struct{}{}
	}
}

func (f *simFile) readv(bufs [][]byte, off int64) (n int64, err error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, errDead
	}
	if f.fs.fault != nil {
		if err := f.fs.fault("read", f.name); err != nil {
			return 0, err
		}
	}
	for _, b := range bufs {
		if off >= int64(len(f.cur)) {
			break
		}
		c := copy(b, f.cur[off:])
		n, off = n+int64(c), off+int64(c)
	}
	return n, nil
}

func (f *simFile) writev(bufs [][]byte, off int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	cut, err := f.fs.step("write", f.name)
	if err == nil && !cut && f.occupy(off, off+int64(len(all))) {
		f.write(all, off)
		return nil
	}
	f.write(all[:f.fs.r.IntN(len(all)+1)], off) // some of it
	if err == nil && !cut {
		err = unix.ENOSPC
	}
	return errors.Join(err, dieIf(cut))
}

// writeDirect is no more durable than any write: the disk has a cache too.
func (fs *simFS) writeDirect(name string, b []byte, off int64) error {
	if uintptr(unsafe.Pointer(&b[0]))%pageSize != 0 || len(b)%pageSize != 0 || off%pageSize != 0 {
		panic("sim: a direct write that is not of pages")
	}
	fs.mu.Lock()
	f := fs.names[name]
	fs.direct++
	fault := fs.fault
	fs.mu.Unlock()
	if fault != nil {
		if err := fault("direct", name); err != nil {
			return err
		}
	}
	return f.writev([][]byte{b}, off)
}

func (f *simFile) sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	cut, err := f.fs.step("sync", f.name)
	if err == nil && !cut {
		disk := make([]byte, len(f.cur))
		copy(disk, f.disk)
		f.disk = disk
		for s := range f.dirty {
			copySector(f.disk, f.cur, s)
		}
		clear(f.dirty)
		return nil
	}
	// Some sectors reached the disk. After an error the kernel takes all for
	// clean and will not write the others any more, fsyncgate.
	lost := map[int64]struct{}{}
	for s := range f.dirty {
		if f.fs.r.IntN(2) == 0 && s*sectorSize < int64(len(f.disk)) {
			copySector(f.disk, f.cur, s)
		} else {
			lost[s] = struct{}{}
		}
	}
	if cut {
		f.dirty = lost
		return errDead
	}
	clear(f.dirty)
	return err
}

// evict makes the cache forget what it takes for clean.
func (fs *simFS) evict() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.names {
		for s := int64(0); s*sectorSize < int64(len(f.cur)); s++ {
			if _, dirty := f.dirty[s]; !dirty {
				copySector(f.cur, f.disk, s)
			}
		}
	}
}

func (f *simFile) allocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	cut, err := f.fs.step("allocate", f.name)
	if err != nil || cut {
		return errors.Join(err, dieIf(cut))
	}
	if !f.occupy(off, off+n) {
		return unix.ENOSPC
	}
	f.resize(max(off+n, int64(len(f.cur))))
	return nil
}

func (f *simFile) punch(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	cut, err := f.fs.step("punch", f.name)
	if err != nil {
		return err
	}
	f.write(make([]byte, n), off)
	for p := off / pageSize; p*pageSize < off+n; p++ {
		delete(f.pages, p)
	}
	return dieIf(cut)
}

func (f *simFile) truncate(n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	cut, err := f.fs.step("truncate", f.name)
	if err != nil {
		return err
	}
	f.resize(n)
	return dieIf(cut)
}

func (f *simFile) size() (length, held int64, err error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, 0, errDead
	}
	return int64(len(f.cur)), int64(len(f.pages)) * pageSize, nil
}

func (f *simFile) data(off int64) (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for ; off < int64(len(f.cur)); off = alignUp(off+1, pageSize) {
		if !zero(f.cur[off:min(alignUp(off+1, pageSize), int64(len(f.cur)))]) {
			return off, nil
		}
	}
	return 0, io.EOF
}

func (f *simFile) close() error { return nil }
