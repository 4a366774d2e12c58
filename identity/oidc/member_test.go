package oidc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/identity"
)

// What a token says of groups counts as far as the configuration lets it.
func TestMembership(t *testing.T) {
	i := newIssuer(t)
	k := newRSA(t, "k")
	i.publish(k.public())
	roles := map[string][]string{"fsadmin": {"supergroup", "ops"}, "reader": {"eng"}}
	claims := map[string]any{"groups": []any{"eng", "supergroup", "root", "Domain Users", "eng"}, "scp": "fsadmin fsAdmin"}
	for name, c := range map[string]struct {
		use   Use
		roles map[string][]string
		more  map[string]any
		want  string
	}{
		"ignored":             {Ignore, nil, nil, ""},
		"roles alone":         {Ignore, roles, nil, "supergroup,ops"},
		"added":               {Add, nil, nil, "eng,Domain Users"},
		"added, with roles":   {Add, roles, nil, "eng,Domain Users,supergroup,ops"},
		"only":                {Only, nil, nil, "eng,Domain Users"},
		"in words":            {Add, nil, map[string]any{"groups": "a b,c"}, "a,b,c"},
		"one word":            {Add, nil, map[string]any{"groups": "supergroup"}, ""},
		"a list with a comma": {Add, nil, map[string]any{"groups": []any{"a,root"}}, "a,root"}, // one name, which no table takes
		"none":                {Only, roles, map[string]any{"groups": nil, "scp": nil}, ""},
		"empty":               {Only, roles, map[string]any{"groups": []any{}, "scp": ""}, ""},
		"a role in the list":  {Add, roles, map[string]any{"groups": []any{"fsadmin"}, "scp": nil}, "fsadmin"},
	} {
		conf := i.config()
		conf.Use, conf.RoleGroups, conf.ReservedGroups = c.use, c.roles, []string{"root", "supergroup"}
		all := i.claims(claims)
		for claim, v := range c.more {
			all[claim] = v
		}
		got, err := verifier(t, conf).Verify(t.Context(), identity.Channel{}, []byte(k.sign(t, all)))
		if err != nil || strings.Join(got.Groups, ",") != c.want || got.Alone != (c.use == Only) {
			t.Errorf("%s: %q %v %v, want %q", name, got.Groups, got.Alone, err, c.want)
		}
	}
}

// A token whose claims are made to do harm is refused, by the claim's name.
func TestHostileClaims(t *testing.T) {
	i := newIssuer(t)
	k := newEC(t, "k")
	i.publish(k.public())
	conf := i.config()
	conf.Use, conf.ReservedUsers = Only, []string{"root", "wardfs"}
	v := verifier(t, conf)
	many := make([]string, maxGroups+1)
	for n := range many {
		many[n] = fmt.Sprint("g", n)[:2]
	}
	deep := any("x")
	for range 200 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		claim string
		value any
		want  string
	}{
		"too many":              {"groups", many, "more than"},
		"too many words":        {"scp", strings.Repeat("a ", maxGroups+1), "more than"},
		"a map":                 {"groups", map[string]any{"root": true}, "no list of names"},
		"a number":              {"groups", 0, "no list of names"},
		"a truth":               {"scp", true, "no list of names"},
		"lists in lists":        {"groups", deep, "no list of names"},
		"null within":           {"groups", []any{"a", nil}, "no list of names"},
		"an empty name":         {"groups", []any{"a\x00"}, "can't be one"},
		"an escape":             {"groups", []any{"\x1b[31mroot"}, "can't be one"},
		"written backwards":     {"groups", []any{"\u202etoor"}, "can't be one"},
		"nothing to see":        {"groups", []any{"root\u200b"}, "can't be one"},
		"a line separator":      {"scp", []any{"a\u2028b"}, "can't be one"},
		"a long name":           {"groups", []any{strings.Repeat("g", 256)}, "can't be one"},
		"root":                  {"sub", "root", "may not come by a token"},
		"who runs the server":   {"sub", "wardfs", "may not come by a token"},
		"root and a space":      {"sub", "root ", "names no user"},
		"root, not to be seen":  {"sub", "root\u200b", "names no user"},
		"a user with an escape": {"sub", "a\x1b[2J", "names no user"},
		"a user in a list":      {"sub", []any{"alice"}, "names no user"},
		"a path":                {"sub", "../root", "names no user"},
	} {
		_, err := v.Verify(t.Context(), identity.Channel{}, []byte(k.sign(t, i.claims(map[string]any{c.claim: c.value}))))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.claim) {
			t.Errorf("%s: %v, want %q of %s", name, err, c.want, c.claim)
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' })) {
			t.Errorf("%s: the message is %q", name, err)
		}
	}
	if got, err := v.Check(t.Context(), identity.Channel{}, k.sign(t, i.claims(map[string]any{"groups": many[:maxGroups]}))); err != nil || len(got.Groups) != maxGroups || !slices.Contains(got.Groups, "g1") {
		t.Errorf("as many as may be: %d, %v", len(got.Groups), err)
	}
}
