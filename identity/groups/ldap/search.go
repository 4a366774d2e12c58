package ldap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/wardfs/wardfs/identity/groups"
)

// question is one user's groups, asked of one server.
type question struct {
	s *Source
	l *ldap.Conn

	primary string
	names   []string
	seen    map[string]bool // DNs of groups, folded
}

// ask is Groups of one server.
func (s *Source) ask(ctx context.Context, u *url.URL, user string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	l, err := s.dial(ctx, u)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	q := &question{s: s, l: l, seen: map[string]bool{}}
	entry, err := q.user(user)
	if err != nil {
		return nil, err
	}
	if err := q.groups(entry, user); err != nil {
		return nil, err
	}
	return q.result(), nil
}

// result is the primary group and then the others by name, each once.
func (q *question) result() []string {
	slices.Sort(q.names)
	names := slices.Compact(q.names)
	if q.primary == "" {
		return names
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == q.primary })
	return append([]string{q.primary}, names...)
}

// The attributes of a user that matter.
var userAttrs = []string{"uid", "sAMAccountName", "gidNumber", "primaryGroupID", "objectSid", "memberOf"}

// user finds the one entry of a user.
func (q *question) user(name string) (*ldap.Entry, error) {
	found, err := q.search(q.s.c.UserBase, q.s.c.user(name), userAttrs)
	if err != nil {
		return nil, fmt.Errorf("searching the user below %s: %w", q.s.c.UserBase, err)
	}
	// Directories compare names without regard to case and spaces. Here they
	// differ, and ALICE must not come in as alice.
	found = slices.DeleteFunc(found, func(e *ldap.Entry) bool {
		names := append(e.GetAttributeValues("uid"), e.GetAttributeValues("sAMAccountName")...)
		return len(names) > 0 && !slices.Contains(names, name)
	})
	switch len(found) {
	case 0:
		return nil, groups.ErrUnknown
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d entries below %s are the user %q", len(found), q.s.c.UserBase, name)
}

// groups walks up from a user.
func (q *question) groups(user *ldap.Entry, name string) error {
	first, err := q.first(user, name)
	if err != nil {
		return err
	}
	next := q.add(first)
	for range q.s.c.Nesting {
		if len(next) == 0 || q.s.c.byName() {
			break
		}
		var found []*ldap.Entry
		if q.s.c.up() {
			found, err = q.above(next)
		} else {
			found, err = q.holding(next)
		}
		if err != nil {
			return err
		}
		next = q.add(found)
	}
	if len(q.seen) > maxGroups {
		return fmt.Errorf("the user is in more than %d groups", maxGroups)
	}
	return nil
}

// first is the groups that a user is in himself, the primary one among them.
func (q *question) first(user *ldap.Entry, name string) ([]*ldap.Entry, error) {
	primary, err := q.primaryOf(user)
	if err != nil {
		return nil, err
	}
	var found []*ldap.Entry
	switch {
	case q.s.c.byName():
		found, err = q.search(q.s.c.GroupBase, q.filter("("+q.s.c.MemberAttr+"="+ldap.EscapeFilter(name)+")"), q.groupAttrs())
	case q.s.c.up():
		found, err = q.above([]*ldap.Entry{user})
	default:
		found, err = q.holding([]*ldap.Entry{user})
	}
	if err != nil {
		return nil, fmt.Errorf("searching groups below %s: %w", q.s.c.GroupBase, err)
	}
	return append(primary, found...), nil
}

// primaryOf finds the primary group, by gidNumber or as Active Directory has
// it: its SID is the user's with the last number replaced.
func (q *question) primaryOf(user *ldap.Entry) ([]*ldap.Entry, error) {
	var which string
	if gid := user.GetAttributeValue("gidNumber"); q.s.c.Schema != AD && gid != "" {
		which = "(gidNumber=" + ldap.EscapeFilter(gid) + ")"
	} else if sid := user.GetRawAttributeValue("objectSid"); q.s.c.Schema == AD && len(sid) >= 12 {
		rid, err := strconv.ParseUint(user.GetAttributeValue("primaryGroupID"), 10, 32)
		if err != nil {
			return nil, nil
		}
		sid = binary.LittleEndian.AppendUint32(slices.Clone(sid[:len(sid)-4]), uint32(rid))
		which = "(objectSid=" + ldap.EscapeFilter(string(sid)) + ")"
	}
	if which == "" {
		return nil, nil
	}
	found, err := q.search(q.s.c.GroupBase, q.filter(which), q.groupAttrs())
	if err != nil {
		return nil, fmt.Errorf("searching the primary group below %s: %w", q.s.c.GroupBase, err)
	}
	if len(found) > 0 {
		q.primary = found[0].GetAttributeValue(q.s.c.NameAttr)
	}
	return found, nil
}

// filter is a filter of groups with one more condition.
func (q *question) filter(and string) string { return "(&" + q.s.c.GroupFilter + and + ")" }

func (q *question) groupAttrs() []string {
	if q.s.c.up() {
		return []string{q.s.c.NameAttr, "memberOf"}
	}
	return []string{q.s.c.NameAttr}
}

// add keeps the groups that are new, and answers them.
func (q *question) add(found []*ldap.Entry) (fresh []*ldap.Entry) {
	for _, e := range found {
		dn := strings.ToLower(e.DN)
		if q.seen[dn] || len(q.seen) > maxGroups {
			continue
		}
		q.seen[dn] = true
		fresh = append(fresh, e)
		if name := e.GetAttributeValue(q.s.c.NameAttr); name != "" {
			q.names = append(q.names, name)
		}
	}
	return fresh
}

// holding finds the groups that have one of these as a member.
func (q *question) holding(members []*ldap.Entry) (found []*ldap.Entry, err error) {
	for part := range slices.Chunk(members, perFilter) {
		var any strings.Builder
		for _, e := range part {
			any.WriteString("(" + q.s.c.MemberAttr + "=" + ldap.EscapeFilter(e.DN) + ")")
		}
		some, err := q.search(q.s.c.GroupBase, q.filter("(|"+any.String()+")"), q.groupAttrs())
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// above reads the groups that these say they are in. What has gone meanwhile,
// or is not for us to see, is left out, and so is what is no group.
func (q *question) above(members []*ldap.Entry) (found []*ldap.Entry, err error) {
	asked := map[string]bool{}
	for _, e := range members {
		for _, dn := range e.GetAttributeValues("memberOf") {
			fold := strings.ToLower(dn)
			if q.seen[fold] || asked[fold] {
				continue
			}
			if asked[fold] = true; len(asked) > maxGroups {
				return nil, fmt.Errorf("the user is in more than %d groups", maxGroups)
			}
			r, err := q.l.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, q.seconds(), false, q.s.c.GroupFilter, q.groupAttrs(), nil))
			if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) {
				return nil, fmt.Errorf("reading a group: %w", err)
			}
			if err == nil {
				found = append(found, r.Entries...)
			}
		}
	}
	return found, nil
}

// seconds is the time limit that the server is told, too.
func (q *question) seconds() int { return max(1, int(q.s.c.Timeout.Seconds())) }

// search finds the entries below base, page by page.
func (q *question) search(base, filter string, attrs []string) ([]*ldap.Entry, error) {
	r, err := q.l.SearchWithPaging(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, q.seconds(), false, filter, attrs, nil), page)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errors.New("no answer")
	}
	return r.Entries, nil
}
