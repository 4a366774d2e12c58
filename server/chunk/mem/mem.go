// Package mem is a chunk store in memory, for unit tests. It keeps sums as the
// real ones do, so that a test can damage a block and see it found out.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

// unit is how many bytes one sum covers.
const unit = 16 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store keeps blocks in memory. Sync does nothing but count.
type Store struct {
	mu       sync.RWMutex
	blocks   map[chunk.BlockID]*block
	capacity uint64
	used     uint64
	syncs    int
	now      func() time.Time
	closed   bool
}

type block struct {
	data   []byte
	sums   []uint32
	stored time.Time
}

var _ chunk.Store = (*Store)(nil)

// New answers an empty store of one TiB.
func New() *Store {
	return &Store{blocks: map[chunk.BlockID]*block{}, capacity: 1 << 40, now: time.Now}
}

// SetCapacity makes the store's disk so large, in bytes; below what is stored
// it is full.
func (s *Store) SetCapacity(bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity = bytes
}

// SetNow makes now the clock that Put reads.
func (s *Store) SetNow(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// Damage flips a bit of the block's byte at off behind the store's back. It
// answers false if there is no such byte.
func (s *Store) Damage(id chunk.BlockID, off uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blocks[id]
	if b == nil || int(off) >= len(b.data) {
		return false
	}
	b.data = bytes.Clone(b.data) // a Get under way has the old ones
	b.data[off] ^= 1
	return true
}

// Syncs is how many Syncs have succeeded.
func (s *Store) Syncs() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.syncs
}

func (s *Store) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed {
		return chunk.ErrClosed
	}
	return nil
}

// Put publishes a block; see [chunk.Store].
func (s *Store) Put(ctx context.Context, id chunk.BlockID, data [][]byte) error {
	b := &block{data: bytes.Join(data, nil)}
	if len(b.data) == 0 || len(b.data) > posix.BlockMax {
		return posix.E("put", posix.EINVAL, fmt.Errorf("block %s of %d bytes", id, len(b.data)))
	}
	for i := 0; i < len(b.data); i += unit {
		b.sums = append(b.sums, crc32.Checksum(b.data[i:min(i+unit, len(b.data))], castagnoli))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	old := s.blocks[id]
	switch {
	case old != nil && (len(old.data) != len(b.data) || !slices.Equal(old.sums, b.sums)):
		return fmt.Errorf("%w: %s", chunk.ErrExists, id)
	case old != nil:
		old.data = b.data // mends a damaged copy
		return nil
	case s.used+uint64(len(b.data)) > s.capacity:
		return posix.E("put", posix.ENOSPC, fmt.Errorf("block %s", id))
	}
	b.stored = s.now()
	s.blocks[id] = b
	s.used += uint64(len(b.data))
	return nil
}

// Get fills dst with a range of a block; see [chunk.Store].
func (s *Store) Get(ctx context.Context, id chunk.BlockID, off uint32, dst []byte) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	b := s.blocks[id]
	if b == nil {
		return fmt.Errorf("%w: %s", chunk.ErrNotFound, id)
	}
	end := uint64(off) + uint64(len(dst))
	if end > uint64(len(b.data)) {
		return posix.E("get", posix.EINVAL, fmt.Errorf("%d bytes at %d of block %s of %d", len(dst), off, id, len(b.data)))
	}
	if len(dst) == 0 {
		return nil
	}
	for i := int(off) / unit; uint64(i)*unit < end; i++ {
		if crc32.Checksum(b.data[i*unit:min((i+1)*unit, len(b.data))], castagnoli) != b.sums[i] {
			return posix.E("get", posix.EIO, fmt.Errorf("%w: %s", chunk.ErrCorrupt, id))
		}
	}
	copy(dst, b.data[off:])
	return nil
}

// Delete removes a block; see [chunk.Store].
func (s *Store) Delete(ctx context.Context, id chunk.BlockID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	if b := s.blocks[id]; b != nil {
		s.used -= uint64(len(b.data))
		delete(s.blocks, id)
	}
	return nil
}

// Sync counts; see [Store.Syncs].
func (s *Store) Sync(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	s.syncs++
	return nil
}

// List calls f for every block; see [chunk.Store].
func (s *Store) List(ctx context.Context, f func(chunk.Info) bool) error {
	s.mu.RLock()
	err := s.check(ctx)
	infos := make([]chunk.Info, 0, len(s.blocks))
	for id, b := range s.blocks {
		infos = append(infos, chunk.Info{ID: id, Size: uint32(len(b.data)), Stored: b.stored})
	}
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	for _, i := range infos {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f(i) {
			return nil
		}
	}
	return nil
}

// Usage tells of the made-up disk.
func (s *Store) Usage(ctx context.Context) (chunk.Usage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(ctx); err != nil {
		return chunk.Usage{}, err
	}
	return chunk.Usage{Capacity: s.capacity, Free: s.capacity - min(s.used, s.capacity)}, nil
}

// Close ends the store; its blocks are gone.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return chunk.ErrClosed
	}
	s.closed, s.blocks = true, nil
	return nil
}
