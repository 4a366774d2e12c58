package remote

import (
	"context"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Quotas are the server's quotas, for a superuser. Each method is one call;
// done twice it has done no more than once.
type Quotas struct{ ns Namespace }

// QuotasAs binds them to a caller.
func QuotasAs(s Calls, c posix.Cred) Quotas { return Quotas{As(s, c)} }

func (q Quotas) ask(ctx context.Context, op proto.QuotaCall_Op, m *proto.Quota) (*proto.Reply, error) {
	return q.ns.ask(ctx, "quota", &proto.Call{Op: &proto.Call_Quota{Quota: &proto.QuotaCall{Op: op, Quota: m}}})
}

// List answers all quotas: directories, users, groups.
func (q Quotas) List(ctx context.Context) ([]*proto.Quota, error) {
	r, err := q.ask(ctx, proto.QuotaCall_LIST, nil)
	return r.GetQuotas(), err
}

// Set gives m's directory, user or group its limits.
func (q Quotas) Set(ctx context.Context, m *proto.Quota) error {
	_, err := q.ask(ctx, proto.QuotaCall_SET, m)
	return err
}

// Remove takes the quota of m's directory, user or group away.
func (q Quotas) Remove(ctx context.Context, m *proto.Quota) error {
	_, err := q.ask(ctx, proto.QuotaCall_REMOVE, m)
	return err
}

// Check counts anew and answers how many counters were wrong; with repair they
// are not any more.
func (q Quotas) Check(ctx context.Context, repair bool) (wrong int, err error) {
	op := proto.QuotaCall_CHECK
	if repair {
		op = proto.QuotaCall_REPAIR
	}
	r, err := q.ask(ctx, op, nil)
	return int(r.GetCount()), err
}
