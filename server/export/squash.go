package export

import (
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// Plain reports whether the rule changes nothing that its sessions ask for.
func (e Rule) Plain() bool {
	return !e.ReadOnly && e.Squash == SquashNone && e.Umask == 0 && e.Modes(posix.PermMask) == posix.PermMask
}

// Cred is whom the rule lets c act as. Root squashed has none of its groups:
// they say no more of who is behind it than its uid does. Who is no root keeps
// what it has but group 0 and the superuser's power.
func (e Rule) Cred(c posix.Cred) posix.Cred {
	nobody := posix.Cred{UID: Nobody, GID: Nobody}
	if e.AnonUID != 0 {
		nobody.UID = e.AnonUID
	}
	if e.AnonGID != 0 {
		nobody.GID = e.AnonGID
	}
	switch {
	case e.Squash == SquashNone:
		return c
	case e.Squash == SquashAll || c.UID == 0:
		return nobody
	}
	c.Super = false
	if c.GID == 0 {
		c.GID = nobody.GID
	}
	if slices.Contains(c.Groups, 0) {
		c.Groups = slices.DeleteFunc(slices.Clone(c.Groups), func(g posix.GID) bool { return g == 0 })
	}
	return c
}

// Modes is what the rule leaves of permission bits that are to be given.
func (e Rule) Modes(m posix.Mode) posix.Mode {
	if e.MaxMode == 0 {
		return m
	}
	return m &^ (posix.PermMask &^ e.MaxMode)
}
