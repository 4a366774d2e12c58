// Package ldap is groups from a directory: an entry for the user is searched,
// then the groups that name it as a member, then the groups that name those. It
// speaks to OpenLDAP and its like (RFC 2307, RFC 2307bis) and to Active
// Directory, over LDAPS or StartTLS.
//
// Each question has a connection of its own and a time in which it must be
// answered, so that a server that hangs, lies or has gone costs that time and
// nothing else; groups.Cache sees to it that questions are few. The package
// refuses to write, to follow referrals, and to check a user's password.
//
//	s, err := ldap.New(ldap.Config{Servers: []string{"ldaps://dir.example.com"}, Base: "dc=example,dc=com"})
package ldap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/wardfs/wardfs/identity/groups"
)

// Schema is how a directory says who is in a group.
type Schema string

// The Schemas.
const (
	RFC2307    Schema = "rfc2307"    // memberUid has the user's name
	RFC2307bis Schema = "rfc2307bis" // member has the DN of a user or group
	AD         Schema = "ad"         // as Active Directory: member, and primaryGroupID
)

// Config is how to ask. Servers and Base (or both others) are needed.
type Config struct {
	Servers    []string // "ldap://host:389", "ldaps://host"; tried in this order
	StartTLS   bool     // ldap:// turns into TLS before anything is said
	CA         string   // PEM file with authorities, read at each connection; empty: the host's
	ServerName string   // in the certificates; empty: the URL's host

	BindDN   string                 // empty: anonymous
	Password func() ([]byte, error) // asked at each connection

	// Timeout bounds one server's answer to one question; default 5 s.
	Timeout time.Duration

	Schema      Schema // default RFC2307
	Base        string
	UserBase    string // default Base
	GroupBase   string // default Base
	UserFilter  string // {0} is the name; default by the schema
	GroupFilter string // default by the schema
	// MemberAttr is the attribute of a group that has its members; default by
	// the schema. "memberOf" is read of users and groups instead.
	MemberAttr string
	NameAttr   string // of a group; default cn
	// Nesting is how many steps groups within groups are followed.
	Nesting int

	Now func() time.Time // default time.Now
	Log *slog.Logger     // nil discards
}

// Bounds of what one user may cost.
const (
	maxGroups    = 4096     // of one user
	maxAnswer    = 64 << 20 // bytes of all answers to one question
	atOnce       = 8        // questions
	perFilter    = 50       // DNs in one filter
	page         = 500      // entries asked for at once
	afterFailing = 30 * time.Second
)

// Source asks a directory. It is safe for concurrent use.
type Source struct {
	c    Config
	urls []*url.URL
	room chan struct{}

	mu     sync.Mutex
	failed []time.Time // when each server last failed
}

var _ groups.Source = (*Source)(nil)

// New checks c; it asks nobody.
func New(c Config) (*Source, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	s := &Source{c: c, room: make(chan struct{}, atOnce), failed: make([]time.Time, len(c.Servers))}
	for _, server := range c.Servers {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || strings.Trim(u.Path, "/") != "" || u.User != nil {
			return nil, fmt.Errorf("%q is no ldap://HOST or ldaps://HOST", server)
		}
		s.urls = append(s.urls, u)
	}
	for what, f := range map[string]string{"user": c.user("x"), "group": c.GroupFilter} {
		if _, err := ldap.CompileFilter(f); err != nil {
			return nil, fmt.Errorf("%s filter %s: %w", what, f, err)
		}
	}
	return s, nil
}

func (c *Config) fill() error {
	or := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	user, group, member := "(&(objectClass=posixAccount)(uid={0}))", "(objectClass=posixGroup)", "memberUid"
	switch c.Schema {
	case RFC2307, "":
		c.Schema = RFC2307
	case RFC2307bis:
		group, member = "(|(objectClass=groupOfNames)(objectClass=posixGroup))", "member"
	case AD:
		user, group, member = "(&(objectClass=user)(sAMAccountName={0}))", "(objectClass=group)", "member"
	default:
		return fmt.Errorf("schema %q is not known", c.Schema)
	}
	or(&c.UserFilter, user)
	or(&c.GroupFilter, group)
	or(&c.MemberAttr, member)
	or(&c.NameAttr, "cn")
	or(&c.UserBase, c.Base)
	or(&c.GroupBase, c.Base)
	switch {
	case len(c.Servers) == 0:
		return errors.New("no server is named")
	case c.UserBase == "" || c.GroupBase == "":
		return errors.New("no base is named")
	case !strings.Contains(c.UserFilter, "{0}"):
		return errors.New("the user filter has no {0}, so that it finds the same for everybody")
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// user is the filter that finds a user.
func (c *Config) user(name string) string {
	return strings.ReplaceAll(c.UserFilter, "{0}", ldap.EscapeFilter(name))
}

// byName reports whether groups name their members by user name.
func (c *Config) byName() bool { return strings.EqualFold(c.MemberAttr, "memberUid") }

// up reports whether groups are found on their members.
func (c *Config) up() bool { return strings.EqualFold(c.MemberAttr, "memberOf") }

// Groups asks the servers in turn; one that failed of late comes last. An
// answer of any server is the answer.
func (s *Source) Groups(ctx context.Context, user string) ([]string, error) {
	if user == "" {
		return nil, groups.ErrUnknown
	}
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var all error
	for _, i := range s.order() {
		names, err := s.ask(ctx, s.urls[i], user)
		if err == nil || errors.Is(err, groups.ErrUnknown) || ctx.Err() != nil {
			return names, err
		}
		s.fail(i)
		if err = fmt.Errorf("%s: %w", s.urls[i].Host, err); all != nil {
			err = fmt.Errorf("%w; %w", all, err)
		}
		all = err
	}
	return nil, fmt.Errorf("ldap: %w", all)
}

// order is the servers as they are to be tried.
func (s *Source) order() (good []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bad []int
	for i, at := range s.failed {
		if !at.IsZero() && s.c.Now().Sub(at) < afterFailing {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	return append(good, bad...)
}

func (s *Source) fail(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[i] = s.c.Now()
}
