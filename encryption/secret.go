package encryption

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"syscall"

	"github.com/wardfs/wardfs/encryption/segment"
)

// Secret is a zone key in memory of its own: locked (never swapped), left out
// of core dumps, zeroed when it is wiped. Where the system refuses the lock
// (RLIMIT_MEMLOCK) it is kept all the same, and Locked says so.
//
// What Go cannot promise: the keys that are derived from it, and the AES key
// schedules, lie on the heap until the collector takes them; a copy may be left
// on a stack. A process that holds zone keys makes itself undumpable for that.
type Secret struct {
	mu     sync.RWMutex
	page   []byte // nil once wiped
	locked bool
}

const madvDontdump = 16 // MADV_DONTDUMP of Linux, which package syscall lacks

// NewSecret takes b in and zeroes it.
func NewSecret(b []byte) (*Secret, error) {
	defer clear(b)
	if len(b) != segment.KeySize {
		return nil, fmt.Errorf("a zone key has %d bytes, this has %d", segment.KeySize, len(b))
	}
	page, err := syscall.Mmap(-1, 0, syscall.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory for a key: %w", err)
	}
	s := &Secret{page: page, locked: syscall.Mlock(page) == nil}
	_ = syscall.Madvise(page, madvDontdump) // an old kernel: the process is undumpable anyway
	copy(page, b)
	runtime.SetFinalizer(s, (*Secret).Wipe)
	return s, nil
}

// DecodeSecret takes in a key in base64, as key stores hand it out, and zeroes it.
func DecodeSecret(text []byte) (*Secret, error) {
	defer clear(text)
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	if err != nil {
		clear(b)
		return nil, errors.New("a key that is not base64") // the cause would quote it
	}
	return NewSecret(b[:n])
}

// errWiped says that a key's time is over.
var errWiped = errors.New("the key was wiped")

// Locked reports whether the secret is kept out of swap.
func (s *Secret) Locked() bool { return s.locked }

// Use calls f with the key's bytes, which must not be kept. It is an error
// after Wipe.
func (s *Secret) Use(f func(key []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.page == nil {
		return errWiped
	}
	return f(s.page[:segment.KeySize])
}

// Wipe zeroes the key and gives its memory back. Wiping twice is allowed; nil too.
func (s *Secret) Wipe() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page == nil {
		return
	}
	clear(s.page)
	_ = syscall.Munmap(s.page) // unlocks it
	s.page = nil
	runtime.SetFinalizer(s, nil)
}

// String, and all below, keep the key out of whatever prints it.
func (s *Secret) String() string { return "(secret)" }

// GoString is for %#v.
func (s *Secret) GoString() string { return "(secret)" }

// Format is for every other verb.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(secret)")) }

// LogValue is for slog.
func (s *Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// MarshalText is for JSON and the like.
func (s *Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }
