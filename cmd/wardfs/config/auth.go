package config

import (
	"slices"
	"time"
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
	return nil
}

// trusts reports whether client certificates can be checked.
func (c *Config) trusts() bool { return c.TLS.own().trusts() }
