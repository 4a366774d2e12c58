package lock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// Owners are more than fewHolders: the crowd comes and goes.
const modelBytes, modelOwners, modelFiles = 16, 14, 2

// A model is the semantics in the plainest words: for each file and owner, the
// type of each byte; a queue that is looked through from its front after every
// change. Flock is one byte of a space beyond the files.
type model struct {
	bytes [2 * modelFiles][modelOwners][modelBytes]Type
	queue []*modelWaiter
}

type modelWaiter struct {
	file  int
	lock  Lock
	check bool // counts in the search for deadlocks
	w     *waiter
}

func newModel() *model {
	m := &model{}
	for f := range m.bytes {
		for o := range m.bytes[f] {
			m.paint(f, Lock{Type: Unlock, End: modelBytes - 1, Owner: own(uint64(o))})
		}
	}
	return m
}

func (m *model) paint(f int, l Lock) {
	for i := l.Start; i <= min(l.End, modelBytes-1); i++ {
		m.bytes[f][l.Owner.ID][i] = l.Type
	}
}

// blockers are the owners that keep l from being granted.
func (m *model) blockers(f int, l Lock) (who []uint64) {
	for o := range uint64(modelOwners) {
		for i := l.Start; i <= min(l.End, modelBytes-1); i++ {
			has := m.bytes[f][o][i]
			if o != l.Owner.ID && has != Unlock && (has == Write || l.Type == Write) {
				who = append(who, o)
				break
			}
		}
	}
	return who
}

// deadlock reports whether an owner in from waits for to.
func (m *model) deadlock(from []uint64, to uint64) bool {
	reach := slices.Clone(from)
	for i := 0; i < len(reach); i++ {
		if reach[i] == to {
			return true
		}
		for _, w := range m.queue {
			if w.check && w.lock.Owner.ID == reach[i] {
				for _, b := range m.blockers(w.file, w.lock) {
					if !slices.Contains(reach, b) {
						reach = append(reach, b)
					}
				}
			}
		}
	}
	return false
}

// set answers whether l has to wait, or why it may not be; else it is granted.
func (m *model) set(f int, l Lock, wait bool) (waits bool, errno posix.Errno) {
	if l.Kind == Flock {
		if m.bytes[f][l.Owner.ID][0] == l.Type {
			return false, 0
		}
		drop := l
		drop.Type = Unlock
		m.paint(f, drop)
	}
	who := m.blockers(f, l)
	switch {
	case l.Type == Unlock || len(who) == 0:
		m.paint(f, l)
		return false, 0
	case !wait:
		return false, posix.EAGAIN
	case l.Kind == Posix && !l.OFD && m.deadlock(who, l.Owner.ID):
		return false, posix.EDEADLK
	}
	return true, 0
}

// settle answers the waiters that are served now, in order.
func (m *model) settle() (served []*waiter) {
	for i := 0; i < len(m.queue); i++ {
		if w := m.queue[i]; len(m.blockers(w.file, w.lock)) == 0 {
			m.paint(w.file, w.lock)
			m.queue = slices.Delete(m.queue, i, i+1)
			served = append(served, w.w)
			i = -1
		}
	}
	return served
}

// modelLock makes a random request. Owners from 10 on are open file
// descriptions. In some runs only a few take part.
func modelLock(rnd *rand.Rand, owners []uint64) (f int, l Lock) {
	f = rnd.IntN(modelFiles)
	lo, hi := rnd.Uint64N(modelBytes), rnd.Uint64N(modelBytes)
	if rnd.IntN(2) == 0 {
		hi = min(lo+rnd.Uint64N(3), modelBytes-1)
	}
	l = Lock{Type: Type(rnd.IntN(3)) + Unlock, Start: min(lo, hi), End: max(lo, hi), Owner: own(owners[rnd.IntN(len(owners))])}
	l.OFD = l.Owner.ID >= 10
	if l.End == modelBytes-1 {
		l.End = EOF
	}
	if rnd.IntN(6) == 0 {
		l.Kind, f = Flock, f+modelFiles
		l.Start, l.End = 0, EOF
	}
	return f, l
}

// A life is random operations on a table and the model.
type life struct {
	t      *testing.T
	rnd    *rand.Rand
	owners []uint64
	tab    *Table
	m      *model
	seen   struct{ granted, again, waits, served, deadlocks, cancelled, crowded int }
}

// TestModel lives some lives, of a few owners and of a crowd.
func TestModel(t *testing.T) {
	steps := 10_000
	if testing.Short() {
		steps = 2_000
	}
	few := []uint64{0, 1, 2, 10, 11}
	many := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	for seed, owners := range [][]uint64{few, few, many, many} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			lf := &life{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 1)), owners: owners, tab: New(Config{}), m: newModel()}
			for i := range steps {
				lf.step()
				modelSame(t, lf.tab, lf.m)
				if i%8 == 0 {
					sound(t, lf.tab)
				}
				if sp := lf.tab.spaces[key{ino, Posix}]; sp != nil && sp.crowd != nil {
					lf.seen.crowded++
				}
			}
			s := lf.seen
			if min(s.granted, s.again, s.waits, s.served, s.deadlocks, s.cancelled) == 0 || len(owners) > fewHolders && s.crowded < steps/10 {
				t.Errorf("saw too little: %+v", s)
			}
			lf.tab.EndSession(1)
			empty(t, lf.tab)
		})
	}
}

// step does one thing, and compares who is served then.
func (lf *life) step() {
	lf.t.Helper()
	f, l := modelLock(lf.rnd, lf.owners)
	switch op := lf.rnd.IntN(20); {
	case op == 0 && len(lf.m.queue) > 0:
		i := lf.rnd.IntN(len(lf.m.queue))
		wants(lf.t, posix.EINTR, lf.tab.cancel(lf.m.queue[i].w, posix.E("fcntl", posix.EINTR, nil)))
		lf.m.queue = slices.Delete(lf.m.queue, i, i+1)
		lf.seen.cancelled++
	case op == 1:
		lf.tab.Release(ino+posix.Ino(f%modelFiles), l.Owner, l.Kind)
		lf.m.release(f, l)
	case op < 5:
		modelTest(lf.t, lf.tab, lf.m, f, l)
	default:
		lf.set(f, l, lf.rnd.IntN(2) == 0)
	}
	for _, w := range lf.m.settle() {
		if !w.ended() || w.err != nil {
			lf.t.Fatalf("%+v was not served: %v", w.lock, w.err)
		}
		lf.seen.served++
	}
}

func (lf *life) set(f int, l Lock, wait bool) {
	lf.t.Helper()
	w, err := lf.tab.begin(ino+posix.Ino(f%modelFiles), l, wait)
	waits, errno := lf.m.set(f, l, wait)
	if posix.ErrnoOf(err) != errno || (w != nil) != waits {
		lf.t.Fatalf("%+v wait %v: %v, waits %v; the model says %v, %v", l, wait, err, w != nil, errno, waits)
	}
	switch {
	case waits:
		lf.m.queue = append(lf.m.queue, &modelWaiter{f, l, l.Kind == Posix && !l.OFD, w})
		lf.seen.waits++
	case errno == posix.EDEADLK:
		lf.seen.deadlocks++
	case errno == posix.EAGAIN:
		lf.seen.again++
	default:
		lf.seen.granted++
	}
}

// release drops what the owner has, and its waiters if it is a description.
func (m *model) release(f int, l Lock) {
	l.Type, l.Start, l.End = Unlock, 0, EOF
	m.paint(f, l)
	m.queue = slices.DeleteFunc(m.queue, func(w *modelWaiter) bool {
		return w.file == f && w.lock.Owner == l.Owner && !w.check
	})
}

// modelTest asks F_GETLK: the answer must be one that the model has.
func modelTest(t *testing.T, tab *Table, m *model, f int, l Lock) {
	t.Helper()
	c, ok, err := tab.Test(ino+posix.Ino(f%modelFiles), l)
	if err != nil {
		t.Fatal(err)
	}
	who := m.blockers(f, l)
	if l.Type == Unlock {
		who = nil
		for i := l.Start; i <= min(l.End, modelBytes-1); i++ {
			if m.bytes[f][l.Owner.ID][i] != Unlock {
				who = []uint64{l.Owner.ID}
			}
		}
	}
	if ok != (len(who) > 0) || ok && !slices.Contains(who, c.Owner.ID) {
		t.Fatalf("test %+v: %+v, %v; the model says %v", l, c, ok, who)
	}
	for i := c.Start; ok && i <= min(c.End, modelBytes-1); i++ {
		if m.bytes[f][c.Owner.ID][i] != c.Type {
			t.Fatalf("test %+v: %+v is not held", l, c)
		}
	}
}

// modelSame compares every byte, and that the same ones wait.
func modelSame(t *testing.T, tab *Table, m *model) {
	t.Helper()
	got := newModel()
	for _, h := range tab.Held(1) {
		got.paint(int(h.Ino-ino)+int(h.Lock.Kind)*modelFiles, h.Lock)
	}
	if got.bytes != m.bytes {
		t.Fatalf("table  %v\nmodel  %v", got.bytes, m.bytes)
	}
	for _, w := range m.queue {
		if w.w.ended() {
			t.Fatalf("%+v ended with %v; the model says it waits", w.lock, w.w.err)
		}
	}
	if tab.Stats().Waiters != len(m.queue) {
		t.Fatalf("%d wait; the model says %d", tab.Stats().Waiters, len(m.queue))
	}
}
