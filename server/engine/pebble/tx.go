package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	lsm "github.com/cockroachdb/pebble/v2"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// View runs f over a state that an iterator holds. It holds nobody up, and waits
// for the disk only if it read what a commit under way has changed.
func (db *DB) View(ctx context.Context, f func(engine.Reader) error) error {
	if err := db.gate.Enter(); err != nil {
		return err
	}
	defer db.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.fault.error(); err != nil {
		return err
	}
	db.views.Add(1)
	defer db.observe("view", db.clock())

	var h held
	err := db.fault.guard(func() (err error) { h.it, err = db.lsm.NewIter(nil); return err })
	if err != nil {
		return db.readError(err)
	}
	defer h.it.Close() // its error is of the last read, which had it too
	// Only now: a commit is in the list before an iterator can see it.
	r := newReader(db, h)
	defer r.end()
	if err := f(r); err != nil {
		return err
	}
	return r.debt.wait(ctx)
}

// Update runs f alone, under the lock, and answers once its changes are
// durable.
func (db *DB) Update(ctx context.Context, f func(engine.Tx) error) error {
	if err := db.gate.Enter(); err != nil {
		return err
	}
	defer db.gate.Leave()
	db.updates.Add(1)
	defer db.observe("update", db.clock())

	b := db.lsm.NewIndexedBatch()
	c, seen, err := db.run(ctx, b, f)
	if c == nil {
		defer db.drop(b)
		// A refusal and a change of nothing are answers too: they may rest on
		// what others have not made durable yet.
		if werr := seen.wait(context.WithoutCancel(ctx)); werr != nil {
			return werr
		}
		return err
	}
	return db.await(c, b)
}

// run is what happens under the lock. It answers the commit if there is one,
// else what the outcome rests on.
func (db *DB) run(ctx context.Context, b *lsm.Batch, f func(engine.Tx) error) (*commit, debt, error) {
	if err := db.take(ctx); err != nil {
		return nil, debt{}, err
	}
	defer db.yield()
	if err := db.fault.error(); err != nil {
		return nil, debt{}, err
	}
	t := &tx{reader: newReader(db, live{b}), batch: b}
	defer t.end()
	if err := f(t); err != nil {
		return nil, t.debt, err
	}
	if t.err != nil || b.Empty() {
		return nil, t.debt, t.err
	}
	if !db.disk.reserve.admits(b.Len(), t.deletes) {
		db.refused.Add(1)
		return nil, debt{}, posix.E("commit", posix.ENOSPC, fmt.Errorf("%s: the disk is full", db.cfg.Dir))
	}
	c := newCommit(t.keys.all, t.debt.head)
	db.head.Store(c)
	err := db.fault.guard(func() error { return db.lsm.ApplyNoSyncWait(b, lsm.Sync) })
	if err != nil {
		// Whether the log has it is not known, so nothing may follow.
		c.settle(db.fault.stop(err))
		return nil, debt{need: c}, err
	}
	return c, debt{}, nil
}

// await answers once the log is synced past c.
func (db *DB) await(c *commit, b *lsm.Batch) error {
	defer db.observe("sync", db.clock())
	err := db.fault.guard(b.SyncWait)
	if err != nil {
		err = db.fault.stop(err)
	} else if err = db.fault.error(); err == nil {
		db.commits.Add(1)
	} // else the sync may have been one of a frozen disk
	c.settle(err)
	return errors.Join(err, b.Close())
}

// drop gives up a batch that was not committed, unless pebble may still be at
// it.
func (db *DB) drop(b *lsm.Batch) {
	if db.fault.error() == nil {
		_ = b.Close() // of a batch without a commit: nothing to fail
	}
}

// source is the state that a transaction reads.
type source interface {
	// get answers the value of key, which holds until the next call or, if
	// there is a closer, until that is closed.
	get(key []byte) (value []byte, ok bool, done io.Closer, err error)
	iter(o *lsm.IterOptions) (*lsm.Iterator, error)
}

// held is a state that does not change: that of an iterator. Pebble's snapshots
// would do, but to end one looks for merging to be done, under pebble's lock.
type held struct{ it *lsm.Iterator }

func (h held) get(key []byte) ([]byte, bool, io.Closer, error) {
	if !h.it.SeekPrefixGE(key) || !bytes.Equal(h.it.Key(), key) {
		return nil, false, nil, h.it.Error()
	}
	v, err := h.it.ValueAndErr()
	return v, true, nil, err
}

func (h held) iter(o *lsm.IterOptions) (*lsm.Iterator, error) {
	return h.it.Clone(lsm.CloneOptions{IterOptions: o})
}

// live is the newest state under a batch of changes.
type live struct{ b *lsm.Batch }

func (l live) get(key []byte) ([]byte, bool, io.Closer, error) {
	v, done, err := l.b.Get(key)
	if errors.Is(err, lsm.ErrNotFound) {
		return nil, false, nil, nil
	}
	return v, true, done, err
}

func (l live) iter(o *lsm.IterOptions) (*lsm.Iterator, error) { return l.b.NewIter(o) }

// reader is the reading half of a transaction.
type reader struct {
	db   *DB
	src  source // nil once the transaction has ended
	debt debt
	lent []byte // holds the values that Get handed out, one after the other
}

// lendings are buffers for reader.lent; most transactions fit into one.
var lendings = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func newReader(db *DB, src source) *reader {
	lent := lendings.Get().(*[]byte)
	return &reader{db: db, src: src, debt: debt{head: db.head.Load()}, lent: (*lent)[:0]}
}

// end takes back what the transaction was lent.
func (r *reader) end() {
	if cap(r.lent) <= 64<<10 {
		lendings.Put(&r.lent)
	}
	r.src = nil
}

func (r *reader) check() {
	if r.src == nil {
		panic("pebble: transaction used after its end")
	}
}

// Get copies the value: pebble's own would pin a block until the end.
func (r *reader) Get(key []byte) (value []byte, ok bool, err error) {
	r.check()
	if len(key) == 0 {
		return nil, false, nil
	}
	r.debt.sawKey(key)
	err = r.db.fault.guard(func() error {
		v, there, done, err := r.src.get(key)
		if err != nil || !there {
			return err
		}
		n := len(r.lent)
		r.lent = append(r.lent, v...)
		value, ok = r.lent[n:len(r.lent):len(r.lent)], true
		if done != nil {
			return done.Close()
		}
		return nil
	})
	if err != nil {
		return nil, false, r.db.readError(err)
	}
	return value, ok, nil
}

// Scan reads on only as far as f wants, and owes only for that.
func (r *reader) Scan(lo, hi []byte, f func(key, value []byte) bool) (err error) {
	r.check()
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil // pebble takes an empty bound for none
	}
	if len(lo) == 0 {
		lo = nil // and stumbles over one that is empty and not nil
	}
	s := scan{fault: r.db.fault}
	if err := s.open(r.src, lo, hi); err != nil {
		return r.db.readError(err)
	}
	// Deferred: f may panic, and pebble will not close over an open iterator.
	defer func() {
		if cerr := s.close(); cerr != nil {
			err = r.db.readError(cerr)
		}
	}()
	end := hi
	for s.next() {
		if !f(s.key, s.value) {
			end = append(append(make([]byte, 0, len(s.key)+1), s.key...), 0)
			break
		}
	}
	r.debt.sawRange(lo, end)
	return nil
}

// readError says of what store a read failed.
func (db *DB) readError(err error) error {
	if ferr := db.fault.error(); ferr != nil {
		return ferr
	}
	return ioError("read engine", db.cfg.Dir, err)
}

// scan steps an iterator under guard; f's part runs outside.
type scan struct {
	fault      *fault
	it         *lsm.Iterator
	started    bool
	key, value []byte
	err        error
}

func (s *scan) open(src source, lo, hi []byte) error {
	return s.fault.guard(func() (err error) {
		s.it, err = src.iter(&lsm.IterOptions{LowerBound: lo, UpperBound: hi})
		return err
	})
}

func (s *scan) next() (ok bool) {
	s.err = s.fault.guard(func() (err error) {
		if s.started {
			ok = s.it.Next()
		} else {
			ok, s.started = s.it.First(), true
		}
		if ok {
			s.key = s.it.Key()
			s.value, err = s.it.ValueAndErr()
		}
		return err
	})
	return ok && s.err == nil
}

func (s *scan) close() error {
	err := s.fault.guard(s.it.Close)
	if s.err != nil {
		return s.err
	}
	return err
}

// tx is a transaction that changes the store.
type tx struct {
	*reader
	batch   *lsm.Batch
	keys    keys
	deletes bool
	err     error // the first of a Put or Delete
}

var _ engine.Tx = (*tx)(nil)

// errEmptyKey is of a Put: pebble's tables begin after the empty key.
var errEmptyKey = errors.New("engine: empty key")

func (t *tx) Put(key, value []byte) {
	if len(key) == 0 {
		t.note(posix.E("put", posix.EINVAL, errEmptyKey))
		return
	}
	t.keys.add(key)
	t.note(t.batch.Set(key, value, nil))
}

func (t *tx) Delete(key []byte) {
	if len(key) == 0 {
		return
	}
	t.keys.add(key)
	t.deletes = true
	t.note(t.batch.Delete(key, nil))
}

func (t *tx) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

// keys copies keys with few allocations.
type keys struct {
	all [][]byte
	buf []byte
}

func (k *keys) add(key []byte) {
	if cap(k.buf)-len(k.buf) < len(key) {
		k.buf = make([]byte, 0, max(256, 2*cap(k.buf), len(key)))
	}
	n := len(k.buf)
	k.buf = append(k.buf, key...)
	k.all = append(k.all, k.buf[n:len(k.buf):len(k.buf)])
}
