package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/server/export"
)

// What lies in the folder of a dev, beside the stores:
//
//	lock            held while a server uses the folder
//	endpoint.json   where it listens, or listened last
//	tls/            authority, certificates and keys

// endpoint is where a dev listens.
type endpoint struct {
	Listen string `json:"listen"`
}

func endpointFile(dir string) string { return filepath.Join(dir, "endpoint.json") }
func tlsDir(dir string) string       { return filepath.Join(dir, "tls") }
func tlsFile(dir, name string) string {
	return filepath.Join(tlsDir(dir), name)
}

func writeEndpoint(dir, listen string) error {
	text, err := json.Marshal(endpoint{listen})
	if err != nil {
		return err
	}
	tmp := endpointFile(dir) + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, endpointFile(dir))
}

func readEndpoint(dir string) (string, error) {
	var p endpoint
	text, err := os.ReadFile(endpointFile(dir))
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return "", err
	}
	_, _, err = net.SplitHostPort(p.Listen)
	return p.Listen, err
}

// lastEndpoint is where the dev over dir listened last, so that mounts of
// before find it again; otherwise the usual.
func lastEndpoint(dir, usual string) string {
	if p, err := readEndpoint(dir); err == nil {
		return p
	}
	return usual
}

// useDev fills in server and material of a dev:DIR, where the options leave
// them out.
func (m *mounting) useDev() error {
	dir, err := filepath.Abs(m.spec.Dev)
	if err != nil {
		return err
	}
	m.spec.Dev = dir
	addr, err := readEndpoint(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitUnreachable, "start one: wardfs dev --dir "+dir, "no `wardfs dev` has run over %s", dir)
	case errors.Is(err, fs.ErrPermission):
		return fail(exitRefused, "mount as the user who runs it", "the `wardfs dev` of %s is another user's", dir)
	case err != nil:
		return fail(exitDamage, "start it again: wardfs dev --dir "+dir, "%s: %w", endpointFile(dir), err)
	}
	m.spec.Servers = []string{addr}
	o := m.options
	if o.CA == "" {
		o.CA = tlsFile(dir, "ca.pem")
	}
	own := o.Mechanism == "" || o.Mechanism == "X509" // else who mounts has something to show
	if own && !o.HasCert() {
		o.Cert, o.Key = tlsFile(dir, "client.pem"), tlsFile(dir, "client.key")
	}
	if own && o.Identity == "" {
		o.Identity = "trusted"
	}
	return nil
}

// devDefaults sets what is another in a dev than in a server, where nobody set
// it.
func devDefaults(c *config.Config) error {
	me, err := userName()
	if err != nil {
		return err
	}
	unset := func(key string, set func()) {
		if !c.IsSet(key) {
			set()
		}
	}
	unset("tls.cert", func() { c.TLS.Cert = tlsFile(c.Dir, "server.pem") })
	unset("tls.key", func() { c.TLS.Key = tlsFile(c.Dir, "server.key") })
	unset("tls.ca", func() { c.TLS.CA = tlsFile(c.Dir, "ca.pem") })
	unset("tls.client_auth", func() { c.TLS.ClientAuth = "require" })
	unset("auth.mechanisms", func() { c.Auth.Mechanisms = []string{"X509"} })
	unset("exports", func() {
		c.Exports = []config.Export{{Path: "/", Who: []string{"*"}, Access: "rw", Squash: "none", AnonUID: export.Nobody, AnonGID: export.Nobody, MaxMode: 0o7777, Trusted: true}}
	})
	unset("proxy", func() { c.Proxy = []config.Proxy{{Principal: me, StatesCallers: true}} })
	unset("auth.superuser", func() { c.Auth.Superuser = me })
	if os.Geteuid() == 0 { // as /tmp: open to all, and each owns what is his
		unset("root.mode", func() { c.Root.Mode = 0o1777 })
	} else {
		return devRoot(c, me)
	}
	return nil
}

// devRoot gives the root of a plain user's dev to that user, where nobody else
// was named.
func devRoot(c *config.Config, me string) error {
	if !c.IsSet("root.owner") && !c.IsSet("root.uid") {
		c.Root.Owner = me
	}
	if c.IsSet("root.group") || c.IsSet("root.gid") {
		return nil
	}
	g, err := user.LookupGroupId(strconv.Itoa(os.Getegid()))
	if err != nil {
		c.Root.GID = uint32(os.Getegid()) // a group without a name
		return nil
	}
	c.Root.Group = g.Name
	return nil
}

// makeDevCerts sees to the authority and the certificates of a dev. It is
// called with the folder locked.
func makeDevCerts(c *config.Config) error {
	me, err := userName()
	if err != nil {
		return err
	}
	a, err := certs.Open(tlsDir(c.Dir), nil)
	if err != nil {
		return err
	}
	hosts := certs.Hosts()
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" && !config.Loopback(c.Listen) {
		hosts = append(hosts, host)
	}
	if _, err := a.Server("server", hosts); err != nil {
		return err
	}
	_, err = a.Client("client", me)
	return err
}

// devDir is the default folder of a dev.
func devDir(e *env) (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/wardfs/dev", nil
	}
	if data := e.getenv("XDG_DATA_HOME"); data != "" {
		return filepath.Join(data, "wardfs", "dev"), nil
	}
	home, err := homeDir(e)
	return filepath.Join(home, ".local", "share", "wardfs", "dev"), err
}

// devMount is its default mount point.
func devMount(e *env) (string, error) {
	if os.Geteuid() == 0 {
		return "/mnt/ward", nil
	}
	home, err := homeDir(e)
	return filepath.Join(home, "ward"), err
}

func homeDir(e *env) (string, error) {
	if home := e.getenv("HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	return "", fail(exitUsage, "give --dir and --mount, or set HOME", "this user has no home folder")
}
