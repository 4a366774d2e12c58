package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/export"
)

// Export is a rule of the list exports.
type Export struct {
	Path       string   `key:"path" doc:"The directory that may be mounted, and all below it. No step of it is a symbolic link. Of the rules that are for a mount the one of the longest path holds, of several the first."`
	Who        []string `key:"who" doc:"Principals, groups as @group, or * for everyone who can log in. Who acts for another counts as that other."`
	Hosts      []string `key:"hosts" doc:"From where: addresses, networks as 10.1.0.0/16, names of hosts. A name is looked up when a mount comes. Empty: from anywhere."`
	Mechanisms []string `key:"mechanisms" doc:"How the mount must have proven itself. Empty: by any of auth.mechanisms."`
	Access     string   `key:"access" default:"ro" choice:"ro rw" doc:"ro answers EROFS to everything that changes something."`
	Squash     string   `key:"squash" default:"root" choice:"root none all" doc:"Whom to make nobody: uid 0 and superusers (root), no one, or every caller (all)."`
	AnonUID    uint32   `key:"anonuid" default:"65534" doc:"The uid of who was squashed."`
	AnonGID    uint32   `key:"anongid" default:"65534" doc:"The gid of who was squashed."`
	Umask      Mode     `key:"umask" default:"0" doc:"Bits that are in every caller's umask, whatever the mount says."`
	MaxMode    Mode     `key:"max_mode" default:"7777" doc:"Permission bits that can be given at all, by create, chmod or an ACL: the others are left out."`
	Trusted    bool     `key:"trusted" default:"false" doc:"Whether mounts that state their callers (identity=trusted, which needs a rule of proxy too) may mount it."`
}

// Proxy is a rule of the list proxy.
type Proxy struct {
	Principal     string   `key:"principal" doc:"Who may act for others. It must come by another mechanism than SIMPLE."`
	Users         []string `key:"users" doc:"For whom, or * for every user. The superuser's power comes only with the superuser's own name."`
	Groups        []string `key:"groups" doc:"For the members of these groups, or *."`
	Hosts         []string `key:"hosts" doc:"From where, as in exports. Empty: from anywhere."`
	StatesCallers bool     `key:"states_callers" default:"false" doc:"The mount may state uid, gid and groups of each caller, as NFS's sec=sys: it can be anyone, root too."`
}

// Rules is what exports and proxy say, for a server whose superuser is that.
func (c *Config) Rules(superuser string) export.Rules {
	var r export.Rules
	for _, e := range c.Exports {
		r.Exports = append(r.Exports, e.rule())
	}
	for _, x := range c.Proxy {
		r.Proxies = append(r.Proxies, export.Proxy(x))
	}
	if c.closed() {
		r.Exports = export.Only(superuser)
	}
	return r
}

// closed reports whether nothing was said of exports.
func (c *Config) closed() bool { return len(c.Exports) == 0 }

func (e Export) rule() export.Rule {
	return export.Rule{
		Path: e.Path, Who: e.Who, Hosts: e.Hosts, Mechanisms: e.Mechanisms, ReadOnly: e.Access != "rw",
		Squash:  map[string]export.Squash{"none": export.SquashNone, "all": export.SquashAll}[e.Squash],
		AnonUID: posix.UID(e.AnonUID), AnonGID: posix.GID(e.AnonGID),
		Umask: posix.Mode(e.Umask), MaxMode: posix.Mode(e.MaxMode), Trusted: e.Trusted,
	}
}

func (c *Config) checkExports() error {
	var errs []error
	for i, e := range c.Exports {
		at := fmt.Sprintf("exports[%d].", i)
		errs = append(errs, c.checkRule("exports", at, e.rule().Check()))
		for _, m := range e.Mechanisms {
			if !slices.Contains(c.Auth.Mechanisms, m) {
				errs = append(errs, c.ruleWrong(at, "mechanisms", "write "+or(c.Auth.Mechanisms)+", or add it to auth.mechanisms", "exports: mechanisms: %q is not in auth.mechanisms, so the rule would be for nobody", m))
			}
		}
		switch {
		case e.AnonUID == 0 || e.AnonGID == 0:
			errs = append(errs, c.ruleWrong(at, "anonuid", "name a user who owns nothing; 65534 is nobody", "exports: who is squashed to root is not squashed"))
		case e.MaxMode == 0:
			errs = append(errs, c.ruleWrong(at, "max_mode", "write as 0770", "exports: max_mode: 0 would let nobody use what is made"))
		case e.Umask > 0o777:
			errs = append(errs, c.ruleWrong(at, "umask", "write as 0027", "exports: umask: more than nine bits"))
		}
	}
	for i, x := range c.Proxy {
		errs = append(errs, c.checkRule("proxy", fmt.Sprintf("proxy[%d].", i), export.Proxy(x).Check()))
	}
	return errors.Join(errs...)
}

// checkRule gives what a rule finds wrong with itself its place.
func (c *Config) checkRule(list, at string, err error) error {
	if err == nil {
		return nil
	}
	w := &export.Wrong{Text: err.Error()}
	errors.As(err, &w)
	return c.ruleWrong(at, w.Key, w.Next, "%s: %s: %s", list, w.Key, w.Text)
}

// ruleWrong is wrong for a key of the rule at; a key that is not set is missed
// where the rule begins.
func (c *Config) ruleWrong(at, key, next, format string, args ...any) error {
	where, ok := c.from[at+key]
	if !ok {
		where = c.from[at]
	}
	return &Error{Where: where, Text: fmt.Sprintf(format, args...), Next: next}
}
