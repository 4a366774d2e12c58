package namespace

import (
	"sync"

	"github.com/wardfs/wardfs/posix"
)

// dirs remembers where directories are, so that the way up from one costs no
// reading. It holds dirsMost at most; the root is never in it.
//
// # Why what it says is true
//
// A reader looks in the engine at a snapshot, which may be older than what
// another transaction is about to commit, or has. So a transaction that moves
// or removes a directory says so before it commits (move), and again when it
// has ended, committed or not (moved). Each of the two steps the epoch; the
// first forgets the edge, and until the second nobody can put it back. A reader
// notes the epoch before its snapshot begins, and finds and puts an edge only
// while the epoch is still that one.
//
// Let an edge be found, at an epoch that has not changed since the finder
// began. It was put by a reader whose epoch was that of its putting, while no
// move of the directory was under way: so none was since that reader's
// snapshot, and none until the finding, or the edge would be forgotten. Began
// the finder after that snapshot, then the edge was true when its own snapshot
// was taken. Began it before, then the epoch says that no move has begun or
// ended since, and none was under way: the edge was true then too. A finder may
// therefore mix what it finds with what it reads; it sees one state of the tree.
type dirs struct {
	mu         sync.Mutex
	epoch      uint64
	young, old map[posix.Ino]edge // what is used moves from old to young
	moves      map[posix.Ino]int  // under way
}

// edge is where a directory is: what ".." names, and its name there.
type edge struct {
	parent posix.Ino
	name   string
}

// dirsMost is how many directories are remembered: some 10 MB of them.
const dirsMost = 1 << 16

func newDirs() dirs {
	return dirs{young: map[posix.Ino]edge{}, old: map[posix.Ino]edge{}, moves: map[posix.Ino]int{}}
}

// now is what a reader notes before its snapshot.
func (d *dirs) now() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epoch
}

func (d *dirs) get(ino posix.Ino, epoch uint64) (edge, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return edge{}, false
	}
	return d.find(ino)
}

// find is get for who holds mu.
func (d *dirs) find(ino posix.Ino) (edge, bool) {
	if e, ok := d.young[ino]; ok {
		return e, true
	}
	e, ok := d.old[ino]
	if ok {
		d.keep(ino, e)
	}
	return e, ok
}

func (d *dirs) put(ino posix.Ino, e edge, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch == epoch && d.moves[ino] == 0 {
		d.keep(ino, e)
	}
}

func (d *dirs) keep(ino posix.Ino, e edge) {
	if len(d.young) >= dirsMost/2 {
		d.young, d.old = map[posix.Ino]edge{}, d.young
	}
	d.young[ino] = e
}

// move says that a transaction is about to change where ino is.
func (d *dirs) move(ino posix.Ino) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch++
	d.moves[ino]++
	delete(d.young, ino)
	delete(d.old, ino)
}

// moved says that the transaction has ended.
func (d *dirs) moved(ino posix.Ino) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch++
	if d.moves[ino]--; d.moves[ino] == 0 {
		delete(d.moves, ino)
	}
}

// under answers Tree.Under if all that it takes is remembered: all edges are
// true at this moment.
func (d *dirs) under(ino, dir posix.Ino) (under, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := ino
	for range dirsMost { // damage may have made a loop
		e, ok := d.find(at)
		switch {
		case !ok:
			return false, false
		case at == dir || e.parent == dir:
			return true, true
		case e.parent == posix.RootIno:
			return false, true
		}
		at = e.parent
	}
	return false, false
}

// path answers Tree.Path if all that it takes is remembered.
func (d *dirs) path(ino posix.Ino) (path string, known bool) {
	if ino == posix.RootIno {
		return "/", true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	at := ino
	for range dirsMost {
		e, ok := d.find(at)
		if !ok {
			return "", false
		}
		names = append(names, e.name)
		if at = e.parent; at == posix.RootIno {
			return joined(names), true
		}
	}
	return "", false
}
