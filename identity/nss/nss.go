// Package nss is what this host knows of its users and groups, asked of the
// system's name service switch: /etc/passwd, and with the C library whatever
// else nsswitch.conf(5) names (sssd, LDAP, winbind). No program is run.
//
// The switch answers when it likes, and some of its modules never: each question
// is bounded, and while several hang no more are asked. It refuses to remember
// anything; idmap.CacheHost and groups.Cache do.
package nss

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/identity/idmap"
)

// Full reports whether the whole switch is asked. Without the C library it is
// /etc/passwd and /etc/group alone.
func Full() bool { return full }

// Config bounds the questions. The zero value has defaults that work.
type Config struct {
	Timeout time.Duration // of one question; default 3 s
	Most    int           // questions at once; default 16
}

// Host asks this host. It is safe for concurrent use.
type Host struct {
	c      Config
	room   chan struct{}
	hung   atomic.Int32 // questions whose asker has gone
	system calls
}

var _ idmap.Host = (*Host)(nil)

// ErrHung is the answer while questions of before have none.
var ErrHung = errors.New("the name service of this host does not answer")

// calls are the questions themselves; tests have others.
type calls struct {
	name   func(k idmap.Kind, number uint32) (string, error)
	number func(k idmap.Kind, name string) (uint32, error)
	groups func(user string) ([]string, error)
}

// New answers the host that this process runs on.
func New(c Config) *Host {
	if c.Timeout <= 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Most <= 0 {
		c.Most = 16
	}
	return &Host{c: c, room: make(chan struct{}, c.Most), system: calls{nameOf, numberOf, groupsOf}}
}

// Name answers the name of a number.
func (h *Host) Name(ctx context.Context, k idmap.Kind, number uint32) (string, error) {
	return bounded(ctx, h, func() (string, error) { return h.system.name(k, number) })
}

// Number answers the number of a name.
func (h *Host) Number(ctx context.Context, k idmap.Kind, name string) (uint32, error) {
	return bounded(ctx, h, func() (uint32, error) { return h.system.number(k, name) })
}

// Groups answers the names of the groups that a user is in, the primary one
// first. It is idmap.ErrUnknown for who is no user here. A group without a name
// is left out.
func (h *Host) Groups(ctx context.Context, user string) ([]string, error) {
	return bounded(ctx, h, func() ([]string, error) { return h.system.groups(user) })
}

// bounded does f beside the caller and waits for it for as long as is allowed.
// A question that hangs keeps its place until it is answered, and when half of
// the places are so taken nobody waits any more.
func bounded[T any](ctx context.Context, h *Host, f func() (T, error)) (none T, err error) {
	if int(h.hung.Load()) >= (h.c.Most+1)/2 {
		return none, ErrHung
	}
	late := time.NewTimer(h.c.Timeout)
	defer late.Stop()
	select {
	case h.room <- struct{}{}:
	case <-late.C:
		return none, ErrHung
	case <-ctx.Done():
		return none, ctx.Err()
	}
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer, 1)
	var gone atomic.Bool // whoever sets it second takes the question off hung
	go func() {
		v, err := f()
		<-h.room
		if gone.Swap(true) {
			h.hung.Add(-1)
		}
		answered <- answer{v, err}
	}()
	select {
	case a := <-answered:
		return a.v, a.err
	case <-late.C:
		err = fmt.Errorf("%w within %v", ErrHung, h.c.Timeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.hung.Add(1)
	if gone.Swap(true) {
		h.hung.Add(-1)
	}
	return none, err
}

func nameOf(k idmap.Kind, number uint32) (string, error) {
	id := strconv.FormatUint(uint64(number), 10)
	if k == idmap.Group {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", known(err)
		}
		return g.Name, nil
	}
	u, err := user.LookupId(id)
	if err != nil {
		return "", known(err)
	}
	return u.Username, nil
}

func numberOf(k idmap.Kind, name string) (uint32, error) {
	var id string
	if k == idmap.Group {
		g, err := user.LookupGroup(name)
		if err != nil {
			return 0, known(err)
		}
		id = g.Gid
	} else {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, known(err)
		}
		id = u.Uid
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q has the number %q: %w", k, name, id, err)
	}
	return uint32(n), nil
}

func groupsOf(name string) ([]string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, known(err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	var names []string
	add := func(id string) error {
		g, err := user.LookupGroupId(id)
		if err = known(err); err == nil {
			names = append(names, g.Name)
		} else if errors.Is(err, idmap.ErrUnknown) {
			err = nil
		}
		return err
	}
	if err := add(u.Gid); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if id == u.Gid {
			continue
		}
		if err := add(id); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// known makes idmap.ErrUnknown of what says that there is no such entry.
func known(err error) error {
	var (
		u  user.UnknownUserError
		ui user.UnknownUserIdError
		g  user.UnknownGroupError
		gi user.UnknownGroupIdError
	)
	if errors.As(err, &u) || errors.As(err, &ui) || errors.As(err, &g) || errors.As(err, &gi) {
		return idmap.ErrUnknown
	}
	return err
}
