package enginetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// flaw is one way to get an engine wrong.
type flaw int

const (
	none        flaw = iota
	dirtyError       // f's error leaves its changes
	dirtyPanic       // f's panic leaves its changes
	aliased          // Put keeps what it was given
	blindScan        // a scan misses own writes
	blindGet         // a Get misses own writes
	greedyScan       // a scan runs on when told to stop
	inclusive        // a scan's end is part of it
	keyless          // takes an empty key
	emptyIsNone      // an empty value reads as no key
	deafCancel       // a cancelled ctx is not looked at
	zombie           // closed, and still answers
	hasty            // Close does not wait
	lostUpdate       // reads a snapshot, writes over whatever came since
	writeSkewed      // refuses two writes of one key, as snapshot isolation does
	fleeting         // a View sees what changes meanwhile
	staleView        // a View sees the state before last
	shortened        // a transaction keeps its first 5000 changes
	ownError         // wraps f's error
	unsynced         // acknowledges before the sync
	torn             // a crash splits a transaction
	reordered        // a crash loses one commit and keeps a later one
	rash             // a View does not wait for what it saw
	rashRefusal      // an Update that changes nothing does not wait
)

// caughtBy is the check that must find each flaw; "Crash" is the suite's.
var caughtBy = map[flaw]string{
	dirtyError: "ErrorLeavesNothing", dirtyPanic: "PanicLeavesNothing", aliased: "CopiesArguments",
	blindScan: "ScanSeesOwnWrites", blindGet: "GetPut", greedyScan: "ScanStops", inclusive: "Scan",
	emptyIsNone: "EdgeKeys", keyless: "EmptyKey", deafCancel: "Cancel", zombie: "Close", hasty: "CloseWaits",
	lostUpdate: "Counter", writeSkewed: "WriteSkew", fleeting: "ViewIsFixed", staleView: "RealTime",
	shortened: "BigTransaction", ownError: "ErrorLeavesNothing",
	unsynced: "Crash", torn: "Crash", reordered: "Crash", rash: "Crash", rashRefusal: "Crash",
}

// TestSound has an engine without a flaw pass everything.
func TestSound(t *testing.T) {
	Run(t, func(*testing.T) engine.Engine { return newToy(none) })
	RunCrash(t, func(*testing.T) Disk { return &toyDisk{} })
}

// TestFlaws has each flawed engine fail the check that is for it.
func TestFlaws(t *testing.T) {
	for f, name := range caughtBy {
		var err error
		// What depends on how goroutines meet is given some tries.
		for try := uint64(0); try < 20 && err == nil; try++ {
			if name == "Crash" {
				_, err = Crash(&toyDisk{flaw: f}, try)
				continue
			}
			for _, c := range Checks() {
				if c.Name == name {
					err = c.Run(newToy(f))
				}
			}
		}
		if err == nil {
			t.Errorf("flaw %d passes %s", f, name)
		} else {
			t.Logf("flaw %d, %s: %.150v", f, name, err)
		}
	}
	if len(caughtBy) != int(rashRefusal) {
		t.Errorf("%d flaws are looked for, of %d", len(caughtBy), rashRefusal)
	}
}

// toy is an engine that is made to be wrong: a sorted slice, copied by each
// Update.
type toy struct {
	flaw  flaw
	disk  *toyDisk
	write sync.Mutex
	inner sync.RWMutex // state, closed
	gate  sync.WaitGroup

	state, before table
	n             int // commits
	closed        bool
}

type pair struct{ key, value []byte }
type table []pair

func newToy(f flaw) *toy { return &toy{flaw: f, disk: &toyDisk{flaw: f}} }

func (t table) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(t, key, func(p pair, k []byte) int { return bytes.Compare(p.key, k) })
}

func (e *toy) enter(ctx context.Context) error {
	e.inner.RLock()
	defer e.inner.RUnlock()
	if e.closed && e.flaw != zombie {
		return engine.ErrClosed
	}
	if err := ctx.Err(); err != nil && e.flaw != deafCancel {
		return err
	}
	e.gate.Add(1)
	return nil
}

func (e *toy) now() (table, int) {
	e.inner.RLock()
	defer e.inner.RUnlock()
	return e.state, e.n
}

// last is the state before the newest.
func (e *toy) last() table {
	e.inner.RLock()
	defer e.inner.RUnlock()
	return e.before
}

func (e *toy) View(ctx context.Context, f func(engine.Reader) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.gate.Done()
	state, n := e.now()
	if e.flaw == staleView {
		state = e.last()
	}
	tx := &toyTx{e: e, table: state, base: state, live: e.flaw == fleeting}
	if err := f(tx); err != nil {
		return err
	}
	if e.flaw != rash {
		e.disk.sync(n)
	}
	return nil
}

func (e *toy) Update(ctx context.Context, f func(engine.Tx) error) (err error) {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.gate.Done()
	for {
		n, changed, again, err := e.try(f)
		if again {
			continue
		}
		if e.flaw != unsynced && (changed || e.flaw != rashRefusal) {
			e.disk.sync(n)
		}
		if err != nil && e.flaw == ownError {
			err = errors.Join(err)
		}
		return err
	}
}

// try runs f once. Those of snapshots run it without the lock.
func (e *toy) try(f func(engine.Tx) error) (n int, changed, again bool, err error) {
	loose := e.flaw == lostUpdate || e.flaw == writeSkewed
	if !loose {
		e.write.Lock()
		defer e.write.Unlock()
	}
	state, n := e.now()
	tx := &toyTx{e: e, table: slices.Clone(state), base: state}
	if e.flaw == dirtyPanic {
		defer func() {
			if p := recover(); p != nil {
				e.commit(tx)
				panic(p)
			}
		}()
	}
	if err = f(tx); err == nil {
		err = tx.err
	}
	if loose {
		time.Sleep(10 * time.Microsecond) // let others in
		e.write.Lock()
		defer e.write.Unlock()
		if newest, _ := e.now(); e.flaw == writeSkewed && tx.conflicts(state, newest) {
			return n, false, true, nil
		}
	}
	if err != nil && e.flaw != dirtyError || tx.changes == nil {
		return n, false, false, err
	}
	return e.commit(tx), true, false, err
}

// commit lays the changes over the newest state.
func (e *toy) commit(tx *toyTx) int {
	e.inner.Lock()
	defer e.inner.Unlock()
	next := slices.Clone(e.state)
	for i, c := range tx.changes {
		if e.flaw == shortened && i >= 5000 {
			break
		}
		next = next.with(c)
	}
	e.before, e.state, e.n = e.state, next, e.n+1
	e.disk.write(tx.changes)
	return e.n
}

func (e *toy) Close() error {
	e.inner.Lock()
	if e.closed && e.flaw != zombie {
		e.inner.Unlock()
		return engine.ErrClosed
	}
	e.closed = true
	e.inner.Unlock()
	if e.flaw != hasty {
		e.gate.Wait()
	}
	return nil
}

// with is the table with a change: a nil value deletes.
func (t table) with(c pair) table {
	i, ok := t.find(c.key)
	switch {
	case c.value == nil && ok:
		return slices.Delete(t, i, i+1)
	case c.value == nil:
		return t
	case ok:
		t[i].value = c.value
		return t
	default:
		return slices.Insert(t, i, c)
	}
}

type toyTx struct {
	e       *toy
	table   table // own writes included
	base    table // without
	changes []pair
	live    bool
	err     error // of a Put
}

// conflicts reports whether somebody changed a key that tx writes.
func (tx *toyTx) conflicts(then, now table) bool {
	for _, c := range tx.changes {
		i, had := then.find(c.key)
		j, has := now.find(c.key)
		if had != has || has && !bytes.Equal(then[i].value, now[j].value) {
			return true
		}
	}
	return false
}

func (tx *toyTx) reads(blind flaw) table {
	if tx.live {
		now, _ := tx.e.now()
		return now
	}
	if tx.e.flaw == blind {
		return tx.base
	}
	return tx.table
}

func (tx *toyTx) Get(key []byte) ([]byte, bool, error) {
	t := tx.reads(blindGet)
	i, ok := t.find(key)
	if !ok || len(t[i].value) == 0 && tx.e.flaw == emptyIsNone {
		return nil, false, nil
	}
	return t[i].value, true, nil
}

func (tx *toyTx) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	t := slices.Clone(tx.reads(blindScan))
	i, _ := t.find(lo)
	for ; i < len(t); i++ {
		past := bytes.Compare(t[i].key, hi)
		if hi != nil && (past > 0 || past == 0 && tx.e.flaw != inclusive) {
			break
		}
		if !f(t[i].key, t[i].value) && tx.e.flaw != greedyScan {
			break
		}
	}
	return nil
}

func (tx *toyTx) Put(key, value []byte) {
	if len(key) == 0 && tx.e.flaw != keyless {
		tx.err = posix.EINVAL
		return
	}
	if tx.e.flaw != aliased {
		key, value = append([]byte{}, key...), append([]byte{}, value...)
	}
	tx.change(pair{key, value})
}

func (tx *toyTx) Delete(key []byte) { tx.change(pair{bytes.Clone(key), nil}) }

func (tx *toyTx) change(c pair) {
	tx.table = tx.table.with(c)
	tx.changes = append(tx.changes, c)
}

// toyDisk is a log of changes, of which the first synced survive.
type toyDisk struct {
	flaw   flaw
	mu     sync.Mutex
	log    [][]pair
	synced int
	onOp   func()
}

func (d *toyDisk) OnOp(f func()) { d.onOp = f }

func (d *toyDisk) op() {
	if d.onOp != nil {
		d.onOp()
	}
}

func (d *toyDisk) write(changes []pair) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.op()
	d.log = append(d.log, changes)
}

func (d *toyDisk) sync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.synced < n {
		d.op()
		d.synced = len(d.log)
	}
}

func (d *toyDisk) Cut(rng *rand.Rand) Disk {
	keep := d.synced
	if rng != nil {
		keep += rng.IntN(len(d.log) - d.synced + 1)
	}
	c := &toyDisk{log: slices.Clone(d.log[:keep])}
	if rng != nil && keep > d.synced {
		switch last := d.log[keep-1]; d.flaw {
		case torn:
			c.log[keep-1] = last[:len(last)/2]
		case reordered:
			if keep-d.synced > 1 {
				c.log = append(c.log[:keep-2], last)
			}
		}
	}
	return c
}

// Open replays the log.
func (d *toyDisk) Open() (engine.Engine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &toy{flaw: d.flaw, disk: d, n: len(d.log)}
	for _, changes := range d.log {
		for _, c := range changes {
			e.state = e.state.with(c)
		}
	}
	e.state = slices.Clone(e.state)
	d.synced = len(d.log)
	return e, nil
}
