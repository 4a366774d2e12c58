package namespace

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// opens is the table of what is open. It is in memory alone: after a restart
// sessions reopen what they had (see Tree.Reopen), and until they had time to
// do so the table is in grace and nothing is deleted for want of a handle.
//
// # Why an open file can't be deleted, nor a deleted one opened
//
// Deleting an inode's record is decided inside a transaction that may run
// more than once and is durable only later; opening reads a snapshot that may
// be older than what another transaction is about to commit. So the table
// orders the two by hand, each side saying what it is about to do before it
// looks:
//
//   - An open pins the inode, and only then reads its record in a transaction
//     that begins after the pin. The pin becomes a handle or is dropped.
//   - A transaction that takes the last name of an inode asks doom. If there
//     is a pin or a handle, the answer is no, and the inode becomes an orphan
//     that keeps its record. Otherwise the inode is doomed until the
//     transaction has ended, whether committed or not, and its record goes.
//   - pin waits while the inode is doomed.
//
// So either the pin came first, and the record stays; or the doom came first,
// and the open's transaction begins after the end of the deletion and finds
// nothing: ESTALE. The pin waits outside of any transaction and while it holds
// nothing, so no two can wait for each other.
//
// An orphan's extents are cut in the same way, doomed meanwhile, a part at a
// time. An orphan must not be opened once that has begun: therefore an inode
// without a name may be opened only while a handle to it exists (a second open
// through /proc/self/fd), for that handle has kept the sweep away since the
// inode had a name. A pin alone is no such proof.
type opens struct {
	linger time.Duration // see lingers; with now, set before the first use
	now    func() time.Time
	most   int // handles of a session; 0: no end

	mu       sync.Mutex
	nodes    map[posix.Ino]*node
	sessions map[SessionID]*owned
	grace    grace
	lost     map[posix.Ino]time.Time // when the last name went
	promised uint64                  // the newest promise
}

// owned is what one session has open. It is there only while that is something.
type owned struct {
	handles map[posix.Handle]openFile
	uses    map[posix.Ino]*use
}

// use is one inode of a session.
type use struct {
	handles int
	locked  bool   // it has, or had, locks
	promise uint64 // see promise.go; 0 is none
}

// node is what the table knows of an inode that is busy in some way.
type node struct {
	pins, handles, dooms int
	promises             int           // of sessions
	spared               chan struct{} // closed when dooms is 0 again
}

// openFile is one handle.
type openFile struct {
	ino   posix.Ino
	flags posix.OpenFlags
	uid   posix.UID // who opened it
}

func (o openFile) may(f posix.OpenFlags) bool { return o.flags&f != 0 }

func newOpens(grace bool) opens {
	return opens{nodes: map[posix.Ino]*node{}, sessions: map[SessionID]*owned{}, grace: newGrace(grace), lost: map[posix.Ino]time.Time{}}
}

// lingers reports whether ino, which is about to lose its last name, stays for
// a while for those who have looked it up and not opened it yet: open(2) of a
// name that is being replaced must find the old file or the new one. It is
// said before the name is gone; that it then keeps it does no harm.
func (o *opens) lingers(ino posix.Ino) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.linger <= 0 {
		return false
	}
	o.lost[ino] = o.now()
	return true
}

// hasten ends the lingering of all that nobody has open, and answers whether
// there was any.
func (o *opens) hasten() (any bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grace.on {
		return false
	}
	for ino := range o.lost {
		if n := o.nodes[ino]; n == nil || n.pins == 0 && n.handles == 0 {
			delete(o.lost, ino)
			any = true
		}
	}
	return any
}

// lingering reports whether ino may still be opened without a name; o.mu is
// held. While it may, it is not doomed: once its extents are cut, it may not.
func (o *opens) lingering(ino posix.Ino) bool {
	since, ok := o.lost[ino]
	return ok && o.now().Sub(since) < o.linger
}

func (o *opens) node(ino posix.Ino) *node {
	n := o.nodes[ino]
	if n == nil {
		n = &node{}
		o.nodes[ino] = n
	}
	return n
}

func (o *opens) settle(ino posix.Ino, n *node) {
	if *n == (node{}) {
		delete(o.nodes, ino)
	}
}

// pin keeps ino from being deleted until unpin or settleAs. It waits for a
// deletion under way, and answers ctx's error.
func (o *opens) pin(ctx context.Context, ino posix.Ino) error {
	for {
		o.mu.Lock()
		n := o.node(ino)
		if n.dooms == 0 {
			n.pins++
			o.mu.Unlock()
			return nil
		}
		spared := n.spared
		o.mu.Unlock()
		select {
		case <-spared:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *opens) unpin(ino posix.Ino) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.node(ino)
	n.pins--
	o.settle(ino, n)
}

// add makes a pinned inode open as h. The pin is dropped in any case. nameless
// says that the inode has no name; trusted that the session is known to have
// had it open.
func (o *opens) add(s SessionID, h posix.Handle, f openFile, nameless, trusted bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.node(f.ino)
	n.pins--
	defer o.settle(f.ino, n)
	if h == 0 {
		return posix.EINVAL
	}
	own := o.sessions[s]
	if was, ok := own.at(h); ok {
		if was.ino != f.ino || was.flags != f.flags {
			return posix.EBADF
		}
		return nil // the same open, sent again
	}
	if nameless && n.handles == 0 && !(trusted && o.grace.on) && !o.lingering(f.ino) {
		return posix.ESTALE
	}
	if own == nil {
		own = &owned{handles: map[posix.Handle]openFile{}, uses: map[posix.Ino]*use{}}
		o.sessions[s] = own
	}
	own.handles[h] = f
	if own.uses[f.ino] == nil {
		own.uses[f.ino] = &use{}
	}
	own.uses[f.ino].handles++
	n.handles++
	return nil
}

// full reports whether a session may have no handle beside h. What it had
// before a restart it may have again, and several that open at once may get in
// together.
func (o *opens) full(s SessionID, h posix.Handle) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := o.sessions[s]
	if o.most <= 0 || own == nil || len(own.handles) < o.most {
		return false
	}
	_, ok := own.handles[h]
	return !ok
}

// at is the handle's, of a session that may have nothing.
func (own *owned) at(h posix.Handle) (openFile, bool) {
	if own == nil {
		return openFile{}, false
	}
	f, ok := own.handles[h]
	return f, ok
}

// get answers EBADF for what is not open.
func (o *opens) get(s SessionID, h posix.Handle) (openFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ok := o.sessions[s].at(h)
	if !ok {
		return f, posix.EBADF
	}
	return f, nil
}

// held reports whether there is a handle of ino, of any session.
func (o *opens) held(ino posix.Ino) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.nodes[ino]
	return n != nil && n.handles > 0
}

// uses reports whether the session has ino open; with lock it notes that it
// has locks there.
func (o *opens) uses(s SessionID, ino posix.Ino, lock bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := o.sessions[s]
	if own == nil || own.uses[ino] == nil {
		return false
	}
	own.uses[ino].locked = own.uses[ino].locked || lock
	return true
}

// Has reports whether the session has ino open.
func (t *Tree) Has(s SessionID, ino posix.Ino) bool { return t.opens.uses(s, ino, false) }

// close forgets a handle. If it was the session's last of an inode in which it
// may have locks, it answers that.
func (o *opens) close(s SessionID, h posix.Handle) (locked posix.Ino) {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := o.sessions[s]
	f, ok := own.at(h)
	if !ok {
		return 0
	}
	delete(own.handles, h)
	u := own.uses[f.ino]
	if u.handles--; u.handles == 0 {
		o.forgive(f.ino, u, 0)
		delete(own.uses, f.ino)
		if u.locked {
			locked = f.ino
		}
	}
	o.drop(f.ino)
	if len(own.handles) == 0 {
		delete(o.sessions, s)
	}
	return locked
}

func (o *opens) closeAll(s SessionID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if own := o.sessions[s]; own != nil {
		for ino, u := range own.uses {
			o.forgive(ino, u, 0)
		}
		for _, f := range own.handles {
			o.drop(f.ino)
		}
		delete(o.sessions, s)
	}
}

func (o *opens) drop(ino posix.Ino) {
	n := o.node(ino)
	n.handles--
	o.settle(ino, n)
}

// doom reports whether ino may be deleted now, and if so keeps it from being
// opened until spare.
func (o *opens) doom(ino posix.Ino) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grace.on {
		return false
	}
	n := o.node(ino)
	if n.pins > 0 || n.handles > 0 || o.lingering(ino) {
		o.settle(ino, n)
		return false
	}
	delete(o.lost, ino)
	if n.dooms++; n.dooms == 1 {
		n.spared = make(chan struct{})
	}
	return true
}

func (o *opens) spare(ino posix.Ino) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.node(ino)
	if n.dooms--; n.dooms == 0 {
		close(n.spared)
		n.spared = nil
	}
	o.settle(ino, n)
}

// idle reports whether nobody has ino open at this moment; doom has the last
// word.
func (o *opens) idle(ino posix.Ino) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.nodes[ino]
	return (n == nil || n.pins == 0 && n.handles == 0) && !o.lingering(ino)
}
