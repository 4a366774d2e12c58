package owners

import (
	"context"
	"slices"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/identity/idmap"
)

// isACL reports whether an extended attribute holds ids.
func isACL(name string) bool { return name == acl.XattrAccess || name == acl.XattrDefault }

// inACL is the value of an ACL's attribute with the namespace's ids. A value
// that is no ACL stays as it is: the server says what is wrong with it.
func inACL(ctx context.Context, m *idmap.Map, value []byte) ([]byte, error) {
	list, err := acl.DecodeXattr(value)
	if err != nil || list == nil {
		return value, nil
	}
	for i, e := range list {
		if k, ok := named(e.Tag); ok {
			if list[i].ID, err = m.In(ctx, k, e.ID); err != nil {
				return nil, wrong("setxattr", err)
			}
		}
	}
	return acl.EncodeXattr(list.Sort()), nil
}

// outACL is the value of an ACL's attribute with the numbers of this host. Two
// entries that would show one number keep their ids, so that the list is valid.
func outACL(ctx context.Context, m *idmap.Map, value []byte) ([]byte, error) {
	list, err := acl.DecodeXattr(value)
	if err != nil || list == nil {
		return value, nil
	}
	for i, e := range list {
		k, ok := named(e.Tag)
		if !ok {
			continue
		}
		n, err := m.Out(ctx, k, e.ID)
		if err != nil {
			return nil, wrong("getxattr", err)
		}
		if !slices.ContainsFunc(list[:i], func(o acl.Entry) bool { return o.Tag == e.Tag && o.ID == n }) {
			list[i].ID = n
		}
	}
	return acl.EncodeXattr(list.Sort()), nil
}

// named is the kind of id that an entry bears, if it does.
func named(t acl.Tag) (idmap.Kind, bool) {
	switch t {
	case acl.User:
		return idmap.User, true
	case acl.Group:
		return idmap.Group, true
	}
	return 0, false
}
