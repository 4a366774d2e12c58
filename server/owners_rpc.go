package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// dispatchOwners does the calls about owners, which ask the tree nothing. It
// answers false for any other, unless that one brings an id that is nobody's.
func (t *talk) dispatchOwners(ctx context.Context, cred posix.Cred, c *proto.Call) (r *proto.Reply, ok bool) {
	var idents *proto.Idents
	var who *proto.Cred
	var err error
	switch op := c.Op.(type) {
	case *proto.Call_Ids:
		idents, err = t.ids(ctx, op.Ids, t.who.trusted || cred.Super)
	case *proto.Call_Names:
		idents, err = t.names(ctx, op.Names)
	case *proto.Call_Whoami:
		if !t.who.trusted {
			who = proto.ToCred(cred)
		}
	default:
		if err = t.checkOwners(ctx, cred, c); err == nil {
			return nil, false
		}
	}
	if err != nil {
		return failed(err), true
	}
	return &proto.Reply{Idents: idents, Cred: who}, true
}

func (t *talk) ids(ctx context.Context, m *proto.Idents, fresh bool) (*proto.Idents, error) {
	k, err := kind("ids", m, len(m.GetNames()))
	if err != nil {
		return nil, err
	}
	names := proto.FromNames(m.GetNames())
	if fresh {
		ids, err := t.makeIDs(ctx, k, names)
		return &proto.Idents{Kind: m.GetKind(), Ids: ids}, err
	}
	ids, err := t.s.ids.IDs(ctx, k, names, false)
	return &proto.Idents{Kind: m.GetKind(), Ids: ids}, err
}

func (t *talk) names(ctx context.Context, m *proto.Idents) (*proto.Idents, error) {
	k, err := kind("names", m, len(m.GetIds()))
	if err != nil {
		return nil, err
	}
	names, err := t.s.ids.Names(ctx, k, m.GetIds())
	return &proto.Idents{Kind: m.GetKind(), Names: proto.ToNames(names)}, err
}

func kind(op string, m *proto.Idents, n int) (idmap.Kind, error) {
	if m.GetKind() > uint32(idmap.Group) {
		return 0, posix.E(op, posix.EINVAL, fmt.Errorf("kind %d is not known", m.GetKind()))
	}
	if n > proto.MaxIdents {
		return 0, posix.E(op, posix.E2BIG, fmt.Errorf("%d at once, %d are allowed", n, proto.MaxIdents))
	}
	return idmap.Kind(m.GetKind()), nil
}

// errNobody is the cause of EINVAL for an id that the table has not given away:
// whoever is given it one day must not find that something is already theirs.
var errNobody = errors.New("the owner is no entry of the table of names")

// checkOwners refuses ids that are in the table's range and no entry of it.
func (t *talk) checkOwners(ctx context.Context, cred posix.Cred, c *proto.Call) error {
	if t.who.trusted {
		if err := t.checkCred(ctx, cred); err != nil {
			return err
		}
	}
	switch op := c.Op.(type) {
	case *proto.Call_Setattr:
		set := posix.SetMask(op.Setattr.GetSet())
		if set&posix.SetOwner != 0 {
			if err := t.checkOwner(ctx, idmap.User, op.Setattr.GetUid()); err != nil {
				return err
			}
		}
		if set&posix.SetGroup != 0 {
			return t.checkOwner(ctx, idmap.Group, op.Setattr.GetGid())
		}
	case *proto.Call_Setxattr:
		if name := string(op.Setxattr.GetName()); name == acl.XattrAccess || name == acl.XattrDefault {
			return t.checkACL(ctx, op.Setxattr.GetValue())
		}
	}
	return nil
}

// checkACL is checkOwner of all whom an ACL names. What is no ACL the tree
// refuses.
func (t *talk) checkACL(ctx context.Context, value []byte) error {
	list, err := acl.DecodeXattr(value)
	if err != nil {
		return nil
	}
	for _, e := range list {
		switch e.Tag {
		case acl.User:
			err = t.checkOwner(ctx, idmap.User, e.ID)
		case acl.Group:
			err = t.checkOwner(ctx, idmap.Group, e.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *talk) checkCred(ctx context.Context, c posix.Cred) error {
	if err := t.checkOwner(ctx, idmap.User, uint32(c.UID)); err != nil {
		return err
	}
	if err := t.checkOwner(ctx, idmap.Group, uint32(c.GID)); err != nil {
		return err
	}
	for _, g := range c.Groups {
		if err := t.checkOwner(ctx, idmap.Group, uint32(g)); err != nil {
			return err
		}
	}
	return nil
}

func (t *talk) checkOwner(ctx context.Context, k idmap.Kind, id uint32) error {
	has, err := t.s.ids.Has(ctx, k, id)
	if err == nil && !has {
		err = posix.E("owner", posix.EINVAL, fmt.Errorf("%s %#x: %w", k, id, errNobody))
	}
	return err
}
