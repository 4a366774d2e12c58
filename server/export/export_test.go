package export

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

func alice(addr string) Peer {
	return Peer{
		Name: "alice", Mechanism: "X509", Addr: netip.MustParseAddr(addr),
		Groups: func() []string { return []string{"staff", "alice"} },
		Is:     func(host string) bool { return host == "build1.example.com" && addr == "10.1.2.3" },
	}
}

// TestExport: which of several rules holds for whom. A rule is known again by
// its anonymous uid.
func TestExport(t *testing.T) {
	rules := Rules{Exports: []Rule{
		{Path: "/", Who: []string{"root"}, AnonUID: 1},
		{Path: "/data", Who: []string{"@staff"}, AnonUID: 2},
		{Path: "/data", Who: []string{"*"}, AnonUID: 3},
		{Path: "/data/x", Who: []string{"*"}, Hosts: []string{"10.1.0.0/16", "fd00::/8"}, AnonUID: 4},
		{Path: "/data/y", Who: []string{"*"}, Mechanisms: []string{"KERBEROS"}, AnonUID: 5},
		{Path: "/named", Who: []string{"*"}, Hosts: []string{"192.0.2.7", "build1.example.com"}, AnonUID: 6},
		{Path: "/groups", Who: []string{"@wheel"}, AnonUID: 7},
	}}
	here := alice("10.1.2.3")
	other := here
	other.Name, other.Groups = "@wheel", nil
	root := here
	root.Name = "root"
	for _, c := range []struct {
		name string
		want posix.UID // 0: refused
		path string
		peer Peer
	}{
		{"a group's, before everyone's", 2, "/data", here},
		{"below it", 2, "/data/any/where", here},
		{"who is in no group", 3, "/data", other},
		{"the longest path", 4, "/data/x", here},
		{"the longest path, below it", 4, "/data/x/y", here},
		{"a name that only begins like it", 2, "/data/xy", here},
		{"from elsewhere the shorter one holds", 2, "/data/x", alice("10.2.2.3")},
		{"IPv6", 4, "/data/x", alice("fd00::7")},
		{"IPv4 in IPv6", 4, "/data/x", alice("::ffff:10.1.9.9")},
		{"by another mechanism the shorter one holds", 2, "/data/y", here},
		{"above all of hers", 0, "/", here},
		{"root's", 1, "/anything", root},
		{"a host by name", 6, "/named", here},
		{"a host by address", 6, "/named", alice("192.0.2.7")},
		{"neither", 0, "/named", alice("192.0.2.8")},
		{"not her group", 0, "/groups", here},
		{"a principal with a group's sign", 0, "/groups", other},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rules.Export(c.path, c.peer)
			if got.AnonUID != c.want || (err == nil) != (c.want != 0) {
				t.Errorf("got rule %d, %v", got.AnonUID, err)
			}
		})
	}
	_, err := rules.Export("/", here)
	if want := "/ is not exported to alice (X509) at 10.1.2.3: the server's exports have no rule for that"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := (Rules{}).Export("/", root); err == nil {
		t.Error("no rules let somebody in")
	}
}

func TestOnlyTheSuperuserWithoutRules(t *testing.T) {
	r := Rules{Exports: Only("alice")}
	if e, err := r.Export("/x", alice("10.0.0.1")); err != nil || !e.Plain() || !e.Trusted {
		t.Errorf("got %+v, %v", e, err)
	}
	by, mallory := alice("127.0.0.1"), alice("127.0.0.1")
	by.Mechanism, mallory.Name = "SIMPLE", "mallory"
	for _, p := range []Peer{by, mallory} {
		if _, err := r.Export("/", p); err == nil {
			t.Errorf("%s (%s) was let in", p.Name, p.Mechanism)
		}
	}
}

func TestSquash(t *testing.T) {
	user := posix.Cred{UID: 1000, GID: 100, Groups: []posix.GID{100, 7}}
	nobody := posix.Cred{UID: Nobody, GID: Nobody}
	for _, c := range []struct {
		name     string
		want     posix.Cred
		rule     Rule
		in       posix.Cred
		unharmed bool
	}{
		{"root", nobody, Rule{}, posix.Cred{Super: true, Groups: []posix.GID{0, 4, 27}}, false},
		{"root without its power", nobody, Rule{}, posix.Cred{GID: 100}, false},
		{"a user", user, Rule{}, user, false},
		{"a user who says he is super", user, Rule{}, posix.Cred{UID: 1000, GID: 100, Groups: []posix.GID{100, 7}, Super: true}, false},
		{"a user in root's group", posix.Cred{UID: 1000, GID: Nobody, Groups: []posix.GID{7}}, Rule{}, posix.Cred{UID: 1000, Groups: []posix.GID{0, 7, 0}}, false},
		{"root to a guest", posix.Cred{UID: 99, GID: 98}, Rule{AnonUID: 99, AnonGID: 98}, posix.Cred{Super: true}, false},
		{"all", nobody, Rule{Squash: SquashAll}, user, false},
		{"all, root too", posix.Cred{UID: 5, GID: Nobody}, Rule{Squash: SquashAll, AnonUID: 5}, posix.Cred{Super: true}, false},
		{"none", posix.Cred{Super: true}, Rule{Squash: SquashNone}, posix.Cred{Super: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := append([]posix.GID(nil), c.in.Groups...)
			got := c.rule.Cred(c.in)
			if got.UID != c.want.UID || got.GID != c.want.GID || got.Super != c.want.Super || len(got.Groups) != len(c.want.Groups) ||
				len(got.Groups) > 0 && !reflect.DeepEqual(got.Groups, c.want.Groups) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !reflect.DeepEqual(before, append([]posix.GID(nil), c.in.Groups...)) {
				t.Error("the caller's own list was changed")
			}
			if c.rule.Plain() != c.unharmed {
				t.Errorf("plain: %v", c.rule.Plain())
			}
		})
	}
}

func TestModes(t *testing.T) {
	for _, c := range []struct{ want, max, in posix.Mode }{
		{0o7777, 0, 0o7777}, {0o750, 0o750, 0o7777}, {posix.TypeDir | 0o700, 0o700, posix.TypeDir | 0o2777}, {0o4755, 0o7755, 0o4777},
	} {
		if got := (Rule{MaxMode: c.max}).Modes(c.in); got != c.want {
			t.Errorf("%o of %o: got %o, want %o", c.in, c.max, got, c.want)
		}
	}
	if (Rule{Squash: SquashNone, MaxMode: 0o777}).Plain() || (Rule{Squash: SquashNone, Umask: 2}).Plain() || (Rule{Squash: SquashNone, ReadOnly: true}).Plain() {
		t.Error("a rule that changes something is plain")
	}
}

func TestStates(t *testing.T) {
	rules := Rules{Proxies: []Proxy{
		{Principal: "alice", Users: []string{"*"}},
		{Principal: "alice", StatesCallers: true, Hosts: []string{"10.0.0.0/8"}},
	}}
	bob := alice("10.1.2.3")
	bob.Name = "bob"
	for want, p := range map[string]Peer{"": alice("10.1.2.3"), "at 192.0.2.1": alice("192.0.2.1"), "bob (X509) may not state its callers": bob} {
		if err := rules.States(p); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", p.Name, err, want)
		}
	}
}

func TestImpersonate(t *testing.T) {
	const begin = `Failed to authenticate client user="alice" connecting to wardfs server and impersonating as impersonationUser="foo" to access wardfs file system. User "alice" `
	any := []string{"*"}
	for _, c := range []struct {
		name, want string
		named      bool
		rules      []Proxy
	}{
		{"no rule", "is not configured to allow any impersonation.", false, nil},
		{"another's rule", "is not configured to allow any impersonation.", false, []Proxy{{Principal: "bob", Users: any}}},
		{"a rule for something else", "is not configured to allow any impersonation.", false, []Proxy{{Principal: "alice", StatesCallers: true}}},
		{"not that user", `is not configured to allow impersonation of user "foo" or of any group of that user.`, false,
			[]Proxy{{Principal: "alice", Users: []string{"fool", "fo"}, Groups: []string{"wheel"}}}},
		{"not from there", "is not configured to allow impersonation from host 10.1.2.3.", false,
			[]Proxy{{Principal: "alice", Users: any, Hosts: []string{"10.2.0.0/16"}}, {Principal: "alice", Users: []string{"bar"}}}},
		{"by name", "", true, []Proxy{{Principal: "alice", Users: []string{"bar", "foo"}}}},
		{"everyone", "", false, []Proxy{{Principal: "alice", Users: any}}},
		{"by group", "", false, []Proxy{{Principal: "alice", Groups: []string{"analysts"}}}},
		{"every group", "", false, []Proxy{{Principal: "alice", Groups: any}}},
		{"by name after everyone", "", true, []Proxy{{Principal: "alice", Users: any}, {Principal: "alice", Users: []string{"foo"}}}},
		{"by name, but from elsewhere", "", false, []Proxy{{Principal: "alice", Users: any}, {Principal: "alice", Users: []string{"foo"}, Hosts: []string{"10.2.0.0/16"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			named, err := Rules{Proxies: c.rules}.Impersonate(alice("10.1.2.3"), "foo", func() []string { return []string{"analysts"} })
			var r *Refusal
			switch {
			case c.want == "" && err != nil, c.want != "" && (!errors.As(err, &r) || err.Error() != begin+c.want), named != c.named:
				t.Errorf("got %v, %v", named, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	good := Rule{Path: "/a/b", Who: []string{"alice", "@staff"}, Hosts: []string{"10.0.0.1", "10.0.0.0/8", "::1", "build1.example.com", "localhost"}}
	if err := good.Check(); err != nil {
		t.Errorf("good: %v", err)
	}
	for want, e := range map[string]Rule{
		`path: "" is no absolute`:          {Who: []string{"*"}},
		`path: "a" is no absolute`:         {Path: "a", Who: []string{"*"}},
		`path: "/a/" is no absolute`:       {Path: "/a/", Who: []string{"*"}},
		`path: "/a/../b" is no absolute`:   {Path: "/a/../b", Who: []string{"*"}},
		`path: "/a\x00b" has a name`:       {Path: "/a\x00b", Who: []string{"*"}},
		`who: names nobody`:                {Path: "/"},
		`who: "team*": a star`:             {Path: "/", Who: []string{"team*"}},
		`hosts: "*.example.com" is no`:     {Path: "/", Who: []string{"*"}, Hosts: []string{"*.example.com"}},
		`hosts: "10.0.0.0/33" is no`:       {Path: "/", Who: []string{"*"}, Hosts: []string{"10.0.0.0/33"}},
		`hosts: "10.0.0.256" is no`:        {Path: "/", Who: []string{"*"}, Hosts: []string{"10.0.0.256"}},
		`hosts: "" is no`:                  {Path: "/", Who: []string{"*"}, Hosts: []string{""}},
		`hosts: "build1:7470" is no host`:  {Path: "/", Who: []string{"*"}, Hosts: []string{"build1:7470"}},
		`hosts: "10.0.0.1 " is no host`:    {Path: "/", Who: []string{"*"}, Hosts: []string{"10.0.0.1 "}},
		`hosts: "@admins" is no host`:      {Path: "/", Who: []string{"*"}, Hosts: []string{"@admins"}},
		`path: "//" is no absolute, clean`: {Path: "//", Who: []string{"*"}},
	} {
		wrong(t, e.Check(), want)
	}
	for want, x := range map[string]Proxy{
		`principal: "" is no single`:      {Users: []string{"*"}},
		`principal: "*" is no single`:     {Principal: "*", Users: []string{"*"}},
		`principal: the rule allows noth`: {Principal: "svc"},
		`users: "@staff" is no name`:      {Principal: "svc", Users: []string{"@staff"}},
		`groups: "dev*" is no name`:       {Principal: "svc", Users: []string{"*"}, Groups: []string{"dev*"}},
		`hosts: "*" is no host`:           {Principal: "svc", StatesCallers: true, Hosts: []string{"*"}},
	} {
		wrong(t, x.Check(), want)
	}
	if err := (Proxy{Principal: "svc", Users: []string{"*"}, Hosts: []string{"::1"}}).Check(); err != nil {
		t.Errorf("good: %v", err)
	}
}

func wrong(t *testing.T, err error, want string) {
	t.Helper()
	var w *Wrong
	if !errors.As(err, &w) || !strings.HasPrefix(w.Key+": "+w.Text, want) || w.Next == "" {
		t.Errorf("got %+v, want %q", err, want)
	}
}

func FuzzPaths(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/b", "//", "/a/../b", "a", "/a\x00", "/.", "/ "} {
		f.Add(s, "/a")
	}
	f.Fuzz(func(t *testing.T, p, dir string) {
		if CheckPath(p) != nil || CheckPath(dir) != nil {
			return
		}
		names := Names(p)
		if p != "/"+strings.Join(names, "/") {
			t.Errorf("%q is not its names %q", p, names)
		}
		above := Names(dir)
		want := len(names) >= len(above) && reflect.DeepEqual(append([]string{}, names[:min(len(above), len(names))]...), append([]string{}, above...))
		if Within(p, dir) != want {
			t.Errorf("%q within %q: got %v", p, dir, !want)
		}
	})
}
