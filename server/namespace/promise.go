package namespace

import "github.com/wardfs/wardfs/posix"

// A session that has a file open for reading alone may be promised that
// whoever changes the file gets no answer before the session was told, or can't
// rely on the promise any more. The promise is made with the open and ends with
// the session's last handle of the file, or when it was kept once. Keeping it is
// the server's affair; here lies who was promised what.
//
// An open that reads the file as it was before a change, and is answered after
// the author of the change looked for promises, needs none: the session is told
// of the change before it has the answer.

// Promise is that a session hears of changes of an inode.
type Promise struct {
	Session SessionID
	Ino     posix.Ino
	n       uint64 // which: one that was made anew is another
}

// Promising makes the view's opens for reading promises.
func (v View) Promising(promising bool) View { v.promising = promising; return v }

// Changing makes the view add to list what its next changing method changes.
func (v View) Changing(list *[]Change) View { v.changes = list; return v }

// promise notes that the session is promised word of the inode, which it has
// open. One of before is as good as the new one.
func (o *opens) promise(s SessionID, ino posix.Ino) {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := o.sessions[s]
	if own == nil || own.uses[ino] == nil {
		return // closed meanwhile
	}
	u := own.uses[ino]
	if u.promise == 0 {
		o.node(ino).promises++
	}
	o.promised++
	u.promise = o.promised
}

// forgive takes back what u was promised about ino, unless it is another
// promise than n, 0 being any. o.mu is held, and the node settled by whoever
// calls.
func (o *opens) forgive(ino posix.Ino, u *use, n uint64) {
	if u == nil || u.promise == 0 || n != 0 && u.promise != n {
		return
	}
	u.promise = 0
	o.node(ino).promises--
}

// Promises answers who else than by was promised word of ino.
func (t *Tree) Promises(ino posix.Ino, by SessionID) (list []Promise) {
	o := &t.opens
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.nodes[ino]; n == nil || n.promises == 0 {
		return nil
	}
	for s, own := range o.sessions {
		if u := own.uses[ino]; s != by && u != nil && u.promise != 0 {
			list = append(list, Promise{s, ino, u.promise})
		}
	}
	return list
}

// Kept ends promises that were kept.
func (t *Tree) Kept(list []Promise) {
	o := &t.opens
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range list {
		if own := o.sessions[p.Session]; own != nil && own.uses[p.Ino] != nil {
			o.forgive(p.Ino, own.uses[p.Ino], p.n)
			o.settle(p.Ino, o.node(p.Ino))
		}
	}
}

// Forgive ends all that a session was promised: it is known to rely on nothing.
func (t *Tree) Forgive(s SessionID) {
	o := &t.opens
	o.mu.Lock()
	defer o.mu.Unlock()
	if own := o.sessions[s]; own != nil {
		for ino, u := range own.uses {
			o.forgive(ino, u, 0)
		}
	}
}
