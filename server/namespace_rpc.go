package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/namespace"
)

// opName is the label of a call in errors and metrics: "lookup".
func opName(c *proto.Call) string {
	op := c.GetOp()
	if op == nil {
		return "none"
	}
	return strings.ToLower(strings.TrimPrefix(reflect.TypeOf(op).Elem().Name(), "Call_"))
}

// call does one call for its caller, if the session's epoch is still in force.
func (t *talk) call(ctx context.Context, op string, c *proto.Call, changes *[]namespace.Change) *proto.Reply {
	if c.GetEpoch() != t.epoch || !t.sess.Current(t.epoch) {
		return failed(posix.E(op, posix.ESTALE, errors.New("the session has moved on")))
	}
	cred, err := t.caller(ctx, op, c)
	if err != nil {
		return failed(err)
	}
	if c.GetSlot() >= slots {
		return failed(posix.E(op, posix.EPROTO, fmt.Errorf("slot %d of %d", c.GetSlot(), slots)))
	}
	g := t.gate.Load()
	if g != nil {
		cred = g.cred(cred)
	}
	if r, ok := t.dispatchAdmin(ctx, cred, c); ok {
		return r
	}
	if g != nil {
		if err := g.enter(ctx, c); err != nil {
			return failed(posix.E(op, posix.ErrnoOf(err), err))
		}
	}
	if r, ok := t.dispatchOwners(ctx, cred, c); ok {
		return r
	}
	var dirs []posix.Attr
	view := t.s.tree.As(cred).In(namespace.SessionID(t.sess.ID)).Once(c.GetSlot(), c.GetSeq()).Telling(&dirs).Changing(changes).Promising(t.promising)
	r := new(proto.Reply)
	err = t.dispatch(ctx, view, c, r)
	for _, a := range dirs {
		r.Dirs = append(r.Dirs, proto.ToAttr(a))
	}
	if err == nil && g != nil {
		err = g.leave(ctx, c, r) // last: it sees to every inode that the reply names
	}
	if err != nil {
		return failed(err)
	}
	return r
}

// dispatch is long because there are many operations, each a line or two: what
// they mean is the tree's.
func (t *talk) dispatch(ctx context.Context, ns namespace.View, c *proto.Call, r *proto.Reply) (err error) {
	attr := func(a posix.Attr, err error) error {
		if err == nil {
			r.Attr = proto.ToAttr(a)
		}
		return err
	}
	switch op := c.Op.(type) {
	case *proto.Call_Lookup:
		m := op.Lookup
		return attr(ns.Lookup(ctx, posix.Ino(m.Dir), string(m.Name)))
	case *proto.Call_Getattr:
		return attr(ns.Getattr(ctx, posix.Ino(op.Getattr.Ino)))
	case *proto.Call_Setattr:
		ino, set := proto.FromSetattr(op.Setattr)
		return attr(ns.Setattr(ctx, ino, set))
	case *proto.Call_Access:
		return ns.Access(ctx, posix.Ino(op.Access.Ino), posix.Perm(op.Access.Want&7))
	case *proto.Call_Readlink:
		target, err := ns.Readlink(ctx, posix.Ino(op.Readlink.Ino))
		r.Value = []byte(target)
		return err
	case *proto.Call_Mkdir:
		m := op.Mkdir
		return attr(ns.Mkdir(ctx, posix.Ino(m.Dir), string(m.Name), posix.Mode(m.Mode), posix.Mode(m.Umask)))
	case *proto.Call_Mknod:
		m := op.Mknod
		return attr(ns.Mknod(ctx, posix.Ino(m.Dir), string(m.Name), posix.Mode(m.Mode), posix.Mode(m.Umask), m.Rdev))
	case *proto.Call_Symlink:
		m := op.Symlink
		return attr(ns.Symlink(ctx, posix.Ino(m.Dir), string(m.Name), string(m.Target)))
	case *proto.Call_Link:
		m := op.Link
		return attr(ns.Link(ctx, posix.Ino(m.Ino), posix.Ino(m.Dir), string(m.Name)))
	case *proto.Call_Unlink:
		return ns.Unlink(ctx, posix.Ino(op.Unlink.Dir), string(op.Unlink.Name))
	case *proto.Call_Rmdir:
		return ns.Rmdir(ctx, posix.Ino(op.Rmdir.Dir), string(op.Rmdir.Name))
	case *proto.Call_Rename:
		m := op.Rename
		return ns.Rename(ctx, posix.Ino(m.From), string(m.Name), posix.Ino(m.To), string(m.NewName), posix.RenameFlags(m.Flags))
	case *proto.Call_Readdir:
		m := op.Readdir
		entries, err := ns.Readdir(ctx, posix.Ino(m.Dir), posix.Handle(m.Handle), posix.Cookie(m.Cookie), int(min(m.Max, posix.ReaddirMax)), m.Plus)
		r.Entries = proto.ToDirents(entries)
		return err
	case *proto.Call_Getxattr:
		r.Value, err = ns.Getxattr(ctx, posix.Ino(op.Getxattr.Ino), string(op.Getxattr.Name))
		return err
	case *proto.Call_Setxattr:
		m := op.Setxattr
		return ns.Setxattr(ctx, posix.Ino(m.Ino), string(m.Name), m.Value, posix.XattrFlags(m.Flags))
	case *proto.Call_Listxattr:
		names, err := ns.Listxattr(ctx, posix.Ino(op.Listxattr.Ino))
		for _, n := range names {
			r.Names = append(r.Names, []byte(n))
		}
		return err
	case *proto.Call_Removexattr:
		return ns.Removexattr(ctx, posix.Ino(op.Removexattr.Ino), string(op.Removexattr.Name))
	case *proto.Call_Quota:
		return t.quota(ctx, ns, op.Quota, r)
	case *proto.Call_Statfs:
		s, err := ns.Statfs(ctx, posix.Ino(op.Statfs.Ino))
		r.Statfs = proto.ToStatfs(s)
		return err
	}
	return t.dispatchFile(ctx, ns, c, r)
}

// dispatchFile is dispatch for the calls on open files.
func (t *talk) dispatchFile(ctx context.Context, ns namespace.View, c *proto.Call, r *proto.Reply) error {
	attr := func(a posix.Attr, err error) error {
		if err == nil {
			r.Attr = proto.ToAttr(a)
		}
		return err
	}
	switch op := c.Op.(type) {
	case *proto.Call_Create:
		m := op.Create
		o, err := ns.Create(ctx, posix.Ino(m.Dir), string(m.Name), posix.Mode(m.Mode), posix.Mode(m.Umask), posix.Handle(m.Handle), posix.OpenFlags(m.Flags))
		return t.opened(ctx, ns, r, o, m.Handle, m.Flags, err)
	case *proto.Call_Tmpfile:
		m := op.Tmpfile
		o, err := ns.Tmpfile(ctx, posix.Ino(m.Dir), posix.Mode(m.Mode), posix.Mode(m.Umask), posix.Handle(m.Handle), posix.OpenFlags(m.Flags))
		return t.opened(ctx, ns, r, o, m.Handle, m.Flags, err)
	case *proto.Call_Open:
		m := op.Open
		flags := posix.OpenFlags(m.Flags)
		o, err := ns.Open(ctx, posix.Ino(m.Ino), posix.Handle(m.Handle), flags)
		if err == nil && flags&posix.OpenData != 0 && flags&(posix.OpenRead|posix.OpenExec) != 0 {
			o.Blocks = t.s.whole(ctx, o)
		}
		return t.opened(ctx, ns, r, o, m.Handle, uint32(flags&^posix.OpenData), err)
	case *proto.Call_Close:
		return ns.Close(ctx, posix.Handle(op.Close.Handle))
	case *proto.Call_Layout:
		m := op.Layout
		es, end, err := ns.Layout(ctx, posix.Handle(m.Handle), m.Off, m.Length)
		r.Extents, r.End = proto.ToExtents(es), end
		return err
	case *proto.Call_Commit:
		h, commit, errno := proto.FromCommit(op.Commit)
		if errno != 0 {
			return posix.E("commit", errno, nil)
		}
		return attr(t.s.commit(ctx, ns, h, commit))
	case *proto.Call_Allocate:
		m := op.Allocate
		return attr(ns.Allocate(ctx, posix.Handle(m.Handle), posix.AllocMode(m.Mode), m.Off, m.Length))
	case *proto.Call_CopyRange:
		m := op.CopyRange
		n, a, err := ns.CopyRange(ctx, posix.Handle(m.From), m.Off, posix.Handle(m.To), m.ToOff, m.Length)
		r.Count = n
		return attr(a, err)
	case *proto.Call_Reopened:
		return t.reopened(c, op.Reopened)
	case *proto.Call_Reclaim:
		return t.reclaim(ctx, op.Reclaim.Ticket)
	}
	return t.dispatchLock(ctx, ns, c, r)
}

// opened adds to an open file what only the server can sign: the capability to
// its blocks, and the ticket that opens it again after a restart.
func (t *talk) opened(ctx context.Context, ns namespace.View, r *proto.Reply, o posix.Opened, handle uint64, flags uint32, err error) error {
	if err != nil {
		return err
	}
	g := capability.Grant{
		Session: uint64(t.sess.ID), Epoch: t.epoch, File: o.Attr.Ino,
		Handle: posix.Handle(handle), Rights: posix.OpenFlags(flags), UID: ns.UID(),
	}
	g.Kind = capability.Ticket
	ticket := t.s.tickets.Seal(g)
	if o.Attr.Mode.IsReg() && o.Attr.Size > 0 { // an empty file has none
		// Asked after the layout was read, so that it covers what that names,
		// unless the file was cut since: then EACCES makes the client ask anew.
		if g.Origins, err = t.s.tree.Origins(ctx, o.Attr.Ino); err != nil {
			return err
		}
	}
	g.Kind, g.Expires = capability.Capability, t.proven.cap(t.s.c.Now().Add(t.s.c.CapabilityLife))
	o.Capability = t.s.keys.ring().Seal(g)
	r.Opened = proto.ToOpened(o)
	r.Opened.Ticket = ticket
	return nil
}

// reclaim opens a handle again for a session that had it before a restart: the
// mode may have changed since, so the ticket is asked and not the inode.
func (t *talk) reclaim(ctx context.Context, ticket []byte) error {
	g, err := t.s.tickets.Open(capability.Ticket, ticket, t.s.c.Now())
	if err != nil || g.Session != uint64(t.sess.ID) {
		return posix.E("reclaim", posix.EACCES, errors.Join(err, errors.New("not a ticket of this session")))
	}
	return t.s.tree.Reopen(ctx, namespace.SessionID(t.sess.ID), g.UID, g.File, g.Handle, g.Rights&^posix.OpenTrunc)
}
