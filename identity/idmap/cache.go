package idmap

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// CacheConfig is how long the answers of a Host are believed. The zero value
// has defaults that work.
type CacheConfig struct {
	// Fresh is for how long an answer is used without a question; default
	// 60 s. After that it is still used, and refreshed in the background.
	Fresh time.Duration
	// Keep is for how long an answer is still used for which nobody asked
	// since it was fresh, and for how long a name is kept that the host no
	// longer knows; default ten times Fresh.
	Keep time.Duration
	// Negative is for how long ErrUnknown is believed; default 10 s.
	Negative time.Duration
	// Retry is when a host that could not be asked is asked again; default 5 s.
	Retry time.Duration
	// Most is how many answers are kept for each of the four questions;
	// default 65,536.
	Most int

	Now func() time.Time // default time.Now
	Log *slog.Logger     // nil discards
}

func (c CacheConfig) withDefaults() CacheConfig {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Fresh, 60*time.Second)
	set(&c.Keep, 10*c.Fresh)
	set(&c.Negative, 10*time.Second)
	set(&c.Retry, 5*time.Second)
	if c.Most <= 0 {
		c.Most = 65536
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// CacheHost is h with a memory. What h last answered is kept for as long as h
// can't be asked. A question that is answered from memory takes no lock; one
// that many ask at once is asked once.
func CacheHost(h Host, c CacheConfig) Host {
	c = c.withDefaults()
	out := new(cachedHost)
	for _, k := range []Kind{User, Group} {
		out.names[k] = newCache(c, k.String()+" by number", func(ctx context.Context, n uint32) (string, error) { return h.Name(ctx, k, n) })
		out.numbers[k] = newCache(c, k.String()+" by name", func(ctx context.Context, name string) (uint32, error) { return h.Number(ctx, k, name) })
	}
	return out
}

type cachedHost struct {
	names   [2]*cache[uint32, string]
	numbers [2]*cache[string, uint32]
}

func (h *cachedHost) Name(ctx context.Context, k Kind, n uint32) (string, error) {
	return h.names[k].get(ctx, n)
}

func (h *cachedHost) Number(ctx context.Context, k Kind, name string) (uint32, error) {
	return h.numbers[k].get(ctx, name)
}

// cache remembers what load answers.
type cache[K comparable, V any] struct {
	c    CacheConfig
	what string // for the log
	load func(context.Context, K) (V, error)

	slots sync.Map // K -> *slot[V]; a slot never changes but for busy
	n     atomic.Int64
	warn  atomic.Int64 // when an outage may be logged again

	mu      sync.Mutex
	flights map[K]*flight[V]
}

// slot is an answer.
type slot[V any] struct {
	v         V
	err       error // ErrUnknown, or why there is no answer
	confirmed int64 // when load answered v: ns since the epoch
	until     int64 // from then on it is asked anew
	busy      atomic.Bool
}

// flight is a question under way.
type flight[V any] struct {
	done chan struct{}
	slot *slot[V] // set before done is closed
}

func newCache[K comparable, V any](c CacheConfig, what string, load func(context.Context, K) (V, error)) *cache[K, V] {
	return &cache[K, V]{c: c, what: what, load: load, flights: map[K]*flight[V]{}}
}

func (c *cache[K, V]) find(k K) *slot[V] {
	x, ok := c.slots.Load(k)
	if !ok {
		return nil
	}
	return x.(*slot[V])
}

func (c *cache[K, V]) get(ctx context.Context, k K) (V, error) {
	if s := c.find(k); s != nil {
		now := c.c.Now().UnixNano()
		if now < s.until {
			return s.v, s.err
		}
		if s.err == nil && now < s.until+int64(c.c.Keep) {
			if s.busy.CompareAndSwap(false, true) {
				c.fly(k)
			}
			return s.v, nil
		}
	}
	f := c.fly(k)
	select {
	case <-f.done:
		return f.slot.v, f.slot.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// fly asks for k in the background, unless that is being done.
func (c *cache[K, V]) fly(k K) *flight[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[k]; ok {
		return f
	}
	f := &flight[V]{done: make(chan struct{})}
	c.flights[k] = f
	go func() {
		f.slot = c.ask(k)
		c.mu.Lock()
		delete(c.flights, k)
		c.mu.Unlock()
		close(f.done)
	}()
	return f
}

// ask asks for k and keeps the answer, or what was known before.
func (c *cache[K, V]) ask(k K) *slot[V] {
	v, err := c.load(context.Background(), k)
	old, now := c.find(k), c.c.Now()
	s := &slot[V]{v: v, err: err, confirmed: now.UnixNano()}
	switch {
	case err == nil:
		s.until = now.Add(c.c.Fresh).UnixNano()
	case errors.Is(err, ErrUnknown):
		s.err = ErrUnknown
		s.until = now.Add(c.c.Negative).UnixNano()
		// A directory service that has just lost its servers says so, too.
		if old != nil && old.err == nil && s.confirmed-old.confirmed < int64(c.c.Keep) {
			s.v, s.err, s.confirmed = old.v, nil, old.confirmed
		}
	default:
		s.until = now.Add(c.c.Retry).UnixNano()
		c.complain(now, err)
		if old != nil {
			s.v, s.err, s.confirmed = old.v, old.err, old.confirmed
		}
	}
	if _, had := c.slots.Swap(k, s); !had && c.n.Add(1) > int64(c.c.Most) {
		c.thin()
	}
	return s
}

// complain logs an outage, twice a minute at most.
func (c *cache[K, V]) complain(now time.Time, err error) {
	if next := c.warn.Load(); now.UnixNano() >= next && c.warn.CompareAndSwap(next, now.Add(30*time.Second).UnixNano()) {
		c.c.Log.Warn("this host can't say who its users and groups are: the last answers count, and numbers without one stay bare",
			"asked", c.what, "err", err)
	}
}

// thin drops an eighth of what there is, whichever.
func (c *cache[K, V]) thin() {
	drop := c.c.Most/8 + 1
	c.slots.Range(func(k, _ any) bool {
		if _, had := c.slots.LoadAndDelete(k); had {
			c.n.Add(-1)
			drop--
		}
		return drop > 0
	})
}
