package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/session"
)

// Limits are what one principal, or one session, may hold here, so that nobody
// can use up what all have. 0 is the default, below 0 is none. What is beyond is
// refused, and counted in wardfs_server_limited_total.
type Limits struct {
	Sessions int   // of a principal, those that are away too; EDQUOT; default 4096
	Handles  int   // open files of a session; EMFILE; default 1 Mi
	Locks    int   // ranges that a session has locked or waits for; ENOLCK; default 65536
	Names    int   // entries of the table of names that a principal makes in a day; EDQUOT; default 50000
	Pending  int64 // bytes of blocks that a session has put and not committed within SweepAge; EDQUOT; default 16 GiB
}

// pendingBlocks is how many blocks a session may have put and not committed:
// each is remembered.
const pendingBlocks = 1 << 18

func (l *Limits) defaults() {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&l.Sessions, 4096)
	set(&l.Handles, 1<<20)
	set(&l.Locks, 1<<16)
	set(&l.Names, 50_000)
	if l.Pending == 0 {
		l.Pending = 16 << 30
	}
}

// limited counts a refusal and gives it its words.
func (s *Server) limited(op, limit string, errno posix.Errno, format string, args ...any) error {
	s.metrics.limited.WithLabelValues(limit).Inc()
	return posix.E(op, errno, fmt.Errorf(format+"; limits."+limit+" says so", args...))
}

// makers counts the names that principals have made entries for, day by day.
type makers struct {
	mu   sync.Mutex
	day  time.Time
	made map[string]int
}

// take asks for n more of one principal's day, which allows most.
func (m *makers) take(who string, n, most int, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if day := now.Truncate(24 * time.Hour); m.made == nil || !day.Equal(m.day) {
		m.day, m.made = day, map[string]int{}
	}
	if m.made[who]+n > most {
		return false
	}
	m.made[who] += n
	return true
}

// makeIDs answers the ids of names, making entries for those that have none,
// for a principal who may. The superuser knows no limit.
func (t *talk) makeIDs(ctx context.Context, k idmap.Kind, names []string) ([]uint32, error) {
	ids, err := t.s.ids.IDs(ctx, k, names, false)
	if err != nil {
		return nil, err
	}
	fresh := 0
	for _, id := range ids {
		if id == idmap.NoID {
			fresh++
		}
	}
	if fresh == 0 {
		return ids, nil
	}
	p, most := t.who.principal, t.s.c.Limits.Names
	maker := p.Prover()
	bound := most > 0 && (maker != t.s.c.Auth.Superuser || p.Mechanism == identity.Simple)
	if bound && !t.s.makers.take(maker, fresh, most, t.s.c.Now()) {
		return nil, t.s.limited("ids", "names", posix.EDQUOT, "%s has made entries for %d names today, or is about to make more", maker, most)
	}
	return t.s.ids.IDs(ctx, k, names, true)
}

// pending is what sessions have put and not committed.
type pending struct {
	mu       sync.Mutex
	sessions map[uint64]*puts
	left     map[string]*puts // by principal: of sessions that have ended
}

// puts are blocks that wait for their commit, or for the sweeper.
type puts struct {
	owner  string
	blocks map[posix.BlockID]put
	bytes  int64
}

type put struct {
	bytes int64
	at    time.Time
}

// add notes a block that a session of owner is about to put. It answers false
// if the session, or those of owner that have ended, have put too much since
// old that nobody has committed.
func (p *pending) add(session uint64, owner string, id posix.BlockID, b put, most int64, old time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions == nil {
		p.sessions, p.left = map[uint64]*puts{}, map[string]*puts{}
	}
	of := p.sessions[session]
	if of == nil {
		of = &puts{owner: owner, blocks: map[posix.BlockID]put{}}
		p.sessions[session] = of
	}
	if _, again := of.blocks[id]; again {
		return true // the same bytes, or the store refuses them
	}
	left := p.left[owner]
	if of.full(b.bytes, most, old) || left != nil && left.full(b.bytes, most, old) {
		return false
	}
	if left != nil && len(left.blocks) == 0 {
		delete(p.left, owner)
	}
	of.blocks[id] = b
	of.bytes += b.bytes
	return true
}

// full reports whether n bytes more are too many, now that what is older than
// old was swept.
func (of *puts) full(n, most int64, old time.Time) bool {
	full := func() bool { return len(of.blocks) >= pendingBlocks || of.bytes+n > most }
	if full() {
		for id, b := range of.blocks {
			if b.at.Before(old) {
				of.drop(id)
			}
		}
	}
	return full()
}

func (of *puts) drop(id posix.BlockID) {
	of.bytes -= of.blocks[id].bytes
	delete(of.blocks, id)
}

// committed forgets the blocks of what a commit named.
func (p *pending) committed(session uint64, c posix.Commit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.sessions[session]
	if of == nil || len(of.blocks) == 0 {
		return
	}
	for _, e := range c.Extents {
		if e.Hole() {
			continue
		}
		for i := range e.Slice.Blocks() {
			if id := e.Slice.BlockID(i); of.blocks[id].bytes > 0 {
				of.drop(id)
			}
		}
	}
}

// ended makes what a session leaves its principal's.
func (p *pending) ended(session uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.sessions[session]
	delete(p.sessions, session)
	if of == nil || len(of.blocks) == 0 {
		return
	}
	left := p.left[of.owner]
	if left == nil {
		p.left[of.owner] = of
		return
	}
	for id, b := range of.blocks {
		left.blocks[id] = b
		left.bytes += b.bytes
	}
}

// mayPut answers EDQUOT for a block that is too much; see Limits.Pending.
func (s *Server) mayPut(by uint64, id posix.BlockID, n int) error {
	most := s.c.Limits.Pending
	if most < 0 {
		return nil
	}
	p, ok := s.sessions.Principal(session.ID(by))
	if !ok {
		return posix.E("put", posix.EACCES, errors.New("the session of the capability has ended"))
	}
	now := s.c.Now()
	if !s.pending.add(by, p.Prover(), id, put{int64(n), now}, most, now.Add(-s.c.SweepAge)) {
		return s.limited("put", "pending", posix.EDQUOT, "%s has put %d bytes of blocks and committed none of them", p.Name, most)
	}
	return nil
}
