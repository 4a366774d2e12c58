package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/namespace"
)

// quota does what a superuser wants with quotas.
func (t *talk) quota(ctx context.Context, ns namespace.View, m *proto.QuotaCall, r *proto.Reply) error {
	if !ns.Super() {
		return posix.E("quota", posix.EPERM, errors.New("quotas are the superuser's"))
	}
	q := m.GetQuota()
	id := namespace.QuotaID{Kind: namespace.QuotaKind(min(q.GetKind(), 255)), ID: q.GetId()}
	tree := t.s.tree
	switch m.GetOp() {
	case proto.QuotaCall_LIST:
		for _, q := range tree.Quotas() {
			r.Quotas = append(r.Quotas, t.s.toQuota(ctx, q))
		}
		return nil
	case proto.QuotaCall_SET:
		if err := t.mayHaveQuota(ctx, id); err != nil {
			return err
		}
		return tree.SetQuota(ctx, id, namespace.Usage{Bytes: q.GetBytes(), Inodes: q.GetInodes()})
	case proto.QuotaCall_REMOVE:
		return tree.RemoveQuota(ctx, id)
	case proto.QuotaCall_CHECK, proto.QuotaCall_REPAIR:
		wrong, err := tree.CheckQuotas(ctx, m.GetOp() == proto.QuotaCall_REPAIR)
		r.Count = uint64(wrong)
		return err
	}
	return posix.E("quota", posix.EINVAL, errors.New("the server does not know this operation on quotas: it is older"))
}

// mayHaveQuota refuses owners that are nobody.
func (t *talk) mayHaveQuota(ctx context.Context, id namespace.QuotaID) error {
	if id.ID>>32 != 0 {
		return nil // for the tree to judge
	}
	switch id.Kind {
	case namespace.QuotaUser:
		return t.checkOwner(ctx, idmap.User, uint32(id.ID))
	case namespace.QuotaGroup:
		return t.checkOwner(ctx, idmap.Group, uint32(id.ID))
	}
	return nil
}

// quotaSubjects is what the audit log says of a call: the directory if it is
// about one, and what is done.
func quotaSubjects(m *proto.QuotaCall) (src, dst audit.Ref) {
	q := m.GetQuota()
	id := namespace.QuotaID{Kind: namespace.QuotaKind(min(q.GetKind(), 255)), ID: q.GetId()}
	switch m.GetOp() {
	case proto.QuotaCall_SET:
		dst.Text = fmt.Appendf(nil, "set %s bytes %d inodes %d", id, q.GetBytes(), q.GetInodes())
	case proto.QuotaCall_REMOVE:
		dst.Text = fmt.Appendf(nil, "remove %s", id)
	default:
		dst.Text = fmt.Appendf(nil, "%s", strings.ToLower(m.GetOp().String()))
	}
	if id.Kind == namespace.QuotaDir {
		src.Ino = posix.Ino(id.ID)
	}
	return src, dst
}

func (s *Server) toQuota(ctx context.Context, q namespace.Quota) *proto.Quota {
	m := &proto.Quota{
		Kind: uint32(q.Kind), Id: q.ID, Bytes: q.Limit.Bytes, Inodes: q.Limit.Inodes,
		UsedBytes: q.Used.Bytes, UsedInodes: q.Used.Inodes, Counting: q.Counting,
	}
	if q.Kind == namespace.QuotaDir {
		path, err := s.tree.Path(ctx, posix.Ino(q.ID))
		if err == nil {
			m.Path = []byte(path)
		}
	}
	return m
}
