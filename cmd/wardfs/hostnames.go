package main

import (
	"os/user"
	"strconv"
	"sync"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// hostNames are the names that this host has for ids, each asked for once.
func hostNames() acl.Names {
	return acl.Names{
		User: once(func(id posix.UID) string {
			u, err := user.LookupId(strconv.FormatUint(uint64(id), 10))
			if err != nil {
				return ""
			}
			return u.Username
		}),
		Group: once(func(id posix.GID) string {
			g, err := user.LookupGroupId(strconv.FormatUint(uint64(id), 10))
			if err != nil {
				return ""
			}
			return g.Name
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
