// Package owners shows a namespace with the numbers of this host: a decorator
// that translates, by an [idmap.Map], whom a call is done for, the owners that
// it sets, the owners that it is told, and the ids in ACLs.
//
// It refuses to judge: what can't be translated is EINVAL, and what may be done
// is the server's to say.
package owners

import (
	"context"
	"errors"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
)

// Config is what the translation needs.
type Config struct {
	Map *idmap.Map
	// Callers says that the session states its callers: these are translated
	// too. Otherwise nobody reads them.
	Callers bool
	// Table, if not nil, is the table that a caller asks by himself.
	Table func(posix.Cred) idmap.Table
}

// As is as, with the numbers of this host. What it answers is a posix.Locks too,
// if what as answers is.
func As(c Config, as func(posix.Cred) posix.Namespace) func(posix.Cred) posix.Namespace {
	return func(cred posix.Cred) posix.Namespace {
		n := namespace{c: &c, names: c.Map, as: as, cred: cred}
		if c.Table != nil {
			n.names = c.Map.Through(c.Table(cred))
		}
		if !c.Callers {
			n.same = as(cred)
		}
		return n
	}
}

// namespace is the tree as one caller of this host sees it.
type namespace struct {
	c     *Config
	names *idmap.Map
	as    func(posix.Cred) posix.Namespace
	cred  posix.Cred      // in the host's numbers
	same  posix.Namespace // the one below, where the caller is not translated
}

var (
	_ posix.Namespace = namespace{}
	_ posix.Locks     = namespace{}
	_ posix.Now       = namespace{}
	_ posix.Soon      = namespace{}
	_ posix.Bound     = namespace{}
	_ posix.Promising = namespace{}
)

// Life passes on which session the namespace below is of.
func (n namespace) Life() (*posix.Life, uint64) { return posix.LifeOf(n.same) }

// inner is the namespace below, for the caller as the server knows it.
func (n namespace) inner(ctx context.Context, op string) (posix.Namespace, error) {
	if n.same != nil {
		return n.same, nil
	}
	m, c := n.names, n.cred
	uid, err := m.In(ctx, idmap.User, uint32(c.UID))
	if err != nil {
		return nil, wrong(op, err)
	}
	gid, err := m.In(ctx, idmap.Group, uint32(c.GID))
	if err != nil {
		return nil, wrong(op, err)
	}
	out := posix.Cred{UID: posix.UID(uid), GID: posix.GID(gid), Super: c.Super}
	if len(c.Groups) > 0 {
		if out.Groups, err = n.groups(ctx); err != nil {
			return nil, wrong(op, err)
		}
	}
	return n.as(out), nil
}

func (n namespace) groups(ctx context.Context) ([]posix.GID, error) {
	numbers := make([]uint32, len(n.cred.Groups))
	for i, g := range n.cred.Groups {
		numbers[i] = uint32(g)
	}
	ids, err := n.names.InAll(ctx, idmap.Group, numbers)
	if err != nil {
		return nil, err
	}
	out := make([]posix.GID, len(ids))
	for i, id := range ids {
		out[i] = posix.GID(id)
	}
	return out, nil
}

// wrong is EINVAL for an owner that can't be translated; what the server or the
// end of a context have said stays as it is.
func wrong(op string, err error) error {
	if errors.Is(err, idmap.ErrReserved) || errors.Is(err, idmap.ErrNoEntry) {
		return posix.E(op, posix.EINVAL, err)
	}
	return posix.E(op, posix.ErrnoOf(err), err)
}

// shown is a with the numbers of this host. Where the table can't be asked the
// ids stay, which are nobody's numbers: what was done must not be said to have
// failed.
func (n namespace) shown(ctx context.Context, a posix.Attr) posix.Attr {
	if a.UID.Named() {
		uid, _ := n.names.Out(ctx, idmap.User, uint32(a.UID))
		a.UID = posix.UID(uid)
	}
	if a.GID.Named() {
		gid, _ := n.names.Out(ctx, idmap.Group, uint32(a.GID))
		a.GID = posix.GID(gid)
	}
	return a
}

// showAll does shown for many, and asks the table for all of them at once.
func (n namespace) showAll(ctx context.Context, all []posix.Dirent) {
	var users, groups []uint32
	for i := range all {
		if a := &all[i].Attr; a.UID.Named() && (len(users) == 0 || users[len(users)-1] != uint32(a.UID)) {
			users = append(users, uint32(a.UID))
		}
		if a := &all[i].Attr; a.GID.Named() && (len(groups) == 0 || groups[len(groups)-1] != uint32(a.GID)) {
			groups = append(groups, uint32(a.GID))
		}
	}
	// What is not learnt now is asked for one by one, or stays an id.
	_ = n.names.Learn(ctx, idmap.User, users)
	_ = n.names.Learn(ctx, idmap.Group, groups)
	for i := range all {
		all[i].Attr = n.shown(ctx, all[i].Attr)
	}
}

// given is set with the namespace's ids.
func (n namespace) given(ctx context.Context, set posix.SetAttr) (posix.SetAttr, error) {
	if set.Set&posix.SetOwner != 0 {
		id, err := n.names.In(ctx, idmap.User, uint32(set.UID))
		if err != nil {
			return set, wrong("setattr", err)
		}
		set.UID = posix.UID(id)
	}
	if set.Set&posix.SetGroup != 0 {
		id, err := n.names.In(ctx, idmap.Group, uint32(set.GID))
		if err != nil {
			return set, wrong("setattr", err)
		}
		set.GID = posix.GID(id)
	}
	return set, nil
}
