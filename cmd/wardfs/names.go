package main

import (
	"context"
	"os"

	"github.com/wardfs/wardfs/client/owners"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/nss"
	"github.com/wardfs/wardfs/posix"
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
	c := owners.Config{Map: m.names, Callers: m.options.Identity == "trusted"}
	if m.options.PerCaller() {
		c.Table = func(cred posix.Cred) idmap.Table { return m.client.TableOf(cred) }
	}
	m.as = owners.As(c, m.client.As)
}

// owner is a user or group: its name in the filesystem, its id there and its
// number on this host.
type owner struct {
	Name   string `json:"name"`
	ID     uint32 `json:"id"`
	Number uint32 `json:"number"`
}

// person is as whom a mount acts that does not state its callers.
type person struct {
	User      owner   `json:"user"`
	Groups    []owner `json:"groups"` // the primary one first
	Superuser bool    `json:"superuser"`
}

// person asks the server; nil for a mount that states its callers.
func (m *mount) person(ctx context.Context) (*person, error) {
	c, ok, err := m.client.Whoami(ctx)
	if err != nil || !ok {
		return nil, err
	}
	gids := []uint32{uint32(c.GID)}
	for _, g := range c.Groups {
		gids = append(gids, uint32(g))
	}
	p := &person{Superuser: c.Super}
	users, err := m.owners(ctx, idmap.User, []uint32{uint32(c.UID)})
	if err == nil {
		p.User = users[0]
		p.Groups, err = m.owners(ctx, idmap.Group, gids)
	}
	return p, err
}

func (m *mount) owners(ctx context.Context, k idmap.Kind, ids []uint32) ([]owner, error) {
	names, err := m.client.Table().Names(ctx, k, ids)
	if err != nil {
		return nil, err
	}
	all := make([]owner, len(ids))
	for i, id := range ids {
		all[i] = owner{names[i], id, id}
		if m.names != nil {
			// Where it can't be translated it is shown as the kernel sees it: as it is.
			all[i].Number, _ = m.names.Out(ctx, k, id)
		}
	}
	return all, nil
}
