package main

import (
	"context"
	"os/user"
	"strconv"
	"sync"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
)

// hostNames are the names of a tree's owners for a verb: those that this host
// has, and to show owners that it does not know those of the server's table.
// Each is asked for once. To give something to a name this host must know it:
// asking the server would make an entry of every slip of the hand.
func hostNames(ctx context.Context, t idmap.Table) acl.Names {
	return acl.Names{
		User: once(func(id posix.UID) string {
			if u, err := user.LookupId(strconv.FormatUint(uint64(id), 10)); err == nil {
				return u.Username
			}
			return stranger(ctx, t, idmap.User, uint32(id), id.Named())
		}),
		Group: once(func(id posix.GID) string {
			if g, err := user.LookupGroupId(strconv.FormatUint(uint64(id), 10)); err == nil {
				return g.Name
			}
			return stranger(ctx, t, idmap.Group, uint32(id), id.Named())
		}),
		UserID: func(name string) (posix.UID, bool) {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, false
			}
			n, err := strconv.ParseUint(u.Uid, 10, 32)
			return posix.UID(n), err == nil
		},
		GroupID: func(name string) (posix.GID, bool) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return 0, false
			}
			n, err := strconv.ParseUint(g.Gid, 10, 32)
			return posix.GID(n), err == nil
		},
	}
}

// stranger is the name of an owner that this host does not know.
func stranger(ctx context.Context, t idmap.Table, k idmap.Kind, id uint32, named bool) string {
	if !named {
		return ""
	}
	names, err := t.Names(ctx, k, []uint32{id})
	if err != nil || len(names) != 1 {
		return ""
	}
	return names[0]
}

// once remembers what f has answered.
func once[K comparable, V any](f func(K) V) func(K) V {
	var mu sync.Mutex
	known := map[K]V{}
	return func(k K) V {
		mu.Lock()
		defer mu.Unlock()
		v, ok := known[k]
		if !ok {
			v = f(k)
			known[k] = v
		}
		return v
	}
}
