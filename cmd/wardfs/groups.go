package main

import (
	"os"
	"time"

	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/groups/ldap"
	"github.com/wardfs/wardfs/identity/nss"
)

// groups is the source of accounts and groups that the configuration names,
// with its memory.
func (b *backend) groups() (groups.Source, error) {
	g := &b.c.Groups
	var s groups.Source
	switch g.Source {
	case "none":
		return groups.None{}, nil
	case "file":
		f, err := os.Open(g.File)
		if err != nil {
			return nil, fail(exitConfig, "check groups.file", "groups.file: %w", err)
		}
		defer f.Close()
		static, err := groups.ParseStatic(f)
		if err != nil {
			return nil, fail(exitConfig, "a line reads: USER: GROUP, GROUP", "groups.file: %s: %w", g.File, err)
		}
		return static, nil
	case "ldap":
		l, err := ldap.New(b.ldapConfig())
		if err != nil {
			return nil, fail(exitConfig, "check groups.ldap", "groups.ldap: %w", err)
		}
		s = l
	default:
		s = nss.New(nss.Config{Timeout: g.Timeout})
	}
	if g.Cache == 0 {
		return s, nil
	}
	return groups.NewCache(s, groups.CacheConfig{Fresh: g.Cache, MaxAge: g.MaxAge, Log: b.log}), nil
}

// recheck is how often a session asks for its groups: the memory has them, and
// without one it is at each call.
func (b *backend) recheck() time.Duration {
	if b.c.Groups.Cache == 0 {
		return -1
	}
	return min(time.Second, b.c.Groups.Cache/10)
}

func (b *backend) ldapConfig() ldap.Config {
	l := &b.c.Groups.LDAP
	return ldap.Config{
		Servers: l.Servers, StartTLS: l.StartTLS, CA: l.CA, ServerName: l.ServerName,
		BindDN: l.BindDN, Password: secret(l.PasswordFile, os.Getenv, b.log), Timeout: b.c.Groups.Timeout,
		Schema: ldap.Schema(l.Schema), Base: l.Base, UserBase: l.UserBase, GroupBase: l.GroupBase,
		UserFilter: l.UserFilter, GroupFilter: l.GroupFilter, MemberAttr: l.MemberAttr, NameAttr: l.NameAttr,
		Nesting: int(l.Nesting), Log: b.log,
	}
}
