package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wardfs/wardfs/server/audit"
)

// Check finds what each key alone does not show. It looks at no file.
func (c *Config) Check() error {
	return errors.Join(
		c.checkAddress("listen", c.Listen, false),
		c.checkAddress("metrics.listen", c.Metrics.Listen, true),
		c.checkPorts(),
		c.checkRoles(),
		c.checkTLS(),
		c.checkAuth(),
		c.checkMechanisms(),
		c.checkExports(),
		c.checkGroups(),
		c.checkSession(),
		c.checkDir(),
		c.checkChunk(),
		c.checkAudit(),
	)
}

// Warnings are what is allowed and should not be.
func (c *Config) Warnings() []string {
	var all []string
	if c.closed() {
		who := "only the superuser may mount, by X509"
		if !slices.Contains(c.Auth.Mechanisms, "X509") {
			who = "nobody may mount, for that takes the superuser and X509, which auth.mechanisms lacks"
		}
		all = append(all, "exports is not set: "+who)
	}
	for i, e := range c.Exports {
		simple := slices.Contains(c.Auth.Mechanisms, "SIMPLE") && (len(e.Mechanisms) == 0 || slices.Contains(e.Mechanisms, "SIMPLE"))
		if simple && e.Squash == "none" {
			all = append(all, fmt.Sprintf("%s: a rule of exports with squash: none takes SIMPLE: whoever states the name root owns what root owns", c.from[fmt.Sprintf("exports[%d].", i)]))
		}
	}
	if c.Auth.SimpleAnywhere && slices.Contains(c.Auth.Mechanisms, "SIMPLE") && !Loopback(c.Listen) {
		all = append(all, "auth.simple_anywhere: whoever reaches "+c.Listen+" can be any user that exports admits")
	}
	return all
}

func (c *Config) checkDir() error {
	if c.Dir == "" {
		return c.wrong("dir", "name a folder that the server may write", "dir is empty")
	}
	return nil
}

func (c *Config) checkAddress(key, addr string, mayBeOff bool) error {
	if addr == "" && mayBeOff {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return c.wrong(key, "write HOST:PORT, as 127.0.0.1:7470, [::1]:7470 or :7470", "%s: %q is no address", key, addr)
	}
	return nil
}

func (c *Config) checkPorts() error {
	if c.Listen == c.Metrics.Listen && !strings.HasSuffix(c.Listen, ":0") {
		return c.wrong("metrics.listen", "give each its own port", "listen and metrics.listen are both %s", c.Listen)
	}
	return nil
}

func (c *Config) checkRoles() error {
	for _, r := range []string{"namespace", "chunk"} {
		if !slices.Contains(c.Roles, r) {
			return c.wrong("roles", "write roles: [namespace, chunk]", "roles lacks %q, and this version has no server of one role alone", r)
		}
	}
	return nil
}

func (c *Config) checkTLS() error {
	t := &c.TLS
	metrics := c.Metrics.TLS
	if err := errors.Join(c.checkMaterial("tls.", t.own()), c.checkMaterial("metrics.tls.", metrics)); err != nil {
		return err
	}
	switch {
	case t.ClientAuth == "require" && !c.trusts():
		return c.wrong("tls.client_auth", "set tls.ca", "tls.client_auth: require needs the authority of the clients")
	case t.Dir != "" && metrics.trusts() && !metrics.shows():
		return c.wrong("metrics.listen", "set metrics.tls.cert and metrics.tls.key too", "metrics.tls says whom to trust and not what to show, but tls.dir says both in one")
	case t.HandshakeTime < time.Second:
		return c.wrong("tls.handshake_timeout", "write as 20s", "tls.handshake_timeout: %v is too short for a slow network", t.HandshakeTime)
	case c.Metrics.Listen != "" && !t.Other(metrics).own().trusts():
		return c.wrong("metrics.listen", `set tls.ca, or metrics.listen: ""`, "metrics.listen needs tls.ca, for who reads metrics shows a certificate")
	}
	return nil
}

func (c *Config) checkAuth() error {
	m := c.Auth.Mechanisms
	switch {
	case len(m) == 0:
		return c.wrong("auth.mechanisms", "write SIMPLE, X509, KERBEROS, OIDC, CUSTOM or TOKEN", "auth.mechanisms is empty, so that nobody could come in")
	case slices.Contains(m, "X509") && c.TLS.ClientAuth == "none":
		return c.wrong("tls.client_auth", "write require or request", "auth.mechanisms has X509, but tls.client_auth is none")
	case slices.Contains(m, "X509") && !c.trusts():
		return c.wrong("auth.mechanisms", "set tls.ca", "auth.mechanisms has X509, but there is no tls.ca to check certificates by")
	case slices.Contains(m, "SIMPLE") && !Loopback(c.Listen) && !c.Auth.SimpleAnywhere:
		return c.wrong("listen", "take X509, listen on 127.0.0.1, or set auth.simple_anywhere: true if everyone who reaches the port is trusted",
			"SIMPLE believes every name, and %s can be reached from other machines", c.Listen)
	}
	return nil
}

func (c *Config) checkGroups() error {
	g := &c.Groups
	switch {
	case g.Source == "file" && g.File == "":
		return c.wrong("groups.source", "set groups.file", "groups.source: file needs groups.file")
	case g.Source != "file" && g.File != "":
		return c.wrong("groups.file", "write groups.source: file, or leave groups.file out", "groups.file is for groups.source: file alone")
	case g.Source == "ldap" && (len(g.LDAP.Servers) == 0 || g.LDAP.Base == "" && (g.LDAP.UserBase == "" || g.LDAP.GroupBase == "")):
		return c.wrong("groups.source", "set groups.ldap.servers and groups.ldap.base", "groups.source: ldap needs servers and a base")
	case g.LDAP.BindDN == "" && g.LDAP.PasswordFile != "", g.LDAP.BindDN != "" && g.LDAP.PasswordFile == "":
		return c.wrong("groups.ldap.bind_dn", "set both, or neither to ask anonymously", "groups.ldap.bind_dn and groups.ldap.password_file belong together")
	case g.Timeout <= 0:
		return c.wrong("groups.timeout", "write as 5s", "groups.timeout must be more than nothing")
	case g.MaxAge < g.Cache:
		return c.wrong("groups.max_age", "write a longer time than groups.cache", "groups.max_age (%v) is less than groups.cache (%v)", g.MaxAge, g.Cache)
	}
	return nil
}

func (c *Config) checkSession() error {
	s, right := &c.Session, &c.Capability
	switch {
	case right.Lifetime < time.Second:
		return c.wrong("capability.lifetime", "write as 1h", "capability.lifetime (%v) is less than a second", right.Lifetime)
	case right.KeyLifetime < 4*right.Lifetime:
		return c.wrong("capability.key_lifetime", "write 24h, or a shorter capability.lifetime", "capability.key_lifetime (%v) is less than four times capability.lifetime (%v): what an old key signed would be refused while it is good", right.KeyLifetime, right.Lifetime)
	case s.KeepAlive <= 0:
		return c.wrong("session.keepalive", "write as 10s", "session.keepalive must be more than nothing")
	case s.Timeout < 2*s.KeepAlive:
		return c.wrong("session.timeout", "let a session miss at least one sign", "session.timeout (%v) is less than twice session.keepalive (%v)", s.Timeout, s.KeepAlive)
	}
	return nil
}

func (c *Config) checkChunk() error {
	switch {
	case c.Chunk.VolumeSize < 64<<20:
		return c.wrong("chunk.volume_size", "write 64MiB or more", "chunk.volume_size is too small for blocks of 4 MiB")
	case c.Chunk.CompactRate <= 0:
		return c.wrong("chunk.compact_rate", "write as 32MiB", "chunk.compact_rate must be more than nothing")
	case c.Chunk.SweepAge < 10*time.Minute:
		return c.wrong("chunk.sweep_age", "write 10m or more", "chunk.sweep_age is less than a client may take to commit what it wrote")
	}
	return nil
}

// Loopback reports whether addr, a "host:port", is reached from this machine
// alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) checkAudit() error {
	known := audit.Operations()
	for _, op := range c.Audit.Operations {
		if !slices.Contains(known, op) {
			return c.wrong("audit.operations", DidYouMean(op, known, "write some of "+strings.Join(known, ", ")), "audit.operations: unknown operation %q", op)
		}
	}
	switch {
	case c.Audit.Mode&^0o640 != 0 || c.Audit.Mode&0o600 != 0o600:
		return c.wrong("audit.mode", "write 0600 or 0640", "audit.mode: %v lets others than the server and a group at the log", c.Audit.Mode)
	case c.Audit.MaxSize < 64<<10:
		return c.wrong("audit.max_size", "write 64KiB or more", "audit.max_size: %v is too little", c.Audit.MaxSize)
	case c.Audit.MaxAge != 0 && c.Audit.MaxAge < time.Minute:
		return c.wrong("audit.max_age", "write 1m or more, or 0s for never", "audit.max_age: %v is too short", c.Audit.MaxAge)
	case c.Audit.Keep < 1 || c.Audit.Keep > 100_000:
		return c.wrong("audit.keep", "write 1 to 100000", "audit.keep: %d files can't be kept", c.Audit.Keep)
	case c.Audit.Queue < 16 || c.Audit.Queue > 1<<20:
		return c.wrong("audit.queue", "write 16 to 1048576", "audit.queue: %d records can't wait", c.Audit.Queue)
	}
	return nil
}
