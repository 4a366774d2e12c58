package namespace

import (
	"context"
	"errors"
	"fmt"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// op is a changing operation. The numbers are stored in replies and never
// change their meaning.
type op uint8

const (
	_ op = iota
	opSetattr
	opMkdir
	opMknod
	opSymlink
	opLink
	opUnlink
	opRmdir
	opRename
	opCreate
	opOpen // with OpenTrunc
	opCommit
	opSetxattr
	opRemovexattr
	opTmpfile
	opAllocate
	opCopyRange
)

var opNames = [...]string{
	opSetattr: "setattr", opMkdir: "mkdir", opMknod: "mknod", opSymlink: "symlink", opLink: "link",
	opUnlink: "unlink", opRmdir: "rmdir", opRename: "rename", opCreate: "create", opOpen: "open",
	opCommit: "commit", opSetxattr: "setxattr", opRemovexattr: "removexattr",
	opTmpfile: "tmpfile", opAllocate: "allocate", opCopyRange: "copyrange",
}

func (o op) String() string { return opNames[o] }

// snap is a state of the namespace inside one transaction of the engine, with
// the inodes that were read from it.
type snap struct {
	t      *Tree
	r      engine.Reader
	inodes []*inode
	fresh  uint64 // the first number of an ACL that this transaction interned; 0: none
}

// txn is a snap that changes. It lives for one run of the engine's function.
type txn struct {
	snap
	tx      engine.Tx
	v       View
	now     posix.Time
	refs    map[sliceName]*slice
	changes []Change
	doomed  []posix.Ino
	moved   []posix.Ino       // directories: see dirs
	taken   map[QuotaID]taken // of quotas
	free    bool              // of the limits of quotas
	grew    bool              // something is stored that was not
	freed   int64             // bytes of slices that lost their last name
	made    int               // inodes
	erased  int               // inodes
	ragged  posix.Ino         // the file whose extents may be worth compacting
	answer  posix.Attr        // what the operation answers
	bytes   uint64            // likewise, of a copy
	again   bool              // it had been applied before
}

// view runs f over a snapshot and gives errors their op.
func (v View) view(ctx context.Context, op string, f func(*snap) error) error {
	err := v.t.eng.View(ctx, func(r engine.Reader) error {
		return f(&snap{t: v.t, r: r})
	})
	v.t.damage(op, err)
	return wrap(op, err)
}

// update runs f once in effect, however often in fact, and answers the
// attributes of the inode that f answers, if any. again says that the view's
// slot had applied the operation before and that f did not run.
func (v View) update(ctx context.Context, o op, f func(*txn) (*inode, error)) (a posix.Attr, again bool, err error) {
	x, err := v.apply(ctx, o, f)
	if err != nil {
		return posix.Attr{}, false, err
	}
	return x.answer, x.again, nil
}

// apply is update, and answers the transaction that was.
func (v View) apply(ctx context.Context, o op, f func(*txn) (*inode, error)) (*txn, error) {
	x, err := v.run(ctx, func(x *txn) error {
		done, err := x.replay(o)
		if done || err != nil {
			return err
		}
		n, err := f(x)
		if err != nil {
			return err
		}
		if n != nil {
			x.answer = n.Attr
		}
		x.remember(o, x.answer.Ino)
		return nil
	})
	if err != nil {
		v.t.damage(o.String(), err)
		return nil, wrap(o.String(), err)
	}
	return x, nil
}

// damage logs a record that can't be right, once for each time it is met.
func (t *Tree) damage(op string, err error) {
	if errors.Is(err, errRecord) {
		t.log.Error("the namespace is damaged", "op", op, "err", err)
	}
}

// run is an engine transaction of the view: it writes back the inodes and
// references that f changed, and when all is durable tells what changed.
func (v View) run(ctx context.Context, f func(*txn) error) (*txn, error) {
	x, err := v.gated(ctx, f)
	if over := (*overQuota)(nil); errors.As(err, &over) && v.t.hasten(ctx) {
		return v.gated(ctx, f)
	}
	return x, err
}

func (v View) gated(ctx context.Context, f func(*txn) error) (*txn, error) {
	v.t.quotas.gate.RLock()
	defer v.t.quotas.gate.RUnlock()
	return v.attempt(ctx, f)
}

// attempt is run, for who holds the gate of the quotas.
func (v View) attempt(ctx context.Context, f func(*txn) error) (*txn, error) {
	var x *txn
	err := v.t.eng.Update(ctx, func(tx engine.Tx) error {
		if x != nil {
			x.settle(false) // the run that came to nothing
			x.spare()
		}
		x = &txn{snap: snap{t: v.t, r: tx}, tx: tx, v: v, now: v.t.now()}
		if err := f(x); err != nil {
			return err
		}
		return x.flush()
	})
	if x != nil {
		x.settle(err == nil)
		x.spare()
	}
	if err != nil {
		return nil, err
	}
	v.t.files.Add(int64(x.made - x.erased))
	x.tellDirs()
	v.t.backlog.Add(x.freed)
	x.tellRagged()
	for _, c := range x.changes {
		v.t.cfg.Changed(c)
	}
	if v.changes != nil {
		*v.changes = append(*v.changes, x.changes...)
	}
	return x, nil
}

// tellDirs does what [View.Telling] says.
func (x *txn) tellDirs() {
	if x.v.dirs == nil {
		return
	}
	*x.v.dirs = nil
	for _, n := range x.inodes {
		if n.dirty && !n.gone && n.Mode.IsDir() && n.Ino != x.answer.Ino {
			*x.v.dirs = append(*x.v.dirs, n.Attr)
		}
	}
}

// spare lets those be opened again that the transaction was about to delete,
// and those be remembered that it was about to move.
func (x *txn) spare() {
	for _, ino := range x.doomed {
		x.t.opens.spare(ino)
	}
	for _, dir := range x.moved {
		x.t.dirs.moved(dir)
	}
	x.doomed, x.moved = nil, nil
}

// flush writes back what was changed in memory.
func (x *txn) flush() error {
	if err := x.charge(); err != nil {
		return err
	}
	for _, n := range x.inodes {
		if n.dirty && !n.gone {
			x.tx.Put(inodeKey(n.Ino), n.encode())
		}
	}
	x.flushRefs()
	return nil
}

// replay answers whether the view's slot has applied its operation already.
func (x *txn) replay(o op) (done bool, err error) {
	if x.v.seq == 0 {
		return false, nil
	}
	b, ok, err := x.r.Get(replyKey(x.v.sess, x.v.slot))
	if !ok || err != nil {
		return false, err
	}
	r, err := decodeReply(b)
	switch {
	case err != nil:
		return false, err
	case r.seq < x.v.seq:
		return false, nil
	case r.seq > x.v.seq:
		return false, posix.ESTALE
	case r.op != o:
		return false, posix.EPROTO
	}
	x.again, x.bytes = true, r.bytes
	if r.ino != 0 {
		n, err := x.inode(r.ino)
		if err != nil {
			return false, err
		}
		x.answer = n.Attr
	}
	return true, nil
}

func (x *txn) remember(o op, ino posix.Ino) {
	if x.v.seq != 0 {
		x.tx.Put(replyKey(x.v.sess, x.v.slot), reply{op: o, seq: x.v.seq, ino: ino, bytes: x.bytes}.encode())
	}
}

// wrap makes any error one that bears op and an errno.
func wrap(op string, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *posix.Error:
		return e
	case posix.Errno:
		return posix.E(op, e, nil)
	}
	return posix.E(op, posix.ErrnoOf(err), err)
}

// inode reads the record of ino, the same pointer each time: ESTALE if there
// is none.
func (s *snap) inode(ino posix.Ino) (*inode, error) {
	for _, n := range s.inodes {
		if n.Ino == ino {
			if n.gone {
				return nil, posix.ESTALE
			}
			return n, nil
		}
	}
	b, ok, err := s.r.Get(inodeKey(ino))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, posix.ESTALE
	}
	n, err := decodeInode(ino, b)
	if err == nil {
		n.access, err = s.aclOf(n.acl)
	}
	if err != nil {
		return nil, err
	}
	n.was = n.charged()
	s.inodes = append(s.inodes, n)
	return n, nil
}

// named reads the inode that an entry names. That it is missing is damage.
func (s *snap) named(e entry) (*inode, error) {
	n, err := s.inode(e.ino)
	if err == posix.ESTALE {
		return nil, fmt.Errorf("%w: a name of inode %d, which is not there", errRecord, e.ino)
	}
	return n, err
}

// touch records that attributes of n changed.
func (x *txn) touch(n *inode) {
	n.Ctime = x.now
	n.Change++
	n.dirty = true
}

// told notes what to tell when the transaction is durable.
func (x *txn) told(k ChangeKind, n *inode) {
	x.changes = append(x.changes, Change{By: x.v.sess, Kind: k, Ino: n.Ino})
}

func (x *txn) toldEntry(k ChangeKind, d *inode, name string, n *inode) {
	x.changes = append(x.changes, Change{By: x.v.sess, Kind: k | ChangeEntry, Ino: n.Ino, Dir: d.Ino, Name: name})
}
