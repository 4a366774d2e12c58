// Package idmap translates owners between a host and a namespace. A host has
// numbers, and names for most of them; the namespace has ids, of which those in
// [posix.NamedFirst, posix.NamedEnd) stand for names and the others are bare
// numbers. What both have in common is the name:
//
//	host              name       namespace
//	1000         <->  alice  <-> 0x70000000
//	0x70000007   <->  (none)     0x70000007   a name that this host does not know
//	4242         <->  (none)     4242         a number that has no name here
//	0            <->  (root)     0
//
// It is pure: what this host knows is a [Host], what the namespace knows a
// [Table], and both are asked for many things at once, seldom, because
// [CacheHost] and [CacheTable] remember.
//
//	m := idmap.New(idmap.Config{Host: idmap.CacheHost(h, c), Table: idmap.CacheTable(t, 0)})
//	id, err := m.In(ctx, idmap.User, 1000)
package idmap

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind tells users from groups, which are numbered and named apart.
type Kind uint8

// The two Kinds.
const (
	User Kind = iota
	Group
)

// String is "user" or "group".
func (k Kind) String() string {
	if k == Group {
		return "group"
	}
	return "user"
}

// NoID is the answer of a Table that has no id for a name. It is the uid that
// chown(2) takes for none, and so nobody's.
const NoID = ^uint32(0)

// ErrUnknown is the answer of a Host that was asked and knows no such name or
// number. Any other error means that it could not be asked.
var ErrUnknown = errors.New("not known here")

// Host is what one machine knows of its users and groups. It is safe for
// concurrent use.
type Host interface {
	// Name answers the name of a number, or ErrUnknown.
	Name(ctx context.Context, k Kind, number uint32) (string, error)
	// Number answers the number of a name, or ErrUnknown.
	Number(ctx context.Context, k Kind, name string) (uint32, error)
}

// Table is the namespace's names. What it has answered once is so for ever,
// but for NoID and "". It is safe for concurrent use.
type Table interface {
	// IDs answers the ids of names, in their order. A name that is new gets
	// an entry if the caller may make one; otherwise it is NoID.
	IDs(ctx context.Context, k Kind, names []string) ([]uint32, error)
	// Names answers the names of ids, in their order; "" is none.
	Names(ctx context.Context, k Kind, ids []uint32) ([]string, error)
}

// MaxName is the longest name of a table, in bytes.
const MaxName = 255

// CheckName refuses what can't be the name of an owner: it would be taken for
// something else in a list, an ACL or a line of a file. Spaces within are
// allowed, for directories have groups with spaces in their names.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name has 1 to %d bytes", MaxName)
	}
	if strings.TrimSpace(name) != name {
		return errors.New("a name begins and ends without a space")
	}
	digits := true
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '/' || r == ':' || r == ',' || r == '\ufffd' {
			return errors.New("a name has no control character, slash, colon or comma")
		}
		digits = digits && r >= '0' && r <= '9'
	}
	if digits {
		return errors.New("a name of digits alone would be taken for a number")
	}
	return nil
}
