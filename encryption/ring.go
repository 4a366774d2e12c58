package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wardfs/wardfs/encryption/segment"
	"github.com/wardfs/wardfs/posix"
)

// KeyID names a key of a zone: each version of each key has its own, counted
// from 1 and never used again.
type KeyID uint32

// ZoneKey is a key as the server keeps it.
type ZoneKey struct {
	ID      KeyID
	Wrapped Wrapped
}

// Zone is what a mount must know of a zone to open its keys.
type Zone struct {
	ID       uint64
	Format   segment.Format
	Wrapping string // the name of the wrapping key in the key store
	Keys     []ZoneKey
}

// RingConfig is what a Ring needs.
type RingConfig struct {
	Keys Keys
	// Zone answers what the server knows of a zone.
	Zone func(ctx context.Context, id uint64) (Zone, error)
	// TTL is how long an opened key may be used without asking the key store
	// again; default 60 s. So long does a revocation take at most.
	TTL time.Duration
	// Dropped is told when keys of a zone are gone, so that plaintext which was
	// read with them goes too.
	Dropped func(zone uint64)
	Log     *slog.Logger // default: discard
}

// Ring holds the zone keys that one caller has opened. A zone's keys are
// unwrapped together, once a TTL, and in the background while the zone is in
// use, so that no file waits for the key store. A denial drops them at once;
// a store that is away lets them live to the end of their time. It is safe for
// concurrent use.
type Ring struct {
	c      RingConfig
	ctx    context.Context // of openings, which outlive each who waits; ends with Close
	cancel context.CancelFunc

	mu    sync.Mutex
	zones map[uint64]*bunch
}

// bunch is what is known of a zone. Its fields are Ring.mu's.
type bunch struct {
	format  segment.Format
	keys    map[KeyID]*Secret
	failed  map[KeyID]error // keys that did not open by themselves
	until   time.Time       // when keys must go
	used    bool            // since the last opening
	opening chan struct{}   // closed when the opening under way ends; nil if none is
	err     error           // of the last opening
	early   time.Time       // after an opening that failed: none before this
	timer   *time.Timer     // renews or drops
}

// retryAfter is how soon a key store is asked again, at the least.
const retryAfter = time.Second

func (r *Ring) retry() time.Duration { return min(retryAfter, r.c.TTL/4) }

// NewRing makes an empty ring.
func NewRing(c RingConfig) *Ring {
	if c.TTL == 0 {
		c.TTL = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dropped == nil {
		c.Dropped = func(uint64) {}
	}
	r := &Ring{c: c, zones: make(map[uint64]*bunch)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Slice is the key of one slice, which was or will be sealed with the zone's
// key id. EACCES says that the key store denies it, ENOKEY that it does not
// answer, EINTR that ctx ended.
func (r *Ring) Slice(ctx context.Context, id KeyID, p segment.Place) (*segment.Slice, error) {
	var s *segment.Slice
	err := r.use(ctx, p.Zone, id, func(f segment.Format, key []byte) (err error) {
		s, err = segment.New(key, f, p)
		return err
	})
	if err != nil {
		return nil, refuse(fmt.Errorf("zone %d, key %d: %w", p.Zone, id, err))
	}
	return s, nil
}

// refuse gives an error its errno.
func refuse(err error) error {
	switch {
	case errors.Is(err, ErrDenied):
		return posix.E("key", posix.EACCES, err)
	case errors.Is(err, ErrUnavailable):
		return posix.E("key", posix.ENOKEY, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return posix.E("key", posix.EINTR, err)
	}
	return posix.E("key", posix.ENOKEY, err)
}

// use calls f with a key, which it opens where that is needed. It looks three
// times: the zone may be opened already, then by an opening that had begun
// before the key was made, then by one of its own.
func (r *Ring) use(ctx context.Context, zone uint64, id KeyID, f func(segment.Format, []byte) error) error {
	for range 2 {
		k, opening := r.find(zone, id)
		if k.secret == nil {
			select {
			case <-opening:
			case <-ctx.Done():
				return ctx.Err()
			}
		} else if err := k.use(f); !errors.Is(err, errWiped) {
			return err // else its time was just over
		}
	}
	k, _ := r.find(zone, id)
	if k.secret == nil {
		return k.err
	}
	return k.use(f)
}

// known is what a ring has of a key: a secret, or why there is none.
type known struct {
	secret *Secret
	format segment.Format
	err    error
}

func (k known) use(f func(segment.Format, []byte) error) error {
	return k.secret.Use(func(key []byte) error { return f(k.format, key) })
}

// find answers a key if it is open, else the opening to wait for. An opening
// that is too early has ended already.
func (r *Ring) find(zone uint64, id KeyID) (known, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.zones[zone]
	if b == nil {
		b = &bunch{}
		r.zones[zone] = b
	}
	b.used = true
	if s := b.keys[id]; s != nil && time.Now().Before(b.until) {
		return known{secret: s, format: b.format}, nil
	}
	opening := r.begin(zone, b)
	switch {
	case b.err != nil:
		return known{err: b.err}, opening
	case b.failed[id] != nil:
		return known{err: b.failed[id]}, opening
	}
	return known{err: fmt.Errorf("%w: the zone has no such key", ErrDenied)}, opening
}

// begin starts an opening, or answers the one under way. r.mu is held.
func (r *Ring) begin(zone uint64, b *bunch) chan struct{} {
	if b.opening != nil {
		return b.opening
	}
	ended := make(chan struct{})
	wait := time.Until(b.early)
	switch {
	case r.ctx.Err() != nil:
		b.err = fmt.Errorf("%w: the mount has ended", ErrUnavailable)
		close(ended)
		return ended
	case wait > 0 && b.err != nil:
		close(ended)
		return ended
	}
	// Where the last one went well, what is missing may be younger than it.
	b.opening, b.used = ended, false
	time.AfterFunc(max(wait, 0), func() { r.open(zone, b) })
	return ended
}

// open asks for a zone and its keys, once for all who wait.
func (r *Ring) open(zone uint64, b *bunch) {
	ctx, cancel := context.WithTimeout(r.ctx, r.c.TTL)
	defer cancel()
	asked := time.Now() // the key store's consent is as old as the question
	z, err := r.c.Zone(ctx, zone)
	if err != nil {
		err = fmt.Errorf("%w: the zone itself could not be read: %w", ErrUnavailable, err)
	}
	var opened []Opened
	if err == nil {
		wrapped := make([]Wrapped, len(z.Keys))
		for i, k := range z.Keys {
			wrapped[i] = k.Wrapped
		}
		opened, err = r.c.Keys.Unwrap(ctx, z.Wrapping, wrapped)
	}
	r.mu.Lock()
	var lost []*Secret
	switch {
	case err == nil:
		lost = b.take(z, opened)
		b.until, b.early = asked.Add(r.c.TTL), asked.Add(r.retry())
	case errors.Is(err, ErrDenied):
		lost = b.empty()
		b.early = time.Now().Add(r.retry())
	default:
		b.early = time.Now().Add(r.retry())
	}
	b.err = err
	if r.ctx.Err() != nil {
		lost = append(lost, b.empty()...)
	}
	close(b.opening)
	b.opening = nil
	r.plan(zone, b)
	r.mu.Unlock()
	if err != nil {
		r.c.Log.Warn("zone keys were not opened", "zone", zone, "err", err)
	}
	r.drop(zone, lost)
}

// take puts what was opened in place of what there was, and answers keys that
// are no more. Of a key that is still there the new secret goes: it is the same.
func (b *bunch) take(z Zone, opened []Opened) (lost []*Secret) {
	keys, failed := make(map[KeyID]*Secret), make(map[KeyID]error)
	for i, o := range opened {
		id := z.Keys[i].ID
		switch old := b.keys[id]; {
		case o.Err != nil:
			failed[id] = o.Err
		case old != nil:
			keys[id] = old
			delete(b.keys, id)
			o.Secret.Wipe()
		default:
			keys[id] = o.Secret
		}
	}
	lost = b.empty()
	b.format, b.keys, b.failed = z.Format, keys, failed
	return lost
}

// empty takes all keys out.
func (b *bunch) empty() (lost []*Secret) {
	for _, s := range b.keys {
		lost = append(lost, s)
	}
	b.keys, b.until = nil, time.Time{}
	return lost
}

// drop wipes keys and tells of it.
func (r *Ring) drop(zone uint64, lost []*Secret) {
	if len(lost) == 0 {
		return
	}
	for _, s := range lost {
		s.Wipe()
	}
	r.c.Dropped(zone)
}

// plan has the zone looked at again: before the end of its keys' time, to renew
// them if they were used, and at the end. r.mu is held.
func (r *Ring) plan(zone uint64, b *bunch) {
	if b.timer != nil {
		b.timer.Stop()
	}
	left := time.Until(b.until)
	switch {
	case len(b.keys) == 0:
		// Nothing to renew and nothing to drop; who asks next finds out more.
		if b.err == nil || r.ctx.Err() != nil {
			return
		}
		left = r.c.TTL // the reason is forgotten
	case b.err != nil:
		left = min(left, r.retry())
	case b.used || left > r.c.TTL/4:
		left = max(left-r.c.TTL/4, 0)
	}
	b.timer = time.AfterFunc(left, func() { r.look(zone, b) })
}

// look renews a zone's keys, or drops them if their time is over.
func (r *Ring) look(zone uint64, b *bunch) {
	r.mu.Lock()
	var lost []*Secret
	switch over := !time.Now().Before(b.until); {
	case b.opening != nil:
		// It plans what comes next. But it may hang beyond the keys' time.
		if over {
			lost = b.empty()
		} else {
			b.timer = time.AfterFunc(time.Until(b.until), func() { r.look(zone, b) })
		}
	case over:
		lost = b.empty()
		delete(r.zones, zone)
	case b.used:
		r.begin(zone, b)
		b.timer = time.AfterFunc(time.Until(b.until), func() { r.look(zone, b) })
	default:
		b.timer = time.AfterFunc(time.Until(b.until), func() { r.look(zone, b) })
	}
	r.mu.Unlock()
	r.drop(zone, lost)
}

// Forget drops a zone's keys now.
func (r *Ring) Forget(zone uint64) {
	r.mu.Lock()
	var lost []*Secret
	if b := r.zones[zone]; b != nil {
		lost, b.early = b.empty(), time.Time{}
	}
	r.mu.Unlock()
	r.drop(zone, lost)
}

// Close drops all keys; every question after it is refused.
func (r *Ring) Close() {
	r.mu.Lock()
	r.cancel()
	lost := make(map[uint64][]*Secret)
	for zone, b := range r.zones {
		lost[zone] = b.empty()
		if b.timer != nil {
			b.timer.Stop()
		}
	}
	r.mu.Unlock()
	for zone, keys := range lost {
		r.drop(zone, keys)
	}
}
