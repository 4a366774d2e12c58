package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/fuse"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/local"
	"github.com/wardfs/wardfs/identity/nss"
	"github.com/wardfs/wardfs/posix"
)

// This file says how each local user of a mount gets a session of its own.

// callers is what identity=caller and identity=impersonate need.
func (m *mounting) callers(e *env) (*client.Callers, error) {
	owner := posix.UID(os.Geteuid())
	if m.options.Identity == "impersonate" {
		return byName(owner), nil
	}
	o := m.options
	c := local.Config{Kerberos: initiate(e, o, m.spec.Servers[0]), Agents: orDefaults(o.Agent, local.DefaultAgents)}
	if o.Mechanism != identity.OIDC {
		c.Caches = orDefaults(o.CCache, local.DefaultCaches)
	}
	if o.Mechanism != identity.Kerberos {
		c.Tokens = orDefaults(o.Token, local.DefaultTokens)
	}
	f, err := local.New(c)
	if err != nil {
		return nil, fail(exitUsage, "see docs/callers.md", "%w", err)
	}
	return &client.Callers{
		Stamp: f.Stamp, Hint: f.Hint, Own: o.Own(), Owner: owner,
		Prover: func(uid posix.UID) (identity.Prover, string, error) {
			p, err := f.Prover(uid)
			return p, "", err
		},
	}, nil
}

func orDefaults(one string, all []string) []string {
	if one != "" {
		return []string{one}
	}
	return all
}

// nameTime bounds the question who a local user is.
const nameTime = 3 * time.Second

// byName has the mount's own principal act for each local user, by its name on
// this host.
func byName(owner posix.UID) *client.Callers {
	host := idmap.CacheHost(nss.New(nss.Config{}), idmap.CacheConfig{})
	name := func(uid posix.UID) string {
		ctx, cancel := context.WithTimeout(context.Background(), nameTime)
		defer cancel()
		s, err := host.Name(ctx, idmap.User, uint32(uid))
		if err != nil || identity.CheckName(s) != nil {
			return ""
		}
		return s
	}
	hint := func(posix.UID) string { return "it needs a name on this host, by which the mount acts for it" }
	return &client.Callers{
		Own: true, Owner: owner, Stamp: name, Hint: hint,
		Prover: func(uid posix.UID) (identity.Prover, string, error) {
			s := name(uid)
			if s == "" {
				return nil, "", fmt.Errorf("user %d has no name on this host: %s", uid, hint(uid))
			}
			return nil, s, nil
		},
	}
}

// ownProver proves who a mount with identity=caller itself is; nil is by its
// certificate, or by nothing.
func ownProver(e *env, o *mountopt.Options, server string) (identity.Prover, error) {
	if o.Keytab == "" {
		return nil, nil
	}
	return kerberos.NewProver(initiate(e, o, server))
}

// identityOf is whom a request is done for, where that is another than the
// kernel's caller with its groups: these are the server's to know.
func identityOf(o *mountopt.Options) fuse.Identity {
	if !o.PerCaller() {
		return nil
	}
	return func(uid, gid, _ uint32) posix.Cred { return posix.Cred{UID: posix.UID(uid), GID: posix.GID(gid)} }
}
