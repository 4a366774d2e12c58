package server

import (
	"context"
	"fmt"
	"time"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/namespace"
)

// openAudit opens the log that the configuration asks for.
func (s *Server) openAudit() (*audit.Log, error) {
	if s.c.Audit == nil {
		return nil, nil
	}
	c := *s.c.Audit
	c.Names = audit.Names{
		User:  named[posix.UID](s, idmap.User),
		Group: named[posix.GID](s, idmap.Group),
	}
	c.Where = func(inos []posix.Ino) []string { return s.tree.Paths(context.Background(), inos) }
	c.Log, c.Metrics, c.Now = s.c.Log, s.c.Registry, s.c.Now
	return audit.Open(c)
}

// ReopenAudit opens the audit log by its name again.
func (s *Server) ReopenAudit() { s.audit.Reopen() }

// mostNamed is how many names the audit log's writer remembers.
const mostNamed = 1 << 16

// named answers the names of a kind, for the audit log's writer alone. What the
// table has answered once is so for ever.
func named[ID posix.UID | posix.GID](s *Server, k idmap.Kind) func(ID) string {
	known := map[ID]string{0: "root"}
	return func(id ID) string {
		name, ok := known[id]
		if ok || id < posix.NamedFirst || id >= posix.NamedEnd {
			return name
		}
		names, err := s.ids.Names(context.Background(), k, []uint32{uint32(id)})
		if err != nil || names[0] == "" {
			return ""
		}
		if len(known) >= mostNamed {
			clear(known)
			known[0] = "root"
		}
		known[id] = names[0]
		return names[0]
	}
}

// actor is the session as the audit log has it.
func (t *talk) actor() audit.Who {
	p := t.who.principal
	return audit.Who{User: p.Name, Via: p.Via, Auth: p.Mechanism, Peer: remote(t.st.Context()), Session: uint64(t.sess.ID), Client: t.sess.Client}
}

// about is what the audit log must know of a call before it is done; nil if it
// will not be in the log. A handle is looked up now: closing it forgets it.
func (t *talk) about(op string, c *proto.Call) *audit.Record {
	if !t.s.audit.WantsAny(op) {
		return nil
	}
	r := &audit.Record{Op: op, Who: t.acts}
	cred := t.standing.now.Load().cred
	if t.who.trusted {
		cred = posix.Cred{UID: posix.UID(c.GetCred().GetUid()), GID: posix.GID(c.GetCred().GetGid())}
	}
	r.Src, r.Dst = t.subjects(c)
	if g := t.gate.Load(); g != nil {
		cred = g.cred(cred)
		for _, ino := range []*posix.Ino{&r.Src.Ino, &r.Src.Dir, &r.Dst.Ino, &r.Dst.Dir} {
			*ino = g.real(*ino)
		}
	}
	r.Who.Caller = audit.Caller{Known: !t.who.trusted || c.GetCred() != nil, Stated: t.who.trusted, UID: cred.UID, GID: cred.GID}
	return r
}

// audited writes down how the call ended.
func (t *talk) audited(r *audit.Record, reply *proto.Reply, start time.Time, took time.Duration) {
	if r == nil {
		return
	}
	r.Errno = posix.ErrnoOf(proto.Failure("", reply.GetErrno(), ""))
	if !t.s.audit.Wants(r.Op, r.Errno) {
		return
	}
	r.Time, r.Took = start.Add(took), took
	a := reply.GetAttr()
	if a == nil {
		a = reply.GetOpened().GetAttr()
	}
	if a != nil {
		r.Ino = t.gate.Load().real(posix.Ino(a.GetIno()))
		r.Perm = audit.Perm{Known: true, UID: posix.UID(a.GetUid()), GID: posix.GID(a.GetGid()), Mode: posix.Mode(a.GetMode())}
	} else {
		r.Ino = r.Src.Ino
	}
	t.s.audit.Put(*r)
}

// reopened writes down opens that a handle of the session has served without
// asking: the caller's right was judged when that was opened. What the session
// does not have open is not believed.
func (t *talk) reopened(c *proto.Call, m *proto.Reopened) error {
	if len(m.GetOpens()) > proto.MaxCloses {
		return posix.E("reopened", posix.E2BIG, nil)
	}
	if !t.s.audit.Wants("open", 0) {
		return nil
	}
	whole := t.about("open", c)
	for _, o := range m.GetOpens() {
		ino := t.s.tree.Handle(namespace.SessionID(t.sess.ID), posix.Handle(o.GetHandle()))
		if ino == 0 {
			return posix.E("reopened", posix.EBADF, nil)
		}
		r := *whole
		r.Src, r.Ino = audit.Ref{Ino: ino}, ino
		r.Dst.Text = []byte("again")
		r.Time = t.s.c.Now().Add(-time.Duration(o.GetAgoMs()) * time.Millisecond)
		t.s.audit.Put(r)
	}
	return nil
}

// subjects is what a call is about, and where to.
func (t *talk) subjects(c *proto.Call) (src, dst audit.Ref) {
	entry := func(dir uint64, name []byte) audit.Ref { return audit.Ref{Dir: posix.Ino(dir), Name: name} }
	inode := func(ino uint64) audit.Ref { return audit.Ref{Ino: posix.Ino(ino)} }
	switch op := c.Op.(type) {
	case *proto.Call_Lookup:
		src = entry(op.Lookup.GetDir(), op.Lookup.GetName())
	case *proto.Call_Getattr:
		src = inode(op.Getattr.GetIno())
	case *proto.Call_Setattr:
		src = inode(op.Setattr.GetIno())
	case *proto.Call_Access:
		src = inode(op.Access.GetIno())
	case *proto.Call_Readlink:
		src = inode(op.Readlink.GetIno())
	case *proto.Call_Mkdir:
		src = entry(op.Mkdir.GetDir(), op.Mkdir.GetName())
	case *proto.Call_Mknod:
		src = entry(op.Mknod.GetDir(), op.Mknod.GetName())
	case *proto.Call_Symlink:
		src, dst.Text = entry(op.Symlink.GetDir(), op.Symlink.GetName()), op.Symlink.GetTarget()
	case *proto.Call_Link:
		src, dst = inode(op.Link.GetIno()), entry(op.Link.GetDir(), op.Link.GetName())
	case *proto.Call_Unlink:
		src = entry(op.Unlink.GetDir(), op.Unlink.GetName())
	case *proto.Call_Rmdir:
		src = entry(op.Rmdir.GetDir(), op.Rmdir.GetName())
	case *proto.Call_Rename:
		src, dst = entry(op.Rename.GetFrom(), op.Rename.GetName()), entry(op.Rename.GetTo(), op.Rename.GetNewName())
	case *proto.Call_Readdir:
		src = inode(op.Readdir.GetDir())
	case *proto.Call_Getxattr:
		src, dst.Text = inode(op.Getxattr.GetIno()), op.Getxattr.GetName()
	case *proto.Call_Setxattr:
		src, dst.Text = inode(op.Setxattr.GetIno()), op.Setxattr.GetName()
	case *proto.Call_Listxattr:
		src = inode(op.Listxattr.GetIno())
	case *proto.Call_Removexattr:
		src, dst.Text = inode(op.Removexattr.GetIno()), op.Removexattr.GetName()
	case *proto.Call_Evict:
		src.Text = fmt.Appendf(nil, "session:%d", op.Evict.GetSession())
	case *proto.Call_TokenIssue:
		src.Text, dst.Text = fmt.Appendf(nil, "token:%x", op.TokenIssue.GetId()), []byte(op.TokenIssue.GetRenewer())
	case *proto.Call_TokenRenew:
		src.Text = fmt.Appendf(nil, "token:%x", op.TokenRenew.GetId())
	case *proto.Call_TokenCancel:
		src.Text = fmt.Appendf(nil, "token:%x", op.TokenCancel.GetId())
	case *proto.Call_Statfs:
		src = inode(op.Statfs.GetIno())
	case *proto.Call_Quota:
		return quotaSubjects(op.Quota)
	default:
		return t.fileSubjects(c)
	}
	return src, dst
}

// fileSubjects is subjects for the calls on open files.
func (t *talk) fileSubjects(c *proto.Call) (src, dst audit.Ref) {
	handle := func(h uint64) audit.Ref {
		return audit.Ref{Ino: t.s.tree.Handle(namespace.SessionID(t.sess.ID), posix.Handle(h))}
	}
	switch op := c.Op.(type) {
	case *proto.Call_Create:
		src = audit.Ref{Dir: posix.Ino(op.Create.GetDir()), Name: op.Create.GetName()}
	case *proto.Call_Tmpfile:
		src.Ino = posix.Ino(op.Tmpfile.GetDir())
	case *proto.Call_Open:
		src.Ino = posix.Ino(op.Open.GetIno())
	case *proto.Call_Close:
		src = handle(op.Close.GetHandle())
	case *proto.Call_Layout:
		src = handle(op.Layout.GetHandle())
	case *proto.Call_Commit:
		src = handle(op.Commit.GetHandle())
	case *proto.Call_Allocate:
		src = handle(op.Allocate.GetHandle())
	case *proto.Call_CopyRange:
		src, dst = handle(op.CopyRange.GetFrom()), handle(op.CopyRange.GetTo())
	case *proto.Call_Getlk:
		src.Ino = posix.Ino(op.Getlk.GetIno())
	case *proto.Call_Setlk:
		src.Ino = posix.Ino(op.Setlk.GetIno())
	case *proto.Call_Unlock:
		src.Ino = posix.Ino(op.Unlock.GetIno())
	}
	return src, dst
}

// attached writes down that a session has begun or come back, or why it may not.
func (t *talk) attached(start time.Time, err error) {
	r := audit.Record{Op: "attach", Time: t.s.c.Now(), Took: time.Since(start), Errno: posix.ErrnoOf(err)}
	if err == nil {
		t.acts = t.actor()
		r.Who = t.acts
	} else {
		r.Who = audit.Who{Peer: remote(t.st.Context())} // nobody has been authenticated
	}
	t.s.audit.Put(r)
}

func (t *talk) detached() {
	t.s.audit.Put(audit.Record{Op: "detach", Time: t.s.c.Now(), Who: t.acts})
}
