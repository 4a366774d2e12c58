package remote

import (
	"context"
	"errors"
	"slices"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Table is the server's table of names. It remembers nothing.
type Table struct{ S Calls }

var _ idmap.Table = Table{}

var errShort = errors.New("the server answered another number of owners than it was asked for")

// IDs answers the ids of names. Entries are made in a trusted session and in
// that of a superuser; making one twice makes one, so that no slot is needed.
func (t Table) IDs(ctx context.Context, k idmap.Kind, names []string) ([]uint32, error) {
	var all []uint32
	for part := range slices.Chunk(names, proto.MaxIdents) {
		m := &proto.Idents{Kind: uint32(k), Names: proto.ToNames(part)}
		r, err := t.S.Call(ctx, "ids", posix.Cred{}, &proto.Call{Op: &proto.Call_Ids{Ids: m}}, false)
		if err != nil {
			return nil, err
		}
		if len(r.GetIdents().GetIds()) != len(part) {
			return nil, posix.E("ids", posix.EPROTO, errShort)
		}
		all = append(all, r.GetIdents().GetIds()...)
	}
	return all, nil
}

// Names answers the names of ids.
func (t Table) Names(ctx context.Context, k idmap.Kind, ids []uint32) ([]string, error) {
	var all []string
	for part := range slices.Chunk(ids, proto.MaxIdents) {
		m := &proto.Idents{Kind: uint32(k), Ids: part}
		r, err := t.S.Call(ctx, "names", posix.Cred{}, &proto.Call{Op: &proto.Call_Names{Names: m}}, false)
		if err != nil {
			return nil, err
		}
		if len(r.GetIdents().GetNames()) != len(part) {
			return nil, posix.E("names", posix.EPROTO, errShort)
		}
		all = append(all, proto.FromNames(r.GetIdents().GetNames())...)
	}
	return all, nil
}

// Whoami answers as whom a session acts that is not trusted.
func Whoami(ctx context.Context, s Calls) (cred posix.Cred, ok bool, err error) {
	r, err := s.Call(ctx, "whoami", posix.Cred{}, &proto.Call{Op: &proto.Call_Whoami{Whoami: &proto.Whoami{}}}, false)
	if err != nil || r.GetCred() == nil {
		return posix.Cred{}, false, err
	}
	return proto.FromCred(r.GetCred()), true, nil
}
