// Package encryption is zones: directories whose files leave the host only as
// ciphertext. Below it are [segment], the format; local and vault, which keep
// keys. Here are the words that they share, and the [Ring], which holds the
// keys that a mount has opened for as long as it may.
//
// A zone has one or more zone keys of 32 bytes. The server keeps them wrapped:
// encrypted under a key that never leaves the key store, the wrapping key. Who
// wants to read needs the permission in the namespace, which gives the wrapped
// key and the blocks, and the key store's consent, which unwraps it. The server
// never has the second, the key store never the first.
//
// It refuses to choose where keys are kept, and never falls back to plaintext.
package encryption

import (
	"context"
	"errors"
	"fmt"
)

// WrappedMax bounds a wrapped key, in bytes.
const WrappedMax = 4096

// Wrapped is a zone key as everyone may see it: what the key store made of it,
// printable, and meaningless to all but that store.
type Wrapped string

// Check refuses what no key store made.
func (w Wrapped) Check() error {
	if len(w) == 0 || len(w) > WrappedMax {
		return fmt.Errorf("a wrapped key of %d bytes: it must have 1 to %d", len(w), WrappedMax)
	}
	for _, c := range []byte(w) {
		if c <= ' ' || c > '~' {
			return errors.New("a wrapped key is printable and has no blanks")
		}
	}
	return nil
}

// The two ways in which a key store fails. What wraps them says more.
var (
	// ErrDenied is the store's no: the caller may not use the wrapping key, or
	// it is gone. Asking again will not help; what was opened before must go.
	ErrDenied = errors.New("the key store denies the key")
	// ErrUnavailable is no answer: the store is away, sealed, or answers
	// nonsense. What was opened before may be used until its time is over.
	ErrUnavailable = errors.New("the key store does not answer")
)

// Keys is a key store, as one caller may use it. A body is safe for concurrent
// use, and gives up when ctx ends. Every error is ErrDenied or ErrUnavailable,
// or ctx's.
type Keys interface {
	// New makes a zone key under the wrapping key. Its secret is not answered:
	// who needs it unwraps it.
	New(ctx context.Context, wrapping string) (Wrapped, error)
	// Unwrap opens several keys in as few questions as the store allows, one as
	// a rule. The answers stand in the order of keys; a key that is denied by
	// itself has ErrDenied in its place. err means that none was opened.
	Unwrap(ctx context.Context, wrapping string, keys []Wrapped) (opened []Opened, err error)
}

// Opened is a key or why there is none.
type Opened struct {
	Secret *Secret // the caller's to wipe
	Err    error
}

// Rewrapper is a key store whose wrapping keys have versions.
type Rewrapper interface {
	// Rotate adds a version, which New uses from now on.
	Rotate(ctx context.Context, wrapping string) error
	// Rewrap moves keys to the newest version. Their secrets stay and are not
	// seen. All or none.
	Rewrap(ctx context.Context, wrapping string, keys []Wrapped) ([]Wrapped, error)
}
