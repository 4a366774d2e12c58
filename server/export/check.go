package export

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Wrong is what is wrong with a rule, and where.
type Wrong struct {
	Key  string // of the rule, as the configuration calls it
	Text string
	Next string
}

// Error is the text.
func (w *Wrong) Error() string { return w.Text }

// Check finds what would make the rule useless or mean another thing than it
// says: nil or a *Wrong.
func (e Rule) Check() error {
	switch {
	case CheckPath(e.Path) != nil:
		return &Wrong{"path", CheckPath(e.Path).Error(), "write an absolute path of the server's tree, as / or /data/team"}
	case len(e.Who) == 0:
		return &Wrong{"who", "names nobody", `write principals, @groups, or "*" for everyone who can log in`}
	}
	for _, w := range e.Who {
		if strings.Contains(w, "*") && w != "*" {
			return &Wrong{"who", fmt.Sprintf("%q: a star stands alone", w), `write whole names, @groups, or "*"`}
		}
	}
	return checkHosts(e.Hosts)
}

// Check is Rule's.
func (x Proxy) Check() error {
	switch {
	case x.Principal == "" || strings.ContainsAny(x.Principal, "*@"):
		return &Wrong{"principal", fmt.Sprintf("%q is no single principal", x.Principal), "name the one principal that may act for others; a group can't"}
	case len(x.Users)+len(x.Groups) == 0 && !x.StatesCallers:
		return &Wrong{"principal", "the rule allows nothing", `write users, groups or states_callers: true`}
	}
	for i, n := range slices.Concat(x.Users, x.Groups) {
		if strings.ContainsAny(n, "*@") && n != "*" {
			key := "users"
			if i >= len(x.Users) {
				key = "groups"
			}
			return &Wrong{key, fmt.Sprintf("%q is no name", n), `write whole names without @, or "*"`}
		}
	}
	return checkHosts(x.Hosts)
}

func checkHosts(hosts []string) error {
	for _, h := range hosts {
		if _, ok := network(h); ok {
			continue
		}
		wrong := strings.ContainsAny(h, "/*:@ ") || h == "" || !strings.ContainsFunc(h, isLetter)
		if wrong {
			return &Wrong{"hosts", fmt.Sprintf("%q is no host", h), "write an address, a network as 10.1.0.0/16, or a name without stars"}
		}
	}
	return nil
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// CheckPath refuses what is no absolute, clean path of names that can be.
func CheckPath(p string) error {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || len(p) >= posix.PathMax {
		return fmt.Errorf("%q is no absolute, clean path", p)
	}
	if slices.ContainsFunc(Names(p), func(n string) bool { return posix.CheckName(n) != 0 }) {
		return fmt.Errorf("%q has a name that no file can have", p)
	}
	return nil
}

// Names are the steps of a path that CheckPath takes; none for /.
func Names(p string) []string {
	if p == "/" {
		return nil
	}
	return strings.Split(p[1:], "/")
}
