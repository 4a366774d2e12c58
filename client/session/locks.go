package session

import (
	"fmt"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// lockKey is one owner's locks of one kind on one inode.
type lockKey struct {
	ino   posix.Ino
	kind  posix.LockKind
	owner uint64
}

// locks is what the session holds, as the replies told: what a server that has
// restarted is asked to give back. Two calls of one owner that are under way
// at once may be answered in another order than they were done; a program that
// does not care in which it gets one of two locks does not care after a
// restart either.
type locks map[lockKey]lockSpans

// lockSpans are the ranges of one owner, in order, without overlap.
type lockSpans []posix.Lock

// lay answers the spans with l over what was there; an Unlock leaves a gap.
// Neighbours of one type are not merged: they lock what one would.
func (s lockSpans) lay(l posix.Lock) lockSpans {
	l.End = min(l.End, posix.FileSizeMax)
	var out lockSpans
	put := func(x posix.Lock, lo, hi uint64) {
		x.Start, x.End = lo, hi
		out = append(out, x)
	}
	placed := l.Type == posix.LockUnlock
	for _, x := range s {
		if !placed && x.End >= l.Start { // l comes before what is left of x
			if x.Start < l.Start {
				put(x, x.Start, l.Start-1)
			}
			out, placed = append(out, l), true
		} else if x.Start < l.Start {
			put(x, x.Start, min(x.End, l.Start-1))
		}
		if x.End > l.End {
			put(x, max(x.Start, l.End+1), x.End)
		}
	}
	if !placed {
		out = append(out, l)
	}
	return out
}

// within are the spans' parts in the range of l, and Unlocks for the gaps: what
// makes the range of a server's owner what it is here.
func (s lockSpans) within(l posix.Lock) lockSpans {
	end := min(l.End, posix.FileSizeMax)
	var out lockSpans
	at := l.Start
	gap := func(to uint64) { // [at, to)
		if at < to {
			g := l
			g.Type, g.Start, g.End = posix.LockUnlock, at, to-1
			out = append(out, g)
		}
	}
	for _, x := range s {
		if x.End < at || x.Start > end {
			continue
		}
		x.Start, x.End = max(x.Start, at), min(x.End, end)
		gap(x.Start)
		out = append(out, x)
		at = x.End + 1
	}
	gap(end + 1)
	return out
}

func keyOf(ino posix.Ino, l posix.Lock) lockKey { return lockKey{ino, l.Kind, l.Owner} }

// whole is l as it is kept: flock(2) knows no ranges.
func whole(l posix.Lock) posix.Lock {
	if l.Kind == posix.LockFlock {
		l.Start, l.End = 0, posix.FileSizeMax
	}
	return l
}

func (t locks) set(ino posix.Ino, l posix.Lock) {
	k := keyOf(ino, l)
	if s := t[k].lay(whole(l)); len(s) > 0 {
		t[k] = s
	} else {
		delete(t, k)
	}
}

// refused notes that l was not given: a conversion of flock(2) has then lost
// what it had.
func (t locks) refused(ino posix.Ino, l posix.Lock, errno posix.Errno) {
	had := t[keyOf(ino, l)]
	if l.Kind != posix.LockFlock || l.Type == posix.LockUnlock || len(had) == 0 || had[0].Type == l.Type {
		return
	}
	switch errno {
	case posix.EAGAIN, posix.EINTR, posix.EDEADLK, posix.ENOLCK:
		delete(t, keyOf(ino, l))
	}
}

// any reports whether there are some on an inode.
func (t locks) any(ino posix.Ino) bool {
	for k := range t {
		if k.ino == ino {
			return true
		}
	}
	return false
}

// closed forgets all of an inode.
func (t locks) closed(ino posix.Ino) {
	for k := range t {
		if k.ino == ino {
			delete(t, k)
		}
	}
}

// note keeps the session's table in step with a reply; s.mu is held.
func (s *Session) note(c *proto.Call, r *proto.Reply) {
	switch op := c.Op.(type) {
	case *proto.Call_Setlk:
		l, _ := proto.FromLock(op.Setlk.GetLock())
		ino := posix.Ino(op.Setlk.Ino)
		if r.GetErrno() == 0 {
			s.locks.set(ino, l)
		} else {
			s.locks.refused(ino, l, posix.ErrnoOf(proto.Failure("setlk", r.GetErrno(), "")))
		}
	case *proto.Call_Unlock:
		if r.GetErrno() == 0 {
			delete(s.locks, lockKey{posix.Ino(op.Unlock.Ino), posix.LockKind(op.Unlock.Kind), op.Unlock.Owner})
		}
	case *proto.Call_Open:
		s.handleOpened(op.Open.Handle, r)
	case *proto.Call_Create:
		s.handleOpened(op.Create.Handle, r)
	case *proto.Call_Tmpfile:
		s.handleOpened(op.Tmpfile.Handle, r)
	case *proto.Call_Close:
		if r.GetErrno() == 0 {
			s.handleClosed(posix.Handle(op.Close.Handle))
			for _, h := range op.Close.More {
				s.handleClosed(posix.Handle(h))
			}
		}
	}
}

func (s *Session) handleOpened(h uint64, r *proto.Reply) {
	if r.GetErrno() == 0 {
		o := r.GetOpened()
		s.tickets[posix.Handle(h)] = ticket{ino: posix.Ino(o.GetAttr().GetIno()), token: o.GetTicket()}
	}
}

// handleClosed forgets a handle, and with the last one of an inode its locks.
func (s *Session) handleClosed(h posix.Handle) {
	t, ok := s.tickets[h]
	delete(s.tickets, h)
	if !ok || !s.locks.any(t.ino) {
		return
	}
	for _, other := range s.tickets {
		if other.ino == t.ino {
			return
		}
	}
	s.locks.closed(t.ino)
}

// abandon takes a call out for which nobody waits any more, unless there is a
// stream, on which it can be cancelled properly. A lock that was asked for may
// have been given nevertheless: the next stream begins with giving it back.
func (s *Session) abandon(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up != nil {
		return false
	}
	if op, ok := c.msg.Op.(*proto.Call_Setlk); ok && c.sent && s.calls[c.id] != nil {
		l, _ := proto.FromLock(op.Setlk.GetLock())
		s.locks.refused(posix.Ino(op.Setlk.Ino), l, posix.EINTR)
		s.undo = append(s.undo, undo{posix.Ino(op.Setlk.Ino), whole(l), c.msg.Cred})
	}
	delete(s.calls, c.id)
	return true
}

// undo is a lock that was asked for, and then nobody waited for the answer.
type undo struct {
	ino  posix.Ino
	lock posix.Lock
	cred *proto.Cred
}

// relock gives the server back the locks that it has forgotten. One that it
// refuses is lost, which nobody can be told but the log.
func (s *Session) relock(st *stream) error {
	s.mu.Lock()
	var asked []undo
	for k, spans := range s.locks {
		for _, l := range spans {
			asked = append(asked, undo{ino: k.ino, lock: l})
		}
	}
	s.mu.Unlock()
	ops := make([]*proto.Call, len(asked))
	for i, a := range asked {
		ops[i] = &proto.Call{Cred: &proto.Cred{}, Op: &proto.Call_ReclaimLock{ReclaimLock: &proto.ReclaimLock{
			Ino: uint64(a.ino), Lock: proto.ToLock(a.lock),
		}}}
	}
	return s.before(st, ops, func(i int, err error) {
		l := asked[i].lock
		s.c.Log.Error("a lock could not be taken back: others may have had it", "ino", uint64(asked[i].ino),
			"start", l.Start, "end", l.End, "pid", l.PID, "err", err)
		l.Type = posix.LockUnlock
		s.mu.Lock()
		s.locks.set(asked[i].ino, l)
		s.mu.Unlock()
	})
}

// undoLocks makes the server's locks what they are here, where calls were
// abandoned.
func (s *Session) undoLocks(st *stream) error {
	s.mu.Lock()
	undone := len(s.undo)
	var ops []*proto.Call
	for _, u := range s.undo {
		for _, l := range s.locks[keyOf(u.ino, u.lock)].within(u.lock) {
			ops = append(ops, &proto.Call{Cred: u.cred, Op: &proto.Call_Setlk{Setlk: &proto.Setlk{
				Ino: uint64(u.ino), Lock: proto.ToLock(l),
			}}})
		}
	}
	s.mu.Unlock()
	err := s.before(st, ops, func(i int, err error) {
		s.c.Log.Warn("a lock that was given up could not be set right", "err", fmt.Errorf("%v: %w", ops[i].GetSetlk().GetIno(), err))
	})
	if err == nil {
		s.mu.Lock()
		s.undo = s.undo[undone:]
		s.mu.Unlock()
	}
	return err
}
