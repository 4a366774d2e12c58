// Package file is the client's data path: between the kernel's reads and
// writes, which come at any offset and in any size, and immutable slices in
// the chunk store. It buffers writes until they are committed, reads ahead,
// and shows through [Files.Over] a namespace in which what is buffered is
// there already.
//
// It refuses to decide who may do what (the server does), to know names, to
// talk to the kernel or the wire, and to keep anything on a disk. Other mounts
// see what was written here when it is committed: at [Handle.Flush] (close),
// [Handle.Sync], and by itself after a few seconds.
//
//	files := file.New(file.Config{Blocks: remote})
//	h, attr, err := files.Create(ctx, ns, posix.RootIno, "a", 0o666, 0o022, posix.OpenWrite)
//	n, err := h.Write(ctx, data, 0)
//	err = h.Sync(ctx) // on the server's disk
//	err = h.Close(ctx)
//
// # Errors of delayed writes
//
// A flush that was refused keeps its data: it is still read here, and each
// later flush tries again, the one of the next Sync as the one in the
// background. Each handle that was open is told once, by its next Flush or
// Sync, as Linux's errseq has it. While the reason is final (a full disk, a
// quota, a file that is gone) a Write first tries to store what is there and
// answers the error itself if that is refused again, so that nothing piles up.
// The data is dropped when the last handle that could write it is closed, when
// the session is lost, or when other files wait for the memory; in the last
// case a handle that had not been told answers EIO to reads and writes until
// it was.
package file

import (
	"container/list"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/client/blockcache"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto/hands"
)

// Blocks is what the data path needs of the chunk role. All methods are safe
// for concurrent use. capability is what the server gave when the file was
// opened; EACCES means that it is not valid (any more), and makes the caller
// ask for a fresh one, once.
type Blocks interface {
	// Put stores a block; data is the store's until Put returns. It may
	// return before the block is durable. Putting the same bytes again is no
	// error.
	Put(ctx context.Context, capability []byte, id posix.BlockID, data []byte) error
	// Get fills dst with the block's bytes from off on. ENOENT if there is no
	// such block, EIO if it is damaged.
	Get(ctx context.Context, capability []byte, id posix.BlockID, off uint32, dst []byte) error
	// Sync answers nil when all Puts of this client that returned before are
	// durable. If one of them may be lost, because the store was restarted in
	// between, it must answer an error: all is then sent anew.
	Sync(ctx context.Context, capability []byte) error
}

// Config is what New needs. Only Blocks is required.
type Config struct {
	Blocks    Blocks
	Memory    int64            // bytes, at least 32 MiB: half for what is written, an eighth for what is read; default 256 MiB
	Age       time.Duration    // after which written data is committed by itself; default 5 s
	ReadAhead int64            // bytes, the most that is read ahead for one handle; default 8 MiB
	Uploads   int              // blocks sent at once; default 8
	Inline    func() int       // stored bytes that a commit may bring by itself, asked each time; default none
	Rand      io.Reader        // for the names of slices; default crypto/rand
	Now       func() time.Time // default time.Now
	Log       *slog.Logger     // default: none
	// Moved is told, without locks, that what was appended to a file lies
	// elsewhere than those who read here were told; default: nobody is.
	Moved func(posix.Ino)
}

// The bounds of what is kept for files that nobody has open, of damaged blocks
// remembered, and of small blocks, pieces read ahead and flushes under way at
// once.
const (
	minMemory = 32 << 20
	maxIdle   = 1024
	maxBad    = 1024
	maxSmall  = 16
	maxAhead  = 8
	maxRounds = 64
)

// Files is the data path of one mount. All methods are safe for concurrent use.
type Files struct {
	blocks    Blocks
	codec     codec
	cache     *blockcache.Cache
	memory    budget
	age       time.Duration
	readAhead uint64
	sliceMax  int64 // bytes of one slice
	inlineMax func() int
	now       func() time.Time
	log       *slog.Logger
	moved     func(posix.Ino)
	big       gate // uploads of big and small blocks, pieces read ahead
	small     gate
	ahead     gate
	rounds    gate // flushes under way
	stats     counters
	doubts    atomic.Uint64 // how often some file came into doubt
	life      posix.Life    // of the session, where the mount has one
	words     atomic.Uint64 // how often there was word that anything may have changed
	parks     atomic.Bool   // see Park

	randMu sync.Mutex
	rand   io.Reader

	ctx    context.Context // of what goes on in the background
	cancel context.CancelFunc
	wake   chan struct{} // memory is short
	work   sync.WaitGroup
	hands  *hands.Hands

	mu      sync.Mutex
	shut    bool
	inodes  map[posix.Ino]*inode
	idle    list.List // of idle, oldest first
	calls   list.List // of uint64: the clock when each call under way began
	clock   uint64
	dirty   map[*inode]time.Time     // since when, at most
	handles posix.Handle             // the last one given out
	byID    map[posix.Handle]*Handle // those that are open
	parked  list.List                // of *Handle, in order of parking
	bad     map[posix.BlockID]bool
}

// New makes the data path of a mount. Shutdown ends it.
func New(c Config) *Files {
	f := &Files{
		blocks: c.Blocks, codec: plain{},
		age: c.Age, readAhead: uint64(c.ReadAhead), now: c.Now, log: c.Log, rand: c.Rand, inlineMax: c.Inline, moved: c.Moved,
		inodes: map[posix.Ino]*inode{}, byID: map[posix.Handle]*Handle{}, dirty: map[*inode]time.Time{}, bad: map[posix.BlockID]bool{},
		wake: make(chan struct{}, 1), small: make(gate, maxSmall), ahead: make(gate, maxAhead),
		rounds: make(gate, maxRounds), hands: hands.New(),
	}
	memory, uploads := c.Memory, c.Uploads
	defaultTo(&memory, 256<<20)
	defaultTo(&uploads, 8)
	defaultTo(&f.age, 5*time.Second)
	defaultTo(&f.readAhead, 8<<20)
	memory = max(memory, minMemory)
	f.big = make(gate, uploads)
	if f.now == nil {
		f.now = time.Now
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.inlineMax == nil {
		f.inlineMax = func() int { return 0 }
	}
	if f.rand == nil {
		f.rand = rand.Reader
	}
	f.memory.limit, f.memory.short = memory/2, f.hurry
	f.sliceMax = min(posix.ChunkSize, memory/8/posix.BlockSize*posix.BlockSize)
	f.cache = blockcache.New(max(memory/8, minMemory/2))
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.spawn(f.flusher)
	f.spawn(f.reliever)
	return f
}

func defaultTo[T int | int64 | uint64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// lane is the gate that a block of n bytes goes through.
func (f *Files) lane(n int) gate {
	if n <= smallBlock {
		return f.small
	}
	return f.big
}

// spawn runs fn in the background unless the mount is ending.
func (f *Files) spawn(fn func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return false
	}
	f.hands.Do(&f.work, f.ctx.Done(), fn)
	return true
}

// SyncAll commits all that is buffered, as syncfs(2) does. It goes through all
// files and answers the first error.
func (f *Files) SyncAll(ctx context.Context) error {
	var first error
	var rounds []*round
	for _, i := range f.dirtySince(f.now()) {
		rounds = append(rounds, i.kick(true, true))
	}
	for _, r := range rounds {
		if err := r.wait(ctx); err != nil && first == nil {
			first = as("syncfs", err)
		}
	}
	return first
}

// Invalidate notes that another mount has changed ino: what is known of its
// committed bytes is forgotten. What is buffered here stays.
func (f *Files) Invalidate(ino posix.Ino) {
	if i := f.find(ino); i != nil {
		i.hears()
		i.doubt()
		f.release(i)
	}
}

// InvalidateAll is Invalidate of every file: the server could not say which.
func (f *Files) InvalidateAll() {
	f.words.Add(1)
	f.unparkAll(f.now())
	for _, i := range f.all() {
		i.doubt()
	}
}

// all answers the files of which something is kept.
func (f *Files) all() []*inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.inodes))
}

// as gives an error that bears op and errno.
func as(op string, err error) error {
	if err == nil {
		return nil
	}
	return posix.E(op, posix.ErrnoOf(err), err)
}
