package kerberos

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxReplays bounds what a replay cache remembers: 64 MiB of authenticators.
const maxReplays = 1 << 20

// replays remembers the authenticators that were seen for as long as they
// would be taken. It is safe for concurrent use: of two copies that come at
// once, one is refused.
type replays struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time // until when
	next time.Time                       // when the old ones are dropped
}

// add answers an error if the same bytes were seen before and would still be
// good, until when.
func (r *replays) add(authenticator []byte, now, until time.Time) error {
	sum := sha256.Sum256(authenticator)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[[sha256.Size]byte]time.Time{}
	}
	if now.After(r.next) || len(r.seen) >= maxReplays {
		for k, t := range r.seen {
			if now.After(t) {
				delete(r.seen, k)
			}
		}
		r.next = now.Add(time.Minute)
	}
	if _, ok := r.seen[sum]; ok {
		return errors.New("the same proof was shown before: someone replays it")
	}
	if len(r.seen) >= maxReplays {
		return errors.New("too many proofs were shown lately, try again in a few minutes")
	}
	r.seen[sum] = until
	return nil
}
