package namespace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/lock"
)

// formatVersion is that of the whole: keys and what they mean. Each record has
// its own version beside it. Version 2 knows ACLs: a server that does not
// would let in whom they keep out. Since version 3 inodes know their places.
// Since version 4 there are blocks under 'b', which an older server would miss.
// Since version 5 inodes know what they count for. Since version 6 slices know
// how much of them their file covers; those of before are not counted.
// See upgrades.
const formatVersion = 6

// ErrFormat is the answer of Open to a store that this wardfs must not touch.
var ErrFormat = errors.New("namespace: the store can't be used")

// Open opens the namespace in cfg.Engine, and makes an empty one in an empty
// engine. One of an older format is upgraded first, however long it takes. A
// store of a newer format, or with keys that are no namespace's, is ErrFormat.
// A namespace that was there begins with a time of grace, in which nothing
// without a name is deleted, until Recovered.
func Open(ctx context.Context, cfg Config) (*Tree, error) {
	t := &Tree{cfg: cfg.withDefaults(), eng: cfg.Engine, step: 4096}
	t.log = t.cfg.Log
	t.inos.turn = make(chan struct{}, 1)
	var seed [20]byte
	if _, err := io.ReadFull(t.cfg.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("namespace: random bytes: %w", err)
	}
	t.gen = uint64(binary.BigEndian.Uint32(seed[16:])) | 1
	was := uint64(0)
	err := t.eng.Update(ctx, func(tx engine.Tx) (err error) {
		if was, err = formatOf(tx); err == nil && was == 0 {
			t.format(tx, seed[:16])
		}
		return err
	})
	if err == nil && was > 0 {
		err = t.upgrade(ctx)
	}
	if err == nil {
		err = t.load(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	t.dirs = newDirs()
	t.opens, t.locks = newOpens(was > 0), lock.New(lock.Config{PerSession: t.locksMost()})
	t.opens.linger, t.opens.now, t.opens.most = t.cfg.Linger, t.cfg.Now, t.cfg.HandlesMost
	return t, nil
}

// formatOf answers the format of the store, 0 if it is empty, or why it is no
// namespace for us.
func formatOf(r engine.Reader) (uint64, error) {
	b, ok, err := r.Get(metaFormat)
	if err != nil {
		return 0, err
	}
	if !ok {
		other := false
		err := r.Scan(nil, nil, func(_, _ []byte) bool {
			other = true
			return false
		})
		if other && err == nil {
			err = fmt.Errorf("%w: it holds something else than a namespace", ErrFormat)
		}
		return 0, err
	}
	v, n := binary.Uvarint(b)
	switch {
	case n <= 0 || v == 0:
		return 0, fmt.Errorf("%w: its format version is damaged", ErrFormat)
	case v > formatVersion:
		return 0, fmt.Errorf("%w: it has format %d and this wardfs knows up to %d: use a newer wardfs",
			ErrFormat, v, formatVersion)
	}
	return v, nil
}

// format makes the root and what else an empty namespace has.
func (t *Tree) format(tx engine.Tx, hashKey []byte) {
	now := t.now()
	root := &inode{parent: posix.RootIno}
	root.Attr = posix.Attr{
		Ino: posix.RootIno, Gen: t.gen, Mode: posix.TypeDir | t.cfg.Root.Mode.Perm(), Nlink: 2,
		UID: t.cfg.Root.UID, GID: t.cfg.Root.GID,
		Atime: now, Mtime: now, Ctime: now, Btime: now, Change: 1,
	}
	tx.Put(inodeKey(root.Ino), root.encode())
	tx.Put(metaFormat, binary.AppendUvarint(nil, formatVersion))
	tx.Put(metaHash, hashKey)
	tx.Put(metaIno, encodeCount(uint64(posix.RootIno)+1))
	tx.Put(filesKey(root.Ino), encodeCount(1))
}

// load reads what the tree keeps in memory.
func (t *Tree) load(ctx context.Context) error {
	return t.eng.View(ctx, func(r engine.Reader) error {
		key, _, err := r.Get(metaHash)
		if err != nil {
			return err
		}
		if len(key) != 16 {
			return fmt.Errorf("%w: the key of its directories is damaged", ErrFormat)
		}
		t.hash = hashName(binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]))
		bound, err := count(r, metaIno)
		if err != nil {
			return err
		}
		if bound == 0 {
			return fmt.Errorf("%w: it does not know which inode numbers are free", ErrFormat)
		}
		t.inos.free, t.inos.bound = bound, bound
		for stripe := range posix.Ino(fileStripes) {
			files, err := count(r, filesKey(stripe))
			if err != nil {
				return err
			}
			t.files.Add(int64(files))
		}
		if err := t.loadBacklog(r); err != nil {
			return err
		}
		return t.loadQuotas(r)
	})
}

func encodeCount(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// count reads a number that is 0 where there is none.
func count(r engine.Reader, key []byte) (uint64, error) {
	b, ok, err := r.Get(key)
	if err != nil || !ok {
		return 0, err
	}
	return decodeCount(key, b)
}

func decodeCount(key, b []byte) (uint64, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) {
		return 0, fmt.Errorf("%w: its count under %q is damaged", ErrFormat, key)
	}
	return v, nil
}

// inos gives away inode numbers. The store knows a number below which all may
// have been given away; memory knows which are left. A crash wastes what is
// left, so that no number is ever given twice.
type inos struct {
	mu          sync.Mutex
	free, bound uint64        // [free, bound) may be given away
	turn        chan struct{} // held by the one who moves the bound
}

// inosAtOnce is how many numbers are reserved in one transaction.
const inosAtOnce = 1024

// next answers a number that was never answered before.
func (i *inos) next(ctx context.Context, t *Tree) (posix.Ino, error) {
	for {
		if ino := i.take(); ino != 0 {
			return ino, nil
		}
		select {
		case i.turn <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		err := i.reserve(ctx, t)
		<-i.turn
		if err != nil {
			return 0, err
		}
	}
}

func (i *inos) take() posix.Ino {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.free == i.bound {
		return 0
	}
	i.free++
	return posix.Ino(i.free - 1)
}

// reserve moves the bound, unless someone did while we waited for our turn.
func (i *inos) reserve(ctx context.Context, t *Tree) error {
	i.mu.Lock()
	bound, some := i.bound+inosAtOnce, i.free < i.bound
	i.mu.Unlock()
	if some {
		return nil
	}
	err := t.eng.Update(ctx, func(tx engine.Tx) error {
		tx.Put(metaIno, encodeCount(bound))
		return nil
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	i.bound = bound
	i.mu.Unlock()
	return nil
}
