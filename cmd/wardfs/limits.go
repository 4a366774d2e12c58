package main

import (
	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/server"
)

// limits are those of the configuration, where 0 is none and not the default.
func limits(c *config.Config) server.Limits {
	most := func(n uint32) int {
		if n == 0 {
			return -1
		}
		return int(n)
	}
	l := server.Limits{
		Sessions: most(c.Limits.Sessions), Handles: most(c.Limits.Handles), Locks: most(c.Limits.Locks),
		Names: most(c.Limits.Names), Pending: int64(c.Limits.Pending),
	}
	if l.Pending == 0 {
		l.Pending = -1
	}
	return l
}
