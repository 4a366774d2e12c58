package server

import (
	"context"
	"errors"
	"testing"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/server/export"
)

// Whoever can't be told to be of a group does not get, by that, what the rules
// give to all who are not.
func TestUnknownGroupsOpenNothing(t *testing.T) {
	away := errors.New("the directory is away")
	s := &Server{}
	s.c.Auth.Groups = groups.Func(func(context.Context, string) ([]string, error) { return nil, away })
	rules := export.Everything("host")
	strict := export.Rule{Path: "/", Who: []string{"@guests"}, Squash: export.SquashAll, Trusted: true}
	rules.Exports = append([]export.Rule{strict}, rules.Exports...)
	host := admitted{principal: identity.Principal{Name: "host", Mechanism: identity.X509}, trusted: true, path: "/"}
	if err := s.judge(t.Context(), rules, &host); !errors.Is(err, away) {
		t.Errorf("admitted by %+v, %v", host.rule, err)
	}
	// Where a closer rule decides, nobody's groups matter.
	rules.Exports = append(rules.Exports, export.Rule{Path: "/data", Who: []string{"host"}, Trusted: true})
	host.path = "/data"
	if err := s.judge(t.Context(), rules, &host); err != nil {
		t.Error(err)
	}
}

// A source of groups that is away ends no session when the rules are read
// again; an account that is gone does.
func TestRulesAnewWithoutGroups(t *testing.T) {
	why := errors.New("the directory is away")
	s := &Server{}
	s.c.Auth.Groups = groups.Func(func(context.Context, string) ([]string, error) { return nil, why })
	judge := func(up bool) error {
		who := admitted{principal: identity.Principal{Name: "alice", Mechanism: identity.X509}, path: "/", up: up}
		return s.judge(t.Context(), export.Everything(), &who)
	}
	if err := judge(false); !errors.Is(err, why) {
		t.Errorf("a fresh session: %v", err)
	}
	if err := judge(true); err != nil {
		t.Errorf("one that is up: %v", err)
	}
	why = groups.ErrUnknown
	if err := judge(true); !errors.Is(err, errNoAccount) {
		t.Errorf("one whose account is gone: %v", err)
	}
}
