package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/custom"
	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/oidc"
	x509id "github.com/wardfs/wardfs/identity/x509"
)

// This file puts together what proves and what checks an identity: which
// package, from which options and keys.

// pins understands what an option or a key says; what names it, and code is that
// of a mistake there.
func pins(list []string, what string, code int) (all []certs.Pin, err error) {
	for _, s := range list {
		p, err := certs.ParsePin(s)
		if err != nil {
			return nil, fail(code, "openssl x509 -noout -fingerprint -sha256 -in FILE shows it", "%s: %w", what, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// certsConfig is the material of a server's listener.
func certsConfig(t config.TLS, log *slog.Logger) (out certs.Config, err error) {
	hidden := func(ref string) certs.Secret { return secret(ref, os.Getenv, log) }
	out = certs.Config{
		Cert: t.Cert, Key: t.Key, KeyPassword: hidden(t.KeyPassword),
		Keystore: t.Keystore, KeystorePassword: hidden(t.KeystorePassword), Alias: t.Alias, Dir: t.Dir,
		CA: t.CA, Truststore: t.Truststore, TruststorePassword: hidden(t.TruststorePassword), Log: log,
		ClientAuth: map[string]certs.ClientAuth{"require": certs.RequireCert, "request": certs.RequestCert, "none": certs.IgnoreCert}[t.ClientAuth],
	}
	if out.Pins, err = pins(t.Pins, "tls.pins", exitConfig); err != nil {
		return out, err
	}
	if out.MinVersion, err = certs.ParseVersion(t.MinVersion); err != nil {
		return out, fail(exitConfig, "", "tls.min_version: %w", err)
	}
	if out.MaxVersion, err = certs.ParseVersion(t.MaxVersion); err != nil {
		return out, fail(exitConfig, "", "tls.max_version: %w", err)
	}
	if out.Suites, err = certs.ParseSuites(t.Ciphers); err != nil {
		return out, fail(exitConfig, "", "tls.ciphers: %w", err)
	}
	return out, nil
}

// verifiers check what the configured mechanisms show.
func verifiers(c *config.Config, superuser string, log *slog.Logger) (all []identity.Verifier, err error) {
	if k := &c.Auth.Kerberos; slices.Contains(c.Auth.Mechanisms, identity.Kerberos) {
		v, err := kerberos.NewVerifier(kerberos.AcceptConfig{
			Keytab: k.Keytab, Principals: k.Principals, Realms: k.Realms, Rules: k.AuthToLocal, Skew: k.Skew, Log: log,
		})
		if err != nil {
			return nil, fail(exitConfig, "check auth.kerberos; klist -k FILE shows a keytab", "auth.kerberos: %w", err)
		}
		all = append(all, v)
	}
	if o := &c.Auth.OIDC; slices.Contains(c.Auth.Mechanisms, identity.OIDC) {
		client, err := httpsClient(o.CA)
		if err != nil {
			return nil, fail(exitConfig, "check auth.oidc.ca", "auth.oidc.ca: %w", err)
		}
		roles, err := o.RolesToGroups()
		if err != nil {
			return nil, fail(exitConfig, "write ROLE=GROUP", "auth.oidc.role_groups: %w", err)
		}
		reserved := []string{"root", superuser}
		if o.Superuser {
			reserved = nil
		}
		v, err := oidc.New(oidc.Config{
			Issuer: o.Issuer, JWKS: o.JWKS, Algorithms: o.Algorithms, Audience: o.Audience, Tenant: o.Tenant, NotBefore: o.NotBefore,
			Skew: o.Skew, MaxAge: o.MaxAge, User: o.User, Groups: o.Groups, Roles: o.Roles,
			Use:        map[string]oidc.Use{"ignore": oidc.Ignore, "add": oidc.Add, "only": oidc.Only}[o.Use],
			RoleGroups: roles, ReservedUsers: reserved, ReservedGroups: []string{"root", c.Auth.Supergroup}, Client: client, Log: log,
		})
		if err != nil {
			return nil, fail(exitConfig, "check auth.oidc", "auth.oidc: %w", err)
		}
		all = append(all, v)
	}
	if slices.Contains(c.Auth.Mechanisms, identity.Custom) {
		v, err := plugin(&c.Auth.Custom, superuser, log)
		if err != nil {
			return nil, fail(exitConfig, "check auth.custom", "auth.custom: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

// certificateNames are the choices of auth.certificate_name.
var certificateNames = map[string]x509id.Field{"common_name": x509id.CommonName, "email": x509id.Email, "dns": x509id.DNS}

// plugin is what judges for CUSTOM.
func plugin(c *config.Custom, superuser string, log *slog.Logger) (*custom.Verifier, error) {
	conf := custom.Config{Command: c.Command, Timeout: c.Timeout, Reserved: []string{"root", superuser}, Log: log}
	if c.User != "" {
		u, err := user.Lookup(c.User)
		if err != nil {
			return nil, err
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		conf.As = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} // and in no other group
	}
	return custom.New(conf)
}

// httpsClient trusts the authorities of a file, or this host's.
func httpsClient(ca string) (*http.Client, error) {
	c := &http.Client{Timeout: 10 * time.Second}
	if ca == "" {
		return c, nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	c.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Proxy: http.ProxyFromEnvironment}
	return c, nil
}

// loadMaterial loads that of a mount; log may be nil.
func loadMaterial(o *mountopt.Options, log *slog.Logger) (*certs.Store, error) {
	all, err := pins(o.Pins, "mount option pin", exitUsage)
	if err != nil {
		return nil, err
	}
	hidden := func(ref string) certs.Secret { return secret(ref, os.Getenv, log) }
	return certs.Load(certs.Config{
		Cert: o.Cert, Key: o.Key, KeyPassword: hidden(o.KeyPassword),
		Keystore: o.Keystore, KeystorePassword: hidden(o.KeystorePassword), Alias: o.Alias, Dir: o.TLSDir,
		CA: o.CA, Truststore: o.Truststore, TruststorePassword: hidden(o.TruststorePassword), Pins: all,
		ServerName: o.ServerName, AnyName: o.AnyName, Log: log,
	})
}

// prover makes what a mount or a verb shows to server; nil where package client
// needs none: SIMPLE and X509.
func prover(e *env, o *mountopt.Options, server string) (identity.Prover, error) {
	switch o.Mechanism {
	case identity.Kerberos:
		p, err := kerberos.NewProver(initiate(e, o, server))
		if err != nil {
			return nil, fail(exitUsage, "see `wardfs mount --help`", "%w", err)
		}
		return p, nil
	case identity.Custom:
		if o.Proof != "" {
			return custom.Prover{Proof: custom.File(o.Proof)}, nil
		}
		return custom.Prover{Proof: custom.Exec(strings.Fields(o.ProofExec), os.Environ())}, nil
	case identity.OIDC:
		switch {
		case o.Token == tokenOfLogin:
			source, err := loginSource(e)
			if err != nil {
				return nil, err
			}
			return oidc.Prover{Token: source, Key: o.DPoPKey}, nil
		case o.Token != "":
			return oidc.Prover{Token: oidc.File(o.Token), Key: o.DPoPKey}, nil
		case o.TokenExec != "":
			return oidc.Prover{Token: oidc.Exec(strings.Fields(o.TokenExec), os.Environ(), time.Now), Key: o.DPoPKey}, nil
		case e.getenv("WARDFS_TOKEN") != "":
			return oidc.Prover{Token: oidc.Fixed(e.getenv("WARDFS_TOKEN")), Key: o.DPoPKey}, nil
		}
		return nil, fail(exitUsage, "give token=FILE or token_exec=COMMAND, or set WARDFS_TOKEN", "mount option mechanism=OIDC needs a token")
	case identity.Token:
		switch {
		case o.TokenFile != "":
			return delegation.Prover{Token: delegation.File(o.TokenFile)}, nil
		case e.getenv(tokenVariable) != "":
			return delegation.Prover{Token: delegation.Fixed(e.getenv(tokenVariable))}, nil
		}
		return nil, fail(exitUsage, "give token_file=FILE, or set "+tokenVariable+"; `wardfs token issue` makes one", "mount option mechanism=TOKEN needs a token")
	}
	return nil, nil
}

// tokenVariable may hold a delegation token.
const tokenVariable = "WARDFS_DELEGATION_TOKEN"

// initiate is what Kerberos needs at a mount of server.
func initiate(e *env, o *mountopt.Options, server string) kerberos.InitiateConfig {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	return kerberos.InitiateConfig{
		Server: cmp.Or(o.SPN, kerberos.Service+"/"+strings.ToLower(host)), Conf: cmp.Or(o.Krb5Conf, e.getenv("KRB5_CONFIG")),
		Principal: o.Principal, Keytab: o.Keytab,
		Cache: cmp.Or(o.CCache, e.getenv("KRB5CCNAME"), "FILE:/tmp/krb5cc_"+strconv.Itoa(os.Geteuid())),
	}
}
