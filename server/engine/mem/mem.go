// Package mem is the engine that keeps everything in memory: for unit tests,
// where it is quick, honest and strict. Its transactions are serializable, a
// View never waits for an Update, and a caller that keeps a value longer than
// the contract allows finds it overwritten.
//
// What lies in a [Disk] survives the engine, and the power cuts that a test
// makes there. An engine of New survives nothing.
package mem

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/internal/gate"
)

// Engine is an engine.Engine in memory.
type Engine struct {
	gate  gate.Gate
	lock  chan struct{} // held by the one Update that runs
	state atomic.Pointer[state]
	disk  *Disk // nil: nothing to wait for
}

// state is what one commit left behind.
type state struct {
	n    uint64 // how many commits led to it
	root *node
}

var _ engine.Engine = (*Engine)(nil)

// New makes an empty engine.
func New() *Engine { return open(&state{}, nil) }

func open(s *state, d *Disk) *Engine {
	e := &Engine{lock: make(chan struct{}, 1), disk: d}
	e.state.Store(s)
	return e
}

// View runs f over the newest state.
func (e *Engine) View(ctx context.Context, f func(engine.Reader) error) error {
	if err := e.gate.Enter(); err != nil {
		return err
	}
	defer e.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	s := e.state.Load()
	t := &tx{root: s.root}
	defer t.end()
	if err := f(t); err != nil {
		return err
	}
	e.sync(s.n)
	return nil
}

// Update runs f alone; its state is the next one if it answers nil.
func (e *Engine) Update(ctx context.Context, f func(engine.Tx) error) error {
	if err := e.gate.Enter(); err != nil {
		return err
	}
	defer e.gate.Leave()
	n, err := e.run(ctx, f)
	// An answer that rests on what others changed is given once that is
	// durable, and a refusal is an answer too.
	e.sync(n)
	return err
}

// run is the part of Update under the lock. It answers the number of the state
// that the outcome rests on, 0 if f did not run.
func (e *Engine) run(ctx context.Context, f func(engine.Tx) error) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	s := e.state.Load()
	t := &tx{root: s.root, writes: true}
	defer t.end()
	if err := f(t); err != nil {
		return s.n, err
	}
	if t.err != nil || t.root == s.root {
		return s.n, t.err
	}
	next := &state{n: s.n + 1, root: t.root}
	if e.disk != nil {
		if err := e.disk.write(e, next); err != nil {
			return s.n, err
		}
	}
	e.state.Store(next)
	return next.n, nil
}

// sync answers once state n is durable.
func (e *Engine) sync(n uint64) {
	if e.disk == nil {
		return
	}
	e.disk.sync(n)
}

// Close waits for the transactions under way.
func (e *Engine) Close() error { return e.gate.Shut() }

// tx is a transaction of either kind.
type tx struct {
	root   *node
	writes bool
	ended  bool
	lent   [][]byte // what Get handed out
	err    error    // of a Put
}

var _ engine.Tx = (*tx)(nil)

func (t *tx) Get(key []byte) ([]byte, bool, error) {
	t.check()
	n := t.root.get(key)
	if n == nil {
		return nil, false, nil
	}
	v := append([]byte{}, n.value...)
	t.lent = append(t.lent, v)
	return v, true, nil
}

func (t *tx) Scan(lo, hi []byte, f func(key, value []byte) bool) error {
	t.check()
	t.root.scan(lo, hi, func(n *node) bool {
		k, v := bytes.Clone(n.key), append([]byte{}, n.value...)
		defer spoil(k)
		defer spoil(v)
		return f(k, v)
	})
	return nil
}

func (t *tx) Put(key, value []byte) {
	t.checkWrite()
	if len(key) == 0 {
		t.err = posix.E("put", posix.EINVAL, errors.New("engine: empty key"))
		return
	}
	k := append([]byte{}, key...)
	t.root = t.root.put(&node{key: k, value: append([]byte{}, value...), rank: rankOf(k)})
}

func (t *tx) Delete(key []byte) {
	t.checkWrite()
	t.root = t.root.remove(key)
}

// end takes back what was lent.
func (t *tx) end() {
	t.ended = true
	for _, v := range t.lent {
		spoil(v)
	}
}

func (t *tx) check() {
	if t.ended {
		panic("mem: transaction used after its end")
	}
}

func (t *tx) checkWrite() {
	t.check()
	if !t.writes {
		panic("mem: write in a View")
	}
}

// spoil makes bytes that were kept too long show.
func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
