// Package groups is which groups a user is in, as the server sees it. A
// [Source] is asked by name and answers names; its bodies are a file ([Static]),
// nobody ([None]), the server's own host (nss.Host) and a directory (package
// ldap below this one). [Cache] remembers what any of them said.
//
// It refuses to know numbers: the namespace's table of names has those.
//
//	s := groups.NewCache(source, groups.CacheConfig{})
//	names, err := s.Groups(ctx, "alice") // "staff", "wheel"
package groups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/identity/idmap"
)

// ErrUnknown is the answer of a Source that was asked and knows no such user.
// Any other error means that it could not be asked.
var ErrUnknown = idmap.ErrUnknown

// Source says which groups a user is in. It is safe for concurrent use.
type Source interface {
	// Groups answers the names of the groups of a user, each once, the
	// primary one first if there is one; ErrUnknown for who is no user. The
	// slice is the source's: change nothing in it.
	Groups(ctx context.Context, user string) ([]string, error)
}

// Func is a Source that is a function.
type Func func(ctx context.Context, user string) ([]string, error)

// Groups calls it.
func (f Func) Groups(ctx context.Context, user string) ([]string, error) { return f(ctx, user) }

// None knows every user and no group.
type None struct{}

// Groups answers none.
func (None) Groups(context.Context, string) ([]string, error) { return nil, nil }

// Static is a Source that somebody has written down.
type Static struct{ of map[string][]string }

// maxFile bounds a file of groups, in lines.
const maxFile = 1 << 20

// ParseStatic reads a file of users and their groups. Each line is a user, a
// colon, and the user's groups with commas between them, the primary one first;
// what begins with # is a comment:
//
//	alice: staff, domain users
//	bob:
func ParseStatic(r io.Reader) (*Static, error) {
	s := &Static{of: map[string][]string{}}
	if err := (idmap.Lines{Most: maxFile, Bound: "there may be", Longest: 1 << 20}).Each(r, s.add); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Static) add(text string) error {
	user, list, ok := strings.Cut(text, ":")
	user = strings.TrimSpace(user)
	if !ok {
		return errors.New("a line reads: USER: GROUP, GROUP")
	}
	if err := idmap.CheckName(user); err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	if _, ok := s.of[user]; ok {
		return fmt.Errorf("user %q stands in an earlier line", user)
	}
	groups := []string{}
	for g := range strings.SplitSeq(list, ",") {
		if g = strings.TrimSpace(g); g == "" {
			continue
		}
		if err := idmap.CheckName(g); err != nil {
			return fmt.Errorf("group %q: %w", g, err)
		}
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	s.of[user] = groups
	return nil
}

// Groups answers what the file says.
func (s *Static) Groups(_ context.Context, user string) ([]string, error) {
	groups, ok := s.of[user]
	if !ok {
		return nil, ErrUnknown
	}
	return groups, nil
}
