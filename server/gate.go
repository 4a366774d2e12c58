package server

import (
	"context"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
)

// gate is what stands between a session's calls and the tree: the rule by which
// it mounts. It is the one place where a rule has an effect on calls: whom it
// squashes, what it makes read-only, which bits it takes away, and, through
// subtree, where it ends. A session for which a rule changes nothing has none.
type gate struct {
	rule export.Rule
	lent bool     // whoever acts for the principal is no superuser by that
	in   *subtree // nil: the whole tree
}

func newGate(t *talk, who admitted) *gate {
	g := &gate{who.rule, who.lent, newSubtree(t)}
	if g.rule.Plain() && !g.lent && g.in == nil {
		return nil
	}
	return g
}

// cred is whom a call acts as.
func (g *gate) cred(c posix.Cred) posix.Cred {
	c.Super = c.Super && !g.lent
	return g.rule.Cred(c)
}

// enter makes of a call what the tree is asked, or refuses it.
func (g *gate) enter(ctx context.Context, c *proto.Call) error {
	if g.rule.ReadOnly && !reads(c) {
		return posix.EROFS
	}
	g.limit(c)
	if g.in != nil {
		return g.in.enter(ctx, c)
	}
	return nil
}

// leave makes of the tree's answer what the session is told.
func (g *gate) leave(ctx context.Context, c *proto.Call, r *proto.Reply) error {
	if g.in != nil {
		return g.in.leave(ctx, c, r)
	}
	return nil
}

// real is the tree's number of what the session calls ino.
func (g *gate) real(ino posix.Ino) posix.Ino {
	if g != nil && g.in != nil && ino == posix.RootIno {
		return g.in.root
	}
	return ino
}

// reads reports whether a call changes nothing that others can see. A call that
// is not named here counts as one that does.
func reads(c *proto.Call) bool {
	switch op := c.Op.(type) {
	case *proto.Call_Lookup, *proto.Call_Getattr, *proto.Call_Readlink, *proto.Call_Readdir, *proto.Call_Statfs,
		*proto.Call_Getxattr, *proto.Call_Listxattr, *proto.Call_Layout, *proto.Call_Close, *proto.Call_Reopened, *proto.Call_Reclaim,
		*proto.Call_Getlk, *proto.Call_Setlk, *proto.Call_Unlock, *proto.Call_ReclaimLock, *proto.Call_Reclaimed,
		*proto.Call_Ids, *proto.Call_Names, *proto.Call_Whoami:
		return true
	case *proto.Call_Access:
		return posix.Perm(op.Access.GetWant())&posix.MayWrite == 0
	case *proto.Call_Open:
		return posix.OpenFlags(op.Open.GetFlags())&(posix.OpenWrite|posix.OpenTrunc) == 0
	}
	return false
}

// limit takes away the permission bits that the rule does not let be given.
func (g *gate) limit(c *proto.Call) {
	mode := func(mode, umask *uint32) {
		*mode = uint32(g.rule.Modes(posix.Mode(*mode)))
		*umask |= uint32(g.rule.Umask)
	}
	switch op := c.Op.(type) {
	case *proto.Call_Mkdir:
		mode(&op.Mkdir.Mode, &op.Mkdir.Umask)
	case *proto.Call_Mknod:
		mode(&op.Mknod.Mode, &op.Mknod.Umask)
	case *proto.Call_Create:
		mode(&op.Create.Mode, &op.Create.Umask)
	case *proto.Call_Tmpfile:
		mode(&op.Tmpfile.Mode, &op.Tmpfile.Umask)
	case *proto.Call_Setattr:
		if posix.SetMask(op.Setattr.Set)&posix.SetMode != 0 {
			op.Setattr.Mode = uint32(g.rule.Modes(posix.Mode(op.Setattr.Mode)))
		}
	case *proto.Call_Setxattr:
		g.limitACL(op.Setxattr)
	}
}

// limitACL does to an ACL what limit does to a mode. What is no ACL is left to
// the tree to refuse.
func (g *gate) limitACL(m *proto.Xattr) {
	if name := string(m.GetName()); name != acl.XattrAccess && name != acl.XattrDefault || g.rule.MaxMode == 0 {
		return
	}
	list, err := acl.DecodeXattr(m.GetValue())
	if err != nil || list == nil {
		return
	}
	for i, e := range list {
		class := g.rule.MaxMode >> 3 // the group's, whose mask holds down all that are named
		switch e.Tag {
		case acl.UserObj:
			class = g.rule.MaxMode >> 6
		case acl.Other:
			class = g.rule.MaxMode
		}
		list[i].Perm &= posix.Perm(class & 7)
	}
	m.Value = acl.EncodeXattr(list)
}
