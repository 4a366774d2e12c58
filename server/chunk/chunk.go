// Package chunk is where the bytes of files lie: immutable blocks, each a
// piece of one slice, of at most [posix.BlockSize] or, sealed,
// [posix.BlockMax]. It knows neither names nor owners, and in an encryption
// zone it sees only ciphertext.
//
// The bodies are packages of their own below this one: mem for unit tests,
// disk for a directory of the server. All pass chunktest.
package chunk

import (
	"context"
	"errors"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// The answers of a store beside posix.ENOSPC and those of the disk below.
var (
	ErrNotFound = errors.New("chunk: no such block")
	ErrExists   = errors.New("chunk: block exists with other content")
	ErrCorrupt  = errors.New("chunk: block is damaged")
	ErrClosed   = errors.New("chunk: closed")
)

// BlockID names a block; see [posix.BlockID].
type BlockID = posix.BlockID

// Info is what a store knows of a block without reading it.
type Info struct {
	ID     BlockID
	Size   uint32    // bytes
	Stored time.Time // when Put published it, by the server's clock
}

// Usage is the room on the store's disk, in bytes.
type Usage struct {
	Capacity, Free uint64
}

// Store keeps blocks. All methods are safe for concurrent use; every error
// other than the named ones wraps what the disk said.
type Store interface {
	// Put publishes a block: afterwards Get sees all of it, before nothing.
	// The pieces of data are one after the other the block's bytes; Put does
	// not keep them. Putting the same bytes again is no error, other bytes
	// under the same name are ErrExists, no bytes at all EINVAL. The block is durable after the next
	// Sync. A full disk is an error that wraps posix.ENOSPC; what was stored
	// stays readable and the store goes on once there is room.
	Put(ctx context.Context, id BlockID, data [][]byte) error

	// Get fills dst with the block's bytes from off on. The bytes were checked
	// against the sums that Put kept: a difference is ErrCorrupt, and a range
	// beyond the block's end is posix.EINVAL.
	Get(ctx context.Context, id BlockID, off uint32, dst []byte) error

	// Stat answers what is known of a block without reading it; ErrNotFound.
	// What a store holds when it is opened is durable, so after a Sync a block
	// that Stat finds is, whether or not the store was restarted since its Put.
	Stat(ctx context.Context, id BlockID) (Info, error)

	// Delete removes a block; one that is not there is no error. The removal
	// need not survive a crash: a block may come back, never change.
	Delete(ctx context.Context, id BlockID) error

	// Sync answers when every Put that returned before Sync began survives a
	// power cut. Concurrent calls share one sync of the disk.
	Sync(ctx context.Context) error

	// List calls f for every block in no order until f answers false. Blocks
	// put or deleted meanwhile may or may not be seen.
	List(ctx context.Context, f func(Info) bool) error

	Usage(ctx context.Context) (Usage, error)

	// Close makes everything durable and ends. What comes after is ErrClosed.
	Close() error
}
