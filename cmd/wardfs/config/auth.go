package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wardfs/wardfs/identity/idmap"
)

// Kerberos is how tickets are checked.
type Kerberos struct {
	Keytab      string        `key:"keytab" doc:"File with the server's keys. Read again when it changes."`
	Principals  []string      `key:"principals" doc:"Names that tickets may be for, without the realm, as wardfs/files.example.com; one for all servers of a cluster is written here. Empty: every wardfs/… of the keytab."`
	Realms      []string      `key:"realms" doc:"Realms whose principals may come. Empty: those of the keytab."`
	AuthToLocal string        `key:"auth_to_local" default:"DEFAULT" doc:"Rules that make users of principals, as in krb5.conf and Hadoop: RULE:[n:format](regex)s/from/to/ and DEFAULT, separated by spaces."`
	Skew        time.Duration `key:"skew" default:"5m" doc:"How far clocks may be apart."`
}

// OIDC is how tokens are checked.
type OIDC struct {
	Issuer     string        `key:"issuer" doc:"What iss must be, to the letter: the issuer's address."`
	JWKS       string        `key:"jwks" doc:"Where the issuer's keys are: an https URL, or a file. Empty: the issuer is asked."`
	CA         string        `key:"ca" doc:"PEM file with the authorities of the issuer's own certificate. Empty: those of this host."`
	Algorithms []string      `key:"algorithms" default:"RS256,ES256" choice:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA" doc:"Of signatures."`
	Audience   []string      `key:"audience" doc:"One of these must be in aud. Empty: aud is not looked at."`
	Tenant     string        `key:"tenant" doc:"What tid must be. Empty: it is not looked at."`
	NotBefore  bool          `key:"check_nbf" default:"false" doc:"Look at nbf."`
	Skew       time.Duration `key:"skew" default:"0s" doc:"How far the issuer's clock may be off."`
	MaxAge     time.Duration `key:"max_age" default:"0s" doc:"How long ago a token may have been issued. 0s: as long as it is good."`
	User       string        `key:"user_claim" default:"sub" doc:"The claim that names the principal."`
	Groups     string        `key:"groups_claim" doc:"The claim with its groups, a list or words."`
	Use        string        `key:"groups_use" default:"ignore" choice:"ignore add only" doc:"What these are worth: nothing; they come beside those of groups.source (add); or they are all, and who has a token needs no account there (only). auth.supergroup and the group root never come by a token."`
	Roles      string        `key:"roles_claim" doc:"The claim with its roles, a list or words."`
	RoleGroups []string      `key:"role_groups" doc:"ROLE=GROUP: who has the role is in the group, auth.supergroup and root included, whatever groups_use says."`
	Superuser  bool          `key:"allow_superuser" default:"false" doc:"Let a token name auth.superuser, or root. Whoever chooses names at the issuer can then be it."`
}

// Custom is the plugin of CUSTOM.
type Custom struct {
	Command []string      `key:"command" doc:"The plugin, a whole path, and its arguments, without a shell. It reads the proof and prints who that is: docs/authentication.md."`
	User    string        `key:"user" doc:"The user of this host that it runs as. Empty: the server's own."`
	Timeout time.Duration `key:"timeout" default:"10s" doc:"How long it may take, 1m at most."`
}

// RolesToGroups are the groups of each role.
func (o *OIDC) RolesToGroups() (map[string][]string, error) {
	all := map[string][]string{}
	for _, line := range o.RoleGroups {
		role, group, ok := strings.Cut(line, "=")
		role, group = strings.TrimSpace(role), strings.TrimSpace(group)
		if !ok || role == "" {
			return nil, fmt.Errorf("%q does not read ROLE=GROUP", line)
		}
		if err := idmap.CheckName(group); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all[role] = append(all[role], group)
	}
	return all, nil
}

// check finds uses of claims that are not named.
func (o *OIDC) check(c *Config) error {
	_, err := o.RolesToGroups()
	switch {
	case err != nil:
		return c.wrong("auth.oidc.role_groups", "write ROLE=GROUP", "auth.oidc.role_groups: %v", err)
	case o.Use != "ignore" && o.Groups == "":
		return c.wrong("auth.oidc.groups_use", "set auth.oidc.groups_claim", "auth.oidc.groups_use is %s, but there is no auth.oidc.groups_claim", o.Use)
	case len(o.RoleGroups) > 0 && o.Roles == "":
		return c.wrong("auth.oidc.role_groups", "set auth.oidc.roles_claim", "auth.oidc.role_groups is set, but there is no auth.oidc.roles_claim")
	}
	return nil
}

// checkMechanisms finds mechanisms without what they need.
func (c *Config) checkMechanisms() error {
	has := func(m string) bool { return slices.Contains(c.Auth.Mechanisms, m) }
	switch {
	case has("KERBEROS") && c.Auth.Kerberos.Keytab == "":
		return c.wrong("auth.mechanisms", "set auth.kerberos.keytab", "auth.mechanisms has KERBEROS, but there is no auth.kerberos.keytab")
	case has("OIDC") && c.Auth.OIDC.Issuer == "":
		return c.wrong("auth.mechanisms", "set auth.oidc.issuer", "auth.mechanisms has OIDC, but there is no auth.oidc.issuer")
	}
	if has("CUSTOM") && len(c.Auth.Custom.Command) == 0 {
		return c.wrong("auth.mechanisms", "set auth.custom.command", "auth.mechanisms has CUSTOM, but there is no auth.custom.command")
	}
	return c.Auth.OIDC.check(c)
}

// trusts reports whether client certificates can be checked.
func (c *Config) trusts() bool { return c.TLS.own().trusts() }
