package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// CacheConfig is how long answers are believed. The zero value has defaults
// that work.
type CacheConfig struct {
	// Fresh is within which time a change in the source is seen; default
	// 60 s. In its second half an answer that is used is refreshed in the
	// background.
	Fresh time.Duration
	// MaxAge is for how long the last answer counts while the source can't be
	// asked; default 1 h.
	MaxAge time.Duration
	// Negative is for how long ErrUnknown is believed; default 10 s.
	Negative time.Duration
	// Retry is when a source that failed is asked again; default 5 s.
	Retry time.Duration
	// Most is how many users are kept; default 10,000.
	Most int

	Now func() time.Time // default time.Now
	Log *slog.Logger     // nil discards
}

// Cache is a Source with a memory. While its source fails the last answer
// counts, up to MaxAge. What many ask at once is asked once.
type Cache struct {
	s Source
	c CacheConfig

	mu      sync.Mutex
	users   map[string]*known
	flights map[string]*flight
	warn    time.Time // when a failure may be logged again
}

var _ Source = (*Cache)(nil)

// known is what is known of a user.
type known struct {
	groups    []string
	err       error     // ErrUnknown; or why there is no answer
	confirmed time.Time // when the source said so
	next      time.Time // no question before
	failing   bool      // the last question had no answer
}

// flight is a question under way.
type flight struct{ done chan struct{} }

// NewCache answers s with a memory.
func NewCache(s Source, c CacheConfig) *Cache {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Fresh, 60*time.Second)
	set(&c.MaxAge, max(time.Hour, c.Fresh))
	set(&c.Negative, 10*time.Second)
	set(&c.Retry, 5*time.Second)
	if c.Most <= 0 {
		c.Most = 10_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Cache{s: s, c: c, users: map[string]*known{}, flights: map[string]*flight{}}
}

// Groups answers what the source said last, and asks it when that is too old.
func (c *Cache) Groups(ctx context.Context, user string) ([]string, error) {
	c.mu.Lock()
	now := c.c.Now()
	k := c.users[user]
	usable := k != nil && c.usable(k, now)
	var f *flight
	if k == nil || !now.Before(k.next) {
		f = c.fly(user)
	}
	c.mu.Unlock()
	switch {
	case usable:
		return k.groups, k.err
	case f == nil: // it failed a moment ago, and what was known is too old
		return nil, k.failed(now)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k = c.users[user]; k == nil { // dropped since, to make room
		return nil, errors.New("groups: asked for too many users at once")
	}
	if now = c.c.Now(); c.usable(k, now) {
		return k.groups, k.err
	}
	return nil, k.failed(now)
}

// usable reports whether k can be the answer without a question.
func (c *Cache) usable(k *known, now time.Time) bool {
	age := now.Sub(k.confirmed)
	switch {
	case k.err != nil:
		return errors.Is(k.err, ErrUnknown) && now.Before(k.next)
	case k.failing:
		return age < c.c.MaxAge
	}
	return age < c.c.Fresh
}

// failed is the error of what is not usable.
func (k *known) failed(now time.Time) error {
	if k.err == nil {
		return fmt.Errorf("groups: the last answer is %v old and the source can't be asked", now.Sub(k.confirmed).Round(time.Second))
	}
	return k.err
}

// fly asks for user in the background, unless that is being done; c.mu is held.
func (c *Cache) fly(user string) *flight {
	if f, ok := c.flights[user]; ok {
		return f
	}
	f := &flight{make(chan struct{})}
	c.flights[user] = f
	go func() {
		groups, err := c.s.Groups(context.Background(), user)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.keep(user, groups, err)
		delete(c.flights, user)
		close(f.done)
	}()
	return f
}

// keep lays an answer over what is known.
func (c *Cache) keep(user string, groups []string, err error) {
	now := c.c.Now()
	k := &known{groups: groups, err: err, confirmed: now}
	switch {
	case err == nil:
		k.next = now.Add(c.c.Fresh / 2)
	case errors.Is(err, ErrUnknown):
		k.err, k.next = ErrUnknown, now.Add(c.c.Negative)
	default:
		if old := c.users[user]; old != nil && old.err == nil {
			k.groups, k.err, k.confirmed = old.groups, nil, old.confirmed
		}
		k.failing, k.next = true, now.Add(c.c.Retry)
		if !now.Before(c.warn) {
			c.warn = now.Add(30 * time.Second)
			c.c.Log.Warn("groups can't be asked for; the last answers count", "for", c.c.MaxAge, "err", err)
		}
	}
	c.users[user] = k
	for other := range c.users { // whichever: the map's order is none
		if len(c.users) <= c.c.Most {
			return
		}
		if other != user {
			delete(c.users, other)
		}
	}
}
