package export

import (
	"fmt"
	"slices"
)

// States answers nil if p may state the caller of each call. Its name must be
// proven: that is the server's to see to.
func (r Rules) States(p Peer) error {
	for _, x := range r.Proxies {
		if x.Principal == p.Name && x.StatesCallers && p.at(x.Hosts) {
			return nil
		}
	}
	return fmt.Errorf("%s (%s) may not state its callers (identity=trusted): no proxy rule with states_callers names it at %s", p.Name, p.Mechanism, p.Addr)
}

// Impersonate answers nil if p may act for user, whose groups are told by
// groups. named says that a rule names the user itself: who acts for a
// superuser by way of * or a group must not get more than others have.
//
// The refusals begin as Alluxio's do, for people who search for that text.
func (r Rules) Impersonate(p Peer, user string, groups func() []string) (named bool, err error) {
	var some, covered, allowed bool
	for _, x := range r.Proxies {
		if x.Principal != p.Name || len(x.Users)+len(x.Groups) == 0 {
			continue
		}
		some = true
		if !x.covers(user, groups) {
			continue
		}
		covered = true
		if p.at(x.Hosts) {
			allowed = true
			named = named || slices.Contains(x.Users, user)
		}
	}
	why := ""
	switch {
	case allowed:
		return named, nil
	case covered:
		why = fmt.Sprintf("is not configured to allow impersonation from host %s.", p.Addr)
	case some:
		why = fmt.Sprintf("is not configured to allow impersonation of user %q or of any group of that user.", user)
	default:
		why = "is not configured to allow any impersonation."
	}
	return false, &Refusal{p.Name, user, why}
}

func (x Proxy) covers(user string, groups func() []string) bool {
	if slices.Contains(x.Users, "*") || slices.Contains(x.Users, user) || slices.Contains(x.Groups, "*") {
		return true
	}
	return len(x.Groups) > 0 && slices.ContainsFunc(groups(), func(g string) bool { return slices.Contains(x.Groups, g) })
}

// Refusal is why one principal may not act for another.
type Refusal struct{ Client, User, Why string }

// Error is one line. It is a sentence with a capital and a stop, unlike other
// errors, for its wording is known from elsewhere.
func (r *Refusal) Error() string {
	return fmt.Sprintf("Failed to authenticate client user=%q connecting to wardfs server and impersonating as impersonationUser=%q to access wardfs file system. User %q %s",
		r.Client, r.User, r.Client, r.Why)
}
