package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wardfs/wardfs/server/engine"
)

// Disk is where an engine's store lies, made so that a test can cut its power.
type Disk interface {
	// Open opens the store that lies there.
	Open() (engine.Engine, error)
	// OnOp has f called before each operation that changes the disk or syncs
	// it, from whatever goroutine. It is set before Open.
	OnOp(f func())
	// Cut is the disk as a power cut at this moment could leave it. With a nil
	// rng all is lost that was not synced, else some of it. It is called from
	// OnOp's f, or when no engine is open.
	Cut(rng *rand.Rand) Disk
}

// RunCrash cuts the power before every single operation of the disk while
// transactions run at once, and once more while the store is opened again. What
// is found must be the state after some number of commits, in their order, and
// hold every one that somebody was told of: by the end of its Update, by a View
// that saw it, by a refusal or an idle Update that rested on it.
func RunCrash(t *testing.T, disk func(t *testing.T) Disk) {
	seeds := uint64(2)
	if Slow {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("Seed%d", seed), func(t *testing.T) {
			n, err := Crash(disk(t), seed)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%d power cuts", n)
		})
	}
}

// Crash is RunCrash on one empty disk. It answers how many power cuts it made.
func Crash(d Disk, seed uint64) (cuts int, err error) {
	c := &crash{seed: seed, history: newHistory()}
	found := make(chan *cut, 64)
	done := make(chan error, 1)
	go func() { done <- c.judge(found) }()
	d.OnOp(func() { c.cut(d, found) })
	err = c.work(d)
	c.cut(d, found)
	close(found)
	return int(c.ops.Load()), errors.Join(err, <-done)
}

// crash is one run.
type crash struct {
	seed    uint64
	floor   atomic.Int64 // the newest commit that somebody was told of
	ops     atomic.Int64
	history *history
}

// cut is a disk after a power cut.
type cut struct {
	disk  Disk
	floor int
	where string
}

// cut makes two: one that loses all it can and one that loses some.
func (c *crash) cut(d Disk, found chan<- *cut) {
	// The floor first: what is acknowledged meanwhile may be missing.
	floor, op := int(c.floor.Load()), c.ops.Add(1)
	if Slow && op%4 != 0 {
		return
	}
	rng := rand.New(rand.NewPCG(c.seed, uint64(op)))
	found <- &cut{d.Cut(nil), floor, fmt.Sprintf("before operation %d, unsynced data lost", op)}
	found <- &cut{d.Cut(rng), floor, fmt.Sprintf("before operation %d, unsynced data partly lost", op)}
}

func (c *crash) told(n int) {
	for {
		old := c.floor.Load()
		if int64(n) <= old || c.floor.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}

// work makes commits from several goroutines, and Views, refusals and idle
// Updates beside them.
func (c *crash) work(d Disk) error {
	e, err := d.Open()
	if err != nil {
		return fmt.Errorf("an empty disk does not open: %w", err)
	}
	err = together(5, func(w int) error {
		for i := range 30 {
			if err := c.one(e, (w+i)%8); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, e.Close())
}

// one makes one transaction: of eight, five commit.
func (c *crash) one(e engine.Engine, kind int) (err error) {
	n := 0
	switch kind {
	case 0:
		err = e.View(background, func(r engine.Reader) (err error) {
			n, err = number(r, counterKey)
			return err
		})
	case 1:
		err = e.Update(background, func(tx engine.Tx) (err error) {
			n, err = number(tx, counterKey)
			return errors.Join(err, errMine)
		})
		if errors.Is(err, errMine) {
			err = nil
		}
	case 2:
		err = e.View(background, func(r engine.Reader) error {
			return r.Scan([]byte("log/"), []byte("log0"), func(_, v []byte) bool {
				_, err := fmt.Sscan(string(v), &n)
				return err == nil
			})
		})
	default:
		err = e.Update(background, func(tx engine.Tx) (err error) {
			n, err = commitNext(tx)
			return err
		})
	}
	if err == nil {
		c.told(n)
	}
	return err
}

// judge opens every disk that was found.
func (c *crash) judge(found <-chan *cut) error {
	return together(2, func(int) error {
		var first error
		for f := range found {
			if first != nil {
				continue // drain: the run is blocked otherwise
			}
			if err := c.inspect(f); err != nil {
				first = fmt.Errorf("power cut %s: %w", f.where, err)
			}
		}
		return first
	})
}

// inspect opens a disk, cutting the power of a few once more meanwhile, checks
// what is there, and that the store goes on.
func (c *crash) inspect(f *cut) error {
	var mu sync.Mutex
	var again []*cut
	if rand.New(rand.NewPCG(c.seed, uint64(len(f.where)+f.floor))).IntN(24) == 0 {
		f.disk.OnOp(func() {
			mu.Lock()
			defer mu.Unlock()
			again = append(again, &cut{f.disk.Cut(nil), f.floor,
				fmt.Sprintf("before operation %d of opening again", len(again)+1)})
		})
	}
	if err := c.check(f.disk, f.floor); err != nil {
		return err
	}
	for _, a := range again {
		if err := c.check(a.disk, a.floor); err != nil {
			return fmt.Errorf("and %s: %w", a.where, err)
		}
	}
	return nil
}

func (c *crash) check(d Disk, floor int) error {
	e, err := d.Open()
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	err = e.View(background, func(r engine.Reader) error {
		n, err := number(r, counterKey)
		if err != nil {
			return err
		}
		if n < floor {
			return fmt.Errorf("%d commits are there, %d were acknowledged", n, floor)
		}
		return compareRange(r, c.history.after(n), nil, nil)
	})
	if err == nil {
		err = e.Update(background, func(tx engine.Tx) error { _, err := commitNext(tx); return err })
	}
	return errors.Join(err, e.Close())
}

// counterKey counts the commits, so that each knows its place in the order.
const counterKey = "n"

// commitNext makes the next commit's changes, which depend on its number alone.
func commitNext(tx engine.Tx) (int, error) {
	n, err := number(tx, counterKey)
	changes(n+1, func(k, v string) { tx.Put([]byte(k), []byte(v)) }, func(k string) { tx.Delete([]byte(k)) })
	return n + 1, err
}

// changes are those of commit n: its entry in the log, and random keys that
// others change too, now and then with a value larger than a block of a log.
func changes(n int, put func(k, v string), del func(k string)) {
	rng := rand.New(rand.NewPCG(uint64(n), 99))
	put(counterKey, fmt.Sprint(n))
	put(fmt.Sprintf("log/%06d", n), fmt.Sprint(n))
	for range rng.IntN(6) {
		key := fmt.Sprintf("key/%02d", rng.IntN(30))
		switch {
		case rng.IntN(3) == 0:
			del(key)
		case rng.IntN(12) == 0:
			put(key, fmt.Sprintf("%040000d", n))
		default:
			put(key, fmt.Sprintf("%0*d", 1+rng.IntN(900), n))
		}
	}
}

// history knows the state after each commit.
type history struct {
	mu     sync.Mutex
	states []map[string]string
}

func newHistory() *history { return &history{states: []map[string]string{{}}} }

func (h *history) after(n int) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.states) <= n {
		next := map[string]string{}
		for k, v := range h.states[len(h.states)-1] {
			next[k] = v
		}
		changes(len(h.states), func(k, v string) { next[k] = v }, func(k string) { delete(next, k) })
		h.states = append(h.states, next)
	}
	return h.states[n]
}
