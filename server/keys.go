package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/engine"
)

// The keys that sign lie in the engine, under 'K' + number, 4 bytes big-endian,
// so that they survive a restart. Number 1, 32 bytes of secret, signs the
// tickets and stays, for a handle may be open for as long as it likes. The
// others sign capabilities, each for CapabilityKeyLife:
//
//	offset  size  what
//	0       8     when it was made, milliseconds since the epoch, big-endian
//	8       32    the secret
const (
	keyPrefix    = 'K'
	ticketNumber = 1
	keySize      = 40
)

func keyAt(number uint32) []byte { return binary.BigEndian.AppendUint32([]byte{keyPrefix}, number) }

// keyring is the keys that sign capabilities: the newest signs, and one that was
// replaced is accepted for a quarter of its life more. It is safe for concurrent
// use.
type keyring struct {
	engine engine.Engine
	rand   io.Reader
	life   time.Duration

	mu   sync.RWMutex
	keys capability.Ring // newest first
	made []time.Time     // when each was
}

// loadTicketKey reads the key of tickets, or makes it.
func loadTicketKey(ctx context.Context, e engine.Engine, rand io.Reader) (capability.Ring, error) {
	fresh, err := capability.NewKey(ticketNumber, rand)
	if err != nil {
		return nil, err
	}
	key := fresh
	err = e.Update(ctx, func(tx engine.Tx) error {
		v, ok, err := tx.Get(keyAt(ticketNumber))
		switch {
		case err != nil:
			return err
		case !ok:
			key = fresh
			tx.Put(keyAt(ticketNumber), fresh.Secret[:])
		case len(v) != len(fresh.Secret):
			return fmt.Errorf("server: the ticket key has %d bytes, not %d", len(v), len(fresh.Secret))
		default:
			key.Secret = [32]byte(v)
		}
		return nil
	})
	return capability.Ring{key}, err
}

// turn reads the keys, drops those that are over, and makes a new one if the
// newest has lived its life, or was made by a clock that was far ahead.
func (k *keyring) turn(ctx context.Context, now time.Time) (turned bool, err error) {
	fresh, err := capability.NewKey(0, k.rand)
	if err != nil {
		return false, err
	}
	var keys capability.Ring
	var made []time.Time
	err = k.engine.Update(ctx, func(tx engine.Tx) error {
		if keys, made, err = readKeys(tx); err != nil {
			return err
		}
		for len(keys) > 1 && now.Sub(made[len(made)-2]) >= k.life/4 { // by when the next one was made
			last := len(keys) - 1
			tx.Delete(keyAt(keys[last].Number))
			keys, made = keys[:last], made[:last]
		}
		turned = len(keys) == 0 || now.Sub(made[0]) >= k.life || made[0].Sub(now) >= k.life/4
		if !turned {
			return nil
		}
		fresh.Number = ticketNumber + 1
		if len(keys) > 0 {
			fresh.Number = keys[0].Number + 1
		}
		tx.Put(keyAt(fresh.Number), append(binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), fresh.Secret[:]...))
		keys, made = slices.Insert(keys, 0, fresh), slices.Insert(made, 0, now)
		return nil
	})
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	k.keys, k.made = keys, made
	k.mu.Unlock()
	return turned, nil
}

// readKeys answers the keys of capabilities, the newest first.
func readKeys(tx engine.Tx) (keys capability.Ring, made []time.Time, err error) {
	var bad error
	err = tx.Scan(keyAt(ticketNumber+1), []byte{keyPrefix + 1}, func(k, v []byte) bool {
		if len(k) != 5 || len(v) != keySize {
			bad = fmt.Errorf("server: the record of a capability key, %x, is damaged", k)
			return false
		}
		key := capability.Key{Number: binary.BigEndian.Uint32(k[1:]), Secret: [32]byte(v[8:])}
		keys = slices.Insert(keys, 0, key)
		made = slices.Insert(made, 0, time.UnixMilli(int64(binary.BigEndian.Uint64(v))))
		return true
	})
	return keys, made, errors.Join(err, bad)
}

// ring is the keys in force.
func (k *keyring) ring() capability.Ring {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys
}

// rotate turns the keys when that is due, until ctx ends. As long as it can't,
// the newest signs on.
func (s *Server) rotate(ctx context.Context) {
	tick := time.NewTicker(min(max(s.c.CapabilityKeyLife/16, 10*time.Millisecond), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if turned, err := s.keys.turn(ctx, s.c.Now()); err != nil && ctx.Err() == nil {
			s.c.Log.Error("the key of capabilities can't be rotated, the last one stays", "err", err)
		} else if turned {
			s.c.Log.Info("the key of capabilities is rotated", "number", s.keys.ring()[0].Number)
		}
	}
}
