package main

import (
	"os"

	"github.com/wardfs/wardfs/client/owners"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/nss"
)

// idmapOff is what the option idmap says where numbers are to stay numbers.
const idmapOff = "off"

// readIdmap reads the map file of the option idmap; nil if it names none.
func readIdmap(file string) (*idmap.Static, error) {
	if file == "" || file == idmapOff {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fail(exitConfig, "check the mount option idmap=", "idmap: %w", err)
	}
	defer f.Close()
	s, err := idmap.ParseStatic(f)
	if err != nil {
		return nil, fail(exitConfig, "a line reads: user NUMBER NAME, or group NUMBER NAME", "idmap: %s: %w", file, err)
	}
	return s, nil
}

// translate says how the owners of this host and of the server become one
// another on this mount.
func (m *mount) translate(static *idmap.Static) {
	m.as = m.client.As
	if m.options.Idmap == idmapOff {
		return
	}
	host := idmap.CacheHost(nss.New(nss.Config{}), idmap.CacheConfig{Log: m.log})
	if static != nil {
		host = static.Over(host)
	}
	m.names = idmap.New(idmap.Config{Host: host, Table: m.client.Table(), Domain: m.options.Domain, Nobody: m.options.Nobody})
	m.as = owners.As(owners.Config{Map: m.names, Callers: m.options.Identity == "trusted"}, m.client.As)
}
