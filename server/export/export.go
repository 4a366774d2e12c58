// Package export decides who may mount which part of the tree and how, and who
// may act for whom. It is pure: the same rules and the same peer always give
// the same answer, and what it can't know by itself, the groups of a principal
// and the addresses of a host, it asks of functions that it is given.
//
// It refuses to judge files: what a mount may do there is the namespace's, for
// whom [Rule.Cred] makes of the caller.
//
//	rule, err := rules.Export("/data", export.Peer{Name: "alice", Mechanism: "X509", Addr: addr})
package export

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Nobody is whom a squashed caller becomes where a rule names no other.
const Nobody = 65534

// Rules is all that a server's configuration says of mounts. The zero Rules
// lets nobody in. It is not changed once it is in use.
type Rules struct {
	Exports []Rule
	Proxies []Proxy
}

// Rule opens a directory, and all below it, to some.
type Rule struct {
	Path       string   // absolute and clean
	Who        []string // principals, @groups, or *
	Hosts      []string // addresses, networks (CIDR), names; none: any
	Mechanisms []string // none: any
	ReadOnly   bool
	Squash     Squash
	AnonUID    posix.UID // whom squashed callers become; 0 is Nobody
	AnonGID    posix.GID // likewise
	Umask      posix.Mode
	MaxMode    posix.Mode // permission bits that may be given; 0 is all
	Trusted    bool       // sessions that state their callers may mount it
}

// Squash says whom a rule makes nobody.
type Squash uint8

// The zero Squash is the safe one.
const (
	SquashRoot Squash = iota // uid 0 and superusers
	SquashNone
	SquashAll
)

// Proxy lets one principal act for others.
type Proxy struct {
	Principal     string
	Users         []string // for whom, or *
	Groups        []string // or whose members, or *
	Hosts         []string // from where; none: anywhere
	StatesCallers bool     // may state uid and groups of each caller: be anyone
}

// Peer is who asks.
type Peer struct {
	Name      string
	Mechanism string
	Addr      netip.Addr
	// Groups answers the names of Name's groups. It is called only where a rule
	// names a group. Nil: none.
	Groups func() []string
	// Is reports whether Addr is one of host's. It is called only where a rule
	// names a host, and answers false where it can't be known. Nil: never.
	Is func(host string) bool
}

// Everything lets whoever has proven a name mount the whole tree, as a local
// disk is open to its users. who states callers.
func Everything(who ...string) Rules {
	r := Rules{Exports: []Rule{{Path: "/", Who: []string{"*"}, Squash: SquashNone, Trusted: true}}}
	for _, p := range who {
		r.Proxies = append(r.Proxies, Proxy{Principal: p, StatesCallers: true})
	}
	return r
}

// Only is the rules of a server that was told none: the whole tree for its
// superuser, who has shown a certificate.
func Only(superuser string) []Rule {
	return []Rule{{Path: "/", Who: []string{superuser}, Mechanisms: []string{"X509"}, Squash: SquashNone, Trusted: true}}
}

// Export answers the rule by which p may mount path: of those whose directory
// path lies in, and who are for p, the one of the longest path; the first of
// these, should there be several.
func (r Rules) Export(path string, p Peer) (Rule, error) {
	if err := CheckPath(path); err != nil {
		return Rule{}, err
	}
	// The longest first: where a closer rule decides, what others need to know
	// of the peer is not asked.
	in := slices.DeleteFunc(slices.Clone(r.Exports), func(e Rule) bool { return !Within(path, e.Path) })
	slices.SortStableFunc(in, func(a, b Rule) int { return len(b.Path) - len(a.Path) })
	i := slices.IndexFunc(in, func(e Rule) bool { return e.isFor(p) })
	if i < 0 {
		return Rule{}, fmt.Errorf("%s is not exported to %s (%s) at %s: the server's exports have no rule for that", path, p.Name, p.Mechanism, p.Addr)
	}
	return in[i], nil
}

func (e Rule) isFor(p Peer) bool {
	if len(e.Mechanisms) > 0 && !slices.Contains(e.Mechanisms, p.Mechanism) {
		return false
	}
	return p.isOne(e.Who) && p.at(e.Hosts)
}

// Within reports whether path is dir or lies below it.
func Within(path, dir string) bool {
	if dir == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// isOne reports whether the peer is one of who.
func (p Peer) isOne(who []string) bool {
	var groups []string
	for _, w := range who {
		group, isGroup := strings.CutPrefix(w, "@")
		switch {
		case !isGroup: // a principal may well be called "@admins": that makes it no member
			if w == "*" || w == p.Name {
				return true
			}
		case p.Groups != nil:
			if groups == nil {
				groups = p.Groups()
			}
			if slices.Contains(groups, group) {
				return true
			}
		}
	}
	return false
}

// at reports whether the peer is at one of hosts.
func (p Peer) at(hosts []string) bool {
	if len(hosts) == 0 {
		return true
	}
	addr := p.Addr.Unmap().WithZone("")
	for _, h := range hosts {
		if net, ok := network(h); ok {
			if net.Contains(addr) {
				return true
			}
		} else if p.Is != nil && p.Is(h) {
			return true
		}
	}
	return false
}

// network reads an address or a CIDR; anything else is a name.
func network(host string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	n, err := netip.ParsePrefix(host)
	return n.Masked(), err == nil
}
