// Package session keeps the relations of mounts to the server: who each one
// is, which epoch is in force, and until when it may stay away. It outlives
// streams and restarts of the server: a session's record lies in the engine.
//
// It refuses to know what a session owns: handles and reply slots are the
// namespace's, which is told when a session ends.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// What a Resume is refused with.
var (
	ErrUnknown = errors.New("session: unknown or ended")
	ErrTooMany = errors.New("session: the principal has too many")
	ErrRefused = errors.New("session: not this principal's, or of another directory")
)

// ID names a session; never reused.
type ID uint64

// Secret proves a session at its next stream. The record has its hash only.
type Secret [16]byte

// Config is what a Registry needs.
type Config struct {
	Engine engine.Engine
	// Timeout is how long a session outlives its stream; default 60 s.
	Timeout time.Duration
	// Most is how many sessions one who has proven its name may have, for
	// itself and for others; 0: no end.
	Most int
	// Ended is called, without locks, after a session's record is gone.
	Ended func(context.Context, ID)
	Now   func() time.Time // default time.Now
	Rand  io.Reader        // default crypto/rand
	Log   *slog.Logger     // default none
}

// Registry is all sessions of a server. Its methods are safe for concurrent use.
type Registry struct {
	c    Config
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	sessions map[ID]*Session
}

// Bond is what a session is of, from its start to its end: whoever goes on with
// it must be the same and want the same.
type Bond struct {
	Principal identity.Principal
	Path      string    // what is mounted
	Root      posix.Ino // which directory that was
}

// Session is one mount's relation to the server.
type Session struct {
	Bond
	ID     ID
	Client string // for people: what the client says of itself
	Since  time.Time

	reg    *Registry
	secret [sha256.Size]byte

	// Under reg.mu:
	epoch  uint64
	fence  func()    // ends the stream in force; nil when there is none
	gone   time.Time // since when there is none
	ending bool
}

// record is a session in the engine, under 'S' + id; version 2. Version 1 had
// neither via nor path and root: these sessions had the whole tree.
type record struct {
	Version   int       `json:"v"`
	Secret    []byte    `json:"secret_sha256"`
	Principal string    `json:"principal"`
	Mechanism string    `json:"mechanism"`
	Via       string    `json:"via,omitempty"`
	Path      string    `json:"path"`
	Root      uint64    `json:"root"`
	Client    string    `json:"client"`
	Since     time.Time `json:"since"`
	Epoch     uint64    `json:"epoch"`
}

const version = 2

const prefix = 'S'

func key(id ID) []byte { return binary.BigEndian.AppendUint64([]byte{prefix}, uint64(id)) }

// Open reads the sessions that are there, all of them away since now, and
// begins to end those that stay away for too long.
func Open(ctx context.Context, c Config) (*Registry, error) {
	if c.Timeout == 0 {
		c.Timeout = 60 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{c: c, sessions: map[ID]*Session{}, done: make(chan struct{})}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(context.Background())
	go r.expire(ctx)
	return r, nil
}

func (r *Registry) load(ctx context.Context) error {
	var bad error
	err := r.c.Engine.View(ctx, func(rd engine.Reader) error {
		return rd.Scan([]byte{prefix}, []byte{prefix + 1}, func(k, v []byte) bool {
			var rec record
			if err := json.Unmarshal(v, &rec); err != nil || len(k) != 9 || len(rec.Secret) != sha256.Size {
				bad = fmt.Errorf("session record %x is damaged", k)
				return false
			}
			switch rec.Version {
			case 1:
				rec.Path, rec.Root = "/", uint64(posix.RootIno)
			case version:
			default:
				bad = fmt.Errorf("session record %x has version %d, this server knows 1 to %d", k, rec.Version, version)
				return false
			}
			id := ID(binary.BigEndian.Uint64(k[1:]))
			r.sessions[id] = &Session{
				ID: id, Bond: Bond{identity.Principal{Name: rec.Principal, Mechanism: rec.Mechanism, Via: rec.Via}, rec.Path, posix.Ino(rec.Root)},
				Client: rec.Client, Since: rec.Since, reg: r, secret: [sha256.Size]byte(rec.Secret),
				epoch: rec.Epoch, gone: r.c.Now(),
			}
			return true
		})
	})
	return errors.Join(err, bad)
}

// Close ends the watch; sessions stay in the engine.
func (r *Registry) Close() {
	r.stop()
	<-r.done
}

// Start makes a session of b and attaches it, as Resume does. ErrTooMany.
func (r *Registry) Start(ctx context.Context, b Bond, client string, fence func()) (*Session, Secret, uint64, error) {
	var raw [8]byte
	var secret Secret
	if r.c.Most > 0 && r.count(b.Principal.Prover()) >= r.c.Most {
		return nil, secret, 0, ErrTooMany
	}
	if _, err := io.ReadFull(r.c.Rand, raw[:]); err != nil {
		return nil, secret, 0, err
	}
	if _, err := io.ReadFull(r.c.Rand, secret[:]); err != nil {
		return nil, secret, 0, err
	}
	s := &Session{
		ID: ID(binary.BigEndian.Uint64(raw[:])>>1 | 1), Bond: b, Client: client, Since: r.c.Now(),
		reg: r, secret: sha256.Sum256(secret[:]), epoch: 1, fence: fence,
	}
	if err := r.save(ctx, s, 1); err != nil {
		return nil, secret, 0, err
	}
	r.mu.Lock()
	r.sessions[s.ID] = s
	r.mu.Unlock()
	return s, secret, 1, nil
}

// count answers how many sessions there are of one who has proven its name.
// Several that start at once may be as many more.
func (r *Registry) count(prover string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if s.Principal.Prover() == prover {
			n++
		}
	}
	return n
}

// Principal answers whose a session is, until its end.
func (r *Registry) Principal(id ID) (identity.Principal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[id]
	if !ok {
		return identity.Principal{}, false
	}
	return s.Principal, true
}

// Resume attaches the session again under a new epoch: whoever still speaks
// under the old one is fenced off. fence is called when that happens to the
// stream that calls Resume now, or when the session ends. ErrUnknown too if the
// session's directory is not b's any more.
func (r *Registry) Resume(ctx context.Context, id ID, secret []byte, b Bond, fence func()) (*Session, uint64, error) {
	r.mu.Lock()
	s, ok := r.sessions[id]
	if !ok || s.ending {
		r.mu.Unlock()
		return nil, 0, ErrUnknown
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], s.secret[:]) != 1 || s.Principal != b.Principal || s.Path != b.Path {
		r.mu.Unlock()
		return nil, 0, ErrRefused
	}
	if s.Root != b.Root {
		r.mu.Unlock()
		return nil, 0, ErrUnknown
	}
	s.epoch++
	epoch, old := s.epoch, s.fence
	s.fence = fence
	r.mu.Unlock()
	if old != nil {
		old()
	}
	if err := r.save(ctx, s, epoch); err != nil {
		s.Detach(epoch)
		return nil, 0, err
	}
	return s, epoch, nil
}

// save writes the record of a session: its first, or a newer one over the one
// that is there. Two Resumes may come here in the other order, and an End
// before either: what has ended stays so, and is ErrUnknown.
func (r *Registry) save(ctx context.Context, s *Session, epoch uint64) error {
	v, err := json.Marshal(record{
		Version: version, Secret: s.secret[:], Principal: s.Principal.Name, Mechanism: s.Principal.Mechanism, Via: s.Principal.Via,
		Path: s.Path, Root: uint64(s.Root), Client: s.Client, Since: s.Since, Epoch: epoch,
	})
	if err != nil {
		return err
	}
	return r.c.Engine.Update(ctx, func(tx engine.Tx) error {
		if epoch > 1 {
			newer, err := overtaken(tx, s.ID, epoch)
			if err != nil || newer {
				return err
			}
		}
		tx.Put(key(s.ID), v)
		return nil
	})
}

// overtaken reports whether the record has a later epoch already.
func overtaken(rd engine.Reader, id ID, epoch uint64) (bool, error) {
	v, ok, err := rd.Get(key(id))
	switch {
	case err != nil:
		return false, err
	case !ok:
		return false, ErrUnknown
	}
	var rec record
	if err := json.Unmarshal(v, &rec); err != nil {
		return false, fmt.Errorf("session record %x is damaged", key(id))
	}
	return rec.Epoch > epoch, nil
}

// Known reports whether there is such a session and it is not ending, away or not.
func (r *Registry) Known(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[id]
	return ok && !s.ending
}

// Current reports whether epoch is the one in force.
func (s *Session) Current(epoch uint64) bool {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return s.epoch == epoch && !s.ending
}

// Detach says that the stream of that epoch has ended: the clock runs.
func (s *Session) Detach(epoch uint64) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if s.epoch == epoch {
		s.fence, s.gone = nil, s.reg.c.Now()
	}
}

// End ends a session for good: its stream is fenced off and its record goes.
func (r *Registry) End(ctx context.Context, id ID) error {
	r.mu.Lock()
	s, ok := r.sessions[id]
	if !ok || s.ending {
		r.mu.Unlock()
		return ErrUnknown
	}
	s.ending = true
	fence := s.fence
	r.mu.Unlock()
	if fence != nil {
		fence()
	}
	// What the session owned goes first: should the server die in between, the
	// record is still there and ends once more.
	if r.c.Ended != nil {
		r.c.Ended(ctx, id)
	}
	err := r.c.Engine.Update(ctx, func(tx engine.Tx) error {
		tx.Delete(key(id))
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		s.ending, s.fence = false, nil // the watch tries again
		return err
	}
	delete(r.sessions, id)
	return nil
}

// expire ends the sessions that have been away for longer than Timeout.
func (r *Registry) expire(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(max(r.c.Timeout/8, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, id := range r.late() {
			r.c.Log.Info("session expired", "session", uint64(id))
			if err := r.End(ctx, id); err != nil && ctx.Err() == nil {
				r.c.Log.Warn("session could not be ended", "session", uint64(id), "err", err)
			}
		}
	}
}

func (r *Registry) late() (ids []ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.sessions {
		if s.fence == nil && !s.ending && r.c.Now().Sub(s.gone) > r.c.Timeout {
			ids = append(ids, id)
		}
	}
	return ids
}

// Info is a session for people.
type Info struct {
	ID        ID        `json:"id,string"`
	Principal string    `json:"principal"`
	Mechanism string    `json:"mechanism"`
	Via       string    `json:"via,omitempty"` // who acts for Principal
	Path      string    `json:"path"`          // what it has mounted
	Client    string    `json:"client"`
	Since     time.Time `json:"since"`
	Attached  bool      `json:"attached"`
	Epoch     uint64    `json:"epoch"`
}

// List answers all sessions, oldest first.
func (r *Registry) List() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Info, 0, len(r.sessions))
	for _, s := range r.sessions {
		out = append(out, Info{s.ID, s.Principal.Name, s.Principal.Mechanism, s.Principal.Via, s.Path, s.Client, s.Since, s.fence != nil, s.epoch})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Since.Before(out[j].Since) })
	return out
}

// Away reports how many sessions have no stream: after a restart, those that
// may still come back for what they had.
func (r *Registry) Away() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.sessions {
		if s.fence == nil {
			n++
		}
	}
	return n
}
