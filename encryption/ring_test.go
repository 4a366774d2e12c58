package encryption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wardfs/wardfs/encryption/segment"
	"github.com/wardfs/wardfs/posix"
)

// store is a key store and a server, for what a Ring makes of their answers.
// The key of wrapped form "7" is 32 bytes of 7.
type store struct {
	mu    sync.Mutex
	keys  []KeyID
	bad   map[KeyID]error
	err   error
	hang  chan struct{} // answers wait for it
	calls atomic.Int32
}

func (s *store) zone(_ context.Context, id uint64) (Zone, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := Zone{ID: id, Format: segment.Default, Wrapping: "w"}
	for _, k := range s.keys {
		z.Keys = append(z.Keys, ZoneKey{k, Wrapped(strconv.Itoa(int(k)))})
	}
	return z, nil
}

func (s *store) New(context.Context, string) (Wrapped, error) { panic("not asked here") }

func (s *store) Unwrap(ctx context.Context, _ string, keys []Wrapped) ([]Opened, error) {
	s.calls.Add(1)
	s.mu.Lock()
	hang, err := s.hang, s.err
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
	if err != nil {
		return nil, err
	}
	var opened []Opened
	for _, w := range keys {
		n, _ := strconv.Atoi(string(w))
		if err := s.bad[KeyID(n)]; err != nil {
			opened = append(opened, Opened{Err: err})
			continue
		}
		secret, err := NewSecret(slices.Repeat([]byte{byte(n)}, segment.KeySize))
		opened = append(opened, Opened{secret, err})
	}
	return opened, nil
}

func (s *store) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// ring starts a Ring over the store and counts what is dropped.
func (s *store) ring(t *testing.T) (*Ring, *atomic.Int32) {
	var dropped atomic.Int32
	r := NewRing(RingConfig{Keys: s, Zone: s.zone, Dropped: func(uint64) { dropped.Add(1) }})
	t.Cleanup(r.Close)
	return r, &dropped
}

func place(zone uint64) segment.Place {
	return segment.Place{Zone: zone, File: 5, Slice: posix.SliceID{1}}
}

func ask(r *Ring, id KeyID) error {
	_, err := r.Slice(context.Background(), id, place(1))
	return err
}

func wantErrno(t *testing.T, err error, want posix.Errno) {
	t.Helper()
	if got := posix.ErrnoOf(err); err == nil && want != 0 || err != nil && got != want {
		t.Fatalf("%v, want %v", err, want)
	}
}

// TestOneQuestion: a thousand files at once, and for a TTL, are one question.
func TestOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1, 2, 3}}
		r, _ := s.ring(t)
		var work sync.WaitGroup
		for i := range 1000 {
			work.Go(func() {
				if err := ask(r, KeyID(i%3+1)); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		time.Sleep(30 * time.Second)
		wantErrno(t, ask(r, 2), 0)
		if n := s.calls.Load(); n != 1 {
			t.Errorf("the key store was asked %d times", n)
		}
	})
}

// TestRenewal: a zone in use is renewed before its time is over, one that is
// not is dropped.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}}
		r, dropped := s.ring(t)
		for range 60 {
			wantErrno(t, ask(r, 1), 0)
			time.Sleep(10 * time.Second)
		}
		if n := s.calls.Load(); n < 10 || n > 16 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		if dropped.Load() != 0 {
			t.Error("keys in use were dropped")
		}
		before := s.calls.Load()
		time.Sleep(5 * time.Minute)
		if dropped.Load() != 1 || s.calls.Load() > before+1 {
			t.Errorf("keys that nobody uses: dropped %d times, asked for %d times", dropped.Load(), s.calls.Load()-before)
		}
		wantErrno(t, ask(r, 1), 0)
	})
}

// TestDenied: a denial takes the keys within the TTL, and asks at most once a second.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}}
		r, dropped := s.ring(t)
		wantErrno(t, ask(r, 1), 0)
		s.set(fmt.Errorf("%w: policy", ErrDenied))
		for range 61 {
			if err := ask(r, 1); err != nil {
				wantErrno(t, err, posix.EACCES)
				break
			}
			time.Sleep(time.Second)
		}
		wantErrno(t, ask(r, 1), posix.EACCES)
		if dropped.Load() != 1 {
			t.Error("the pages were not dropped")
		}
		before := s.calls.Load()
		for range 1000 {
			wantErrno(t, ask(r, 1), posix.EACCES)
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.calls.Load() - before; n > 11 {
			t.Errorf("asked %d times in ten seconds", n)
		}
		s.set(nil)
		time.Sleep(time.Second)
		wantErrno(t, ask(r, 1), 0)
	})
}

// TestAway: a key store that is away changes nothing until the keys' time is
// over; then ENOKEY, and it goes on by itself.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}}
		r, dropped := s.ring(t)
		wantErrno(t, ask(r, 1), 0)
		s.set(fmt.Errorf("%w: sealed", ErrUnavailable))
		start := time.Now()
		for time.Since(start) < 59*time.Second {
			wantErrno(t, ask(r, 1), 0)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		wantErrno(t, ask(r, 1), posix.ENOKEY)
		if dropped.Load() != 1 {
			t.Error("the pages were not dropped")
		}
		s.set(nil)
		time.Sleep(2 * time.Second)
		wantErrno(t, ask(r, 1), 0)
	})
}

// TestHanging: a key store that never answers is a store that is away, and who
// waits for it can be interrupted.
func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}, hang: make(chan struct{})}
		r, dropped := s.ring(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := r.Slice(ctx, 1, place(1))
		wantErrno(t, err, posix.EINTR)
		wantErrno(t, ask(r, 1), posix.ENOKEY)
		s.mu.Lock()
		hang := s.hang
		s.hang = nil
		s.mu.Unlock()
		close(hang)
		time.Sleep(2 * time.Second)
		wantErrno(t, ask(r, 1), 0)
		// Renewal hangs: the keys go when their time is over all the same.
		s.mu.Lock()
		s.hang = make(chan struct{})
		s.mu.Unlock()
		wantErrno(t, ask(r, 1), 0)
		time.Sleep(61 * time.Second)
		if dropped.Load() != 1 {
			t.Errorf("dropped %d times", dropped.Load())
		}
	})
}

// TestNewKey: a key that was made a moment ago is found, without an error.
func TestNewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}}
		r, dropped := s.ring(t)
		wantErrno(t, ask(r, 1), 0)
		s.mu.Lock()
		s.keys = append(s.keys, 2)
		s.mu.Unlock()
		wantErrno(t, ask(r, 2), 0)
		wantErrno(t, ask(r, 1), 0)
		wantErrno(t, ask(r, 9), posix.EACCES)
		if dropped.Load() != 0 {
			t.Error("keys that were still there were dropped")
		}
	})
}

// TestOneKeyGone: a version that was destroyed takes no other with it.
func TestOneKeyGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1, 2}}
		r, dropped := s.ring(t)
		wantErrno(t, ask(r, 1), 0)
		s.mu.Lock()
		s.bad = map[KeyID]error{1: fmt.Errorf("%w: destroyed", ErrDenied)}
		s.mu.Unlock()
		for range 6 {
			time.Sleep(10 * time.Second)
			wantErrno(t, ask(r, 2), 0)
		}
		wantErrno(t, ask(r, 1), posix.EACCES)
		if dropped.Load() != 1 {
			t.Errorf("dropped %d times", dropped.Load())
		}
	})
}

func TestForgetAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{keys: []KeyID{1}}
		r, dropped := s.ring(t)
		wantErrno(t, ask(r, 1), 0)
		r.Forget(1)
		r.Forget(77)
		if dropped.Load() != 1 {
			t.Errorf("dropped %d times", dropped.Load())
		}
		time.Sleep(time.Second)
		wantErrno(t, ask(r, 1), 0)
		if s.calls.Load() != 2 {
			t.Error("a key that was forgotten was used")
		}
		r.Close()
		wantErrno(t, ask(r, 1), posix.ENOKEY)
		if dropped.Load() != 2 {
			t.Errorf("dropped %d times", dropped.Load())
		}
	})
}

// TestZoneAway: the server's own failure is told as such.
func TestZoneAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := NewRing(RingConfig{Keys: s, Zone: func(context.Context, uint64) (Zone, error) {
			return Zone{}, errors.New("no zone")
		}})
		defer r.Close()
		wantErrno(t, ask(r, 1), posix.ENOKEY)
	})
}

// TestRace mixes all of it in real time, for the race detector.
func TestRace(t *testing.T) {
	s := &store{keys: []KeyID{1, 2, 3}}
	r := NewRing(RingConfig{Keys: s, Zone: s.zone, TTL: 3 * time.Millisecond})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for k := range 300 {
				if _, err := r.Slice(context.Background(), KeyID(k%3+1), place(uint64(i%2))); err != nil &&
					posix.ErrnoOf(err) != posix.ENOKEY && posix.ErrnoOf(err) != posix.EACCES {
					t.Error(err)
				}
				switch k % 50 {
				case 10:
					r.Forget(uint64(i % 2))
				case 20:
					s.set(fmt.Errorf("%w: away", ErrUnavailable))
				case 25:
					s.set(nil)
				}
			}
		})
	}
	work.Wait()
	r.Close()
}
