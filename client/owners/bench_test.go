package owners

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
)

// A host on which every number has a name, and a table that has one entry.
type host struct{}

func (host) Name(_ context.Context, _ idmap.Kind, n uint32) (string, error) {
	return fmt.Sprint("n", n), nil
}
func (host) Number(context.Context, idmap.Kind, string) (uint32, error) { return 1000, nil }

type table struct{}

func (table) IDs(_ context.Context, _ idmap.Kind, names []string) ([]uint32, error) {
	return slices.Repeat([]uint32{posix.NamedFirst}, len(names)), nil
}

func (table) Names(_ context.Context, _ idmap.Kind, ids []uint32) ([]string, error) {
	return slices.Repeat([]string{"n1000"}, len(ids)), nil
}

// still answers one Attr to whatever is asked.
type still struct{ posix.Namespace }

func (still) Getattr(context.Context, posix.Ino) (posix.Attr, error) {
	return posix.Attr{UID: posix.NamedFirst, GID: posix.NamedFirst}, nil
}

// BenchmarkGetattr is what the translation adds to a call: the caller's two ids
// in, the owner's two out.
func BenchmarkGetattr(b *testing.B) {
	m := idmap.New(idmap.Config{Host: idmap.CacheHost(host{}, idmap.CacheConfig{}), Table: table{}})
	as := As(Config{Map: m, Callers: true}, func(posix.Cred) posix.Namespace { return still{} })
	b.ReportAllocs()
	for b.Loop() {
		if a, err := as(posix.Cred{UID: 1000, GID: 1000}).Getattr(b.Context(), 1); err != nil || a.UID != 1000 {
			b.Fatal(a, err)
		}
	}
}

// BenchmarkAttr is the owners of one Attr alone.
func BenchmarkAttr(b *testing.B) {
	m := idmap.New(idmap.Config{Host: idmap.CacheHost(host{}, idmap.CacheConfig{}), Table: table{}})
	n := namespace{c: &Config{Map: m}}
	b.ReportAllocs()
	for b.Loop() {
		n.shown(b.Context(), posix.Attr{UID: posix.NamedFirst, GID: posix.NamedFirst})
	}
}
