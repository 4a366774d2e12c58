// Package engine is the transactional, ordered key-value store under the
// namespace. It knows keys and values as bytes and nothing of POSIX. A key is
// never empty; a value may be.
//
// The bodies are packages of their own below this one: mem for unit tests,
// and the one that ADR 2 chose for a server of its own. All of them pass
// enginetest, crash points included.
package engine

import (
	"context"
	"errors"
)

// ErrClosed is the answer of a closed engine.
var ErrClosed = errors.New("engine: closed")

// Reader is the state that one transaction sees, its own changes included.
// It is for the goroutine that runs the transaction and ends with it.
type Reader interface {
	// Get answers the value of key. It belongs to the engine: read it before
	// the transaction ends, and change nothing.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls f for each key in [lo, hi) in ascending order of bytes until
	// f answers false. A nil hi is the end. key and value are f's until it
	// returns. f may read and change the transaction; a change within what is
	// still to be scanned may or may not be seen.
	Scan(lo, hi []byte, f func(key, value []byte) bool) error
}

// Tx is a transaction that changes the store. Put and Delete copy what they
// are given. An error of theirs comes out of Update.
type Tx interface {
	Reader
	Put(key, value []byte)
	Delete(key []byte) // deleting what is not there is no error
}

// Engine is the store. Its transactions are serializable: each happens as if
// alone, in an order that agrees with the order in which they returned.
// All methods are safe for concurrent use.
type Engine interface {
	// View runs f over a state that does not change meanwhile. What f saw is
	// durable when View returns nil.
	View(ctx context.Context, f func(Reader) error) error

	// Update runs f and makes its changes durable, all or none; concurrent
	// updates share one sync of the disk. f may be run more than once and must
	// have no effect but on tx. When f answers an error nothing has changed
	// and Update answers just that error. ctx bounds the waiting before f
	// begins; from then on Update ends by itself.
	//
	// A full disk is an error that wraps posix.ENOSPC and leaves the store as
	// it was and able to go on once there is room.
	Update(ctx context.Context, f func(Tx) error) error

	// Close waits for the transactions under way and closes the store. What
	// comes after answers ErrClosed.
	Close() error
}

// Successor is the smallest key after every key that begins with prefix, nil
// if there is none: Scan(p, Successor(p), …) is all that begins with p.
func Successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			s := append([]byte(nil), prefix[:i+1]...)
			s[i]++
			return s
		}
	}
	return nil
}
