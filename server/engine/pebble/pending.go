package pebble

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync/atomic"
)

// commit is an Update that was handed to the log and may not be durable yet.
// Others see its changes already; whoever read one of its keys waits for it
// before answering. The commits form a list from the newest (DB.head) back,
// and become durable from the oldest on.
type commit struct {
	keys   [][]byte      // what it changed, ascending
	synced chan struct{} // closed once the outcome is known
	err    error         // the outcome; nil is durable
	prev   atomic.Pointer[commit]
}

func newCommit(keys [][]byte, prev *commit) *commit {
	slices.SortFunc(keys, bytes.Compare)
	c := &commit{keys: keys, synced: make(chan struct{})}
	c.prev.Store(prev)
	return c
}

// settle makes the outcome known. What came before a durable commit is durable
// too: the list ends here.
func (c *commit) settle(err error) {
	c.err = err
	if err == nil {
		c.prev.Store(nil)
	}
	close(c.synced)
}

// pending reports whether c must be waited for. A nil commit need not.
func (c *commit) pending() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.synced:
		return c.err != nil
	default:
		return true
	}
}

// touches reports whether c changed a key in [lo, hi); hi nil is the end.
func (c *commit) touches(lo, hi []byte) bool {
	i := sort.Search(len(c.keys), func(i int) bool { return bytes.Compare(c.keys[i], lo) >= 0 })
	return i < len(c.keys) && (hi == nil || bytes.Compare(c.keys[i], hi) < 0)
}

// has reports whether c changed key.
func (c *commit) has(key []byte) bool {
	_, ok := slices.BinarySearchFunc(c.keys, key, bytes.Compare)
	return ok
}

// debt is the newest commit that a transaction's answer rests on.
type debt struct {
	head *commit // at the start: what came later was not seen
	need *commit
}

// find notes the newest commit that matches, back from head to the one that is
// noted already or to the durable ones.
func (d *debt) find(match func(*commit) bool) {
	for c := d.head; c != d.need && c.pending(); c = c.prev.Load() {
		if match(c) {
			d.need = c
			return
		}
	}
}

func (d *debt) sawKey(key []byte) {
	d.find(func(c *commit) bool { return c.has(key) })
}

func (d *debt) sawRange(lo, hi []byte) {
	d.find(func(c *commit) bool { return c.touches(lo, hi) })
}

// wait answers nil once all that was seen is durable.
func (d *debt) wait(ctx context.Context) error {
	if !d.need.pending() {
		return nil
	}
	select {
	case <-d.need.synced:
		return d.need.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
