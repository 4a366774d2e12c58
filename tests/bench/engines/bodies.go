package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/bbolt"

	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/pebble"
)

// body is a candidate: how to open it for so many workers.
type body struct {
	name string
	open func(dir string, workers int) (engine.Engine, error)
}

var bodies = []body{
	{"pebble", func(dir string, _ int) (engine.Engine, error) { return pebble.Open(pebble.Config{Dir: dir}) }},
	{"bbolt", openBolt},
	{"badger", openBadger},
}

// bolt is bbolt as it commits best here: Batch runs the updates that are
// waiting in one transaction with one sync. A batch is full as soon as all
// workers are in it, so that none waits for its delay in vain.
type bolt struct{ db *bbolt.DB }

var bucket = []byte("b")

func openBolt(dir string, workers int) (engine.Engine, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	if err != nil {
		return nil, err
	}
	db.MaxBatchSize = workers
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists(bucket); return err })
	return bolt{db}, err
}

func (b bolt) View(_ context.Context, f func(engine.Reader) error) error {
	return b.db.View(func(tx *bbolt.Tx) error { return f(&boltTx{b: tx.Bucket(bucket)}) })
}

func (b bolt) Update(_ context.Context, f func(engine.Tx) error) error {
	return b.db.Batch(func(tx *bbolt.Tx) error {
		t := &boltTx{b: tx.Bucket(bucket)}
		return errors.Join(f(t), t.err)
	})
}

func (b bolt) Close() error { return b.db.Close() }

type boltTx struct {
	b   *bbolt.Bucket
	err error
}

func (t *boltTx) Get(key []byte) ([]byte, bool, error) {
	v := t.b.Get(key)
	return v, v != nil, nil
}

func (t *boltTx) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	c := t.b.Cursor()
	for k, v := c.Seek(lo); k != nil && (hi == nil || bytes.Compare(k, hi) < 0); k, v = c.Next() {
		if !f(k, v) {
			break
		}
	}
	return nil
}

func (t *boltTx) Put(key, value []byte) { t.err = errors.Join(t.err, t.b.Put(key, value)) }
func (t *boltTx) Delete(key []byte)     { t.err = errors.Join(t.err, t.b.Delete(key)) }

// badge is badger with its own optimistic transactions, run again on conflict.
type badge struct{ db *badger.DB }

func openBadger(dir string, _ int) (engine.Engine, error) {
	o := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).
		WithMemTableSize(16 << 20).WithBlockCacheSize(64 << 20)
	db, err := badger.Open(o)
	return badge{db}, err
}

func (b badge) View(_ context.Context, f func(engine.Reader) error) error {
	return b.db.View(func(tx *badger.Txn) error { return f(&badgeTx{tx: tx}) })
}

func (b badge) Update(_ context.Context, f func(engine.Tx) error) error {
	for {
		err := b.db.Update(func(tx *badger.Txn) error {
			t := &badgeTx{tx: tx}
			return errors.Join(f(t), t.err)
		})
		if !errors.Is(err, badger.ErrConflict) {
			return err
		}
	}
}

func (b badge) Close() error { return b.db.Close() }

type badgeTx struct {
	tx  *badger.Txn
	err error
}

func (t *badgeTx) Get(key []byte) (value []byte, ok bool, err error) {
	item, err := t.tx.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value, err = item.ValueCopy(nil)
	return value, true, err
}

func (t *badgeTx) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	it := t.tx.NewIterator(badger.DefaultIteratorOptions)
	defer it.Close()
	for it.Seek(lo); it.Valid(); it.Next() {
		k := it.Item().Key()
		if hi != nil && bytes.Compare(k, hi) >= 0 {
			break
		}
		more := true
		if err := it.Item().Value(func(v []byte) error { more = f(k, v); return nil }); err != nil || !more {
			return err
		}
	}
	return nil
}

// Put keeps its arguments until the commit, as badger does: the workload does
// not reuse them.
func (t *badgeTx) Put(key, value []byte) { t.err = errors.Join(t.err, t.tx.Set(key, value)) }
func (t *badgeTx) Delete(key []byte)     { t.err = errors.Join(t.err, t.tx.Delete(key)) }
