// Package ids is the namespace's table of names: which id stands for which
// user, and which for which group. An entry is made when a name is first
// needed, is never changed and never used for another name.
//
// It refuses to know what a name may do and where it comes from; who may make
// entries is the server's to say.
package ids

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// The keys of the table, all under 'I'; docs/format.md draws the same.
//
//	'I' 'v'               version of all of this: a number as uvarint
//	'I' 'u' name          the user's id:   4 bytes, big-endian
//	'I' 'U' id:4          the id's user:   the name
//	'I' 'g' name          as 'u', of groups
//	'I' 'G' id:4          as 'U'
//	'I' 'n' kind:1        how many entries there are: 4 bytes, big-endian; 0 users, 1 groups
const (
	space   = 'I'
	version = 1
)

var (
	byName = [...]byte{idmap.User: 'u', idmap.Group: 'g'}
	byID   = [...]byte{idmap.User: 'U', idmap.Group: 'G'}
)

func nameKey(k idmap.Kind, name string) []byte { return append([]byte{space, byName[k]}, name...) }
func idKey(k idmap.Kind, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{space, byID[k]}, id)
}
func countKey(k idmap.Kind) []byte { return []byte{space, 'n', byte(k)} }

var versionKey = []byte{space, 'v'}

// ErrFormat is the answer of Open to a table that this wardfs must not touch.
var ErrFormat = errors.New("ids: the table can't be used")

// Config is what a Table needs.
type Config struct {
	Engine engine.Engine
	// Most is how many users, and how many groups, there may be; default
	// 1,000,000.
	Most int
}

// Table is safe for concurrent use. It keeps nothing in memory but a lower
// bound of its size.
type Table struct {
	eng  engine.Engine
	most uint32
	seen [2]atomic.Uint32 // entries that there are at least, by kind
}

// Open opens the table in c.Engine, or begins one. The namespace must be there
// before it.
func Open(ctx context.Context, c Config) (*Table, error) {
	if c.Most <= 0 {
		c.Most = 1_000_000
	}
	t := &Table{eng: c.Engine, most: uint32(min(c.Most, posix.NamedEnd-posix.NamedFirst))}
	err := c.Engine.Update(ctx, func(tx engine.Tx) error {
		b, ok, err := tx.Get(versionKey)
		if err != nil {
			return err
		}
		if !ok {
			tx.Put(versionKey, binary.AppendUvarint(nil, version))
			return nil
		}
		switch v, n := binary.Uvarint(b); {
		case n <= 0 || n != len(b) || v == 0:
			return fmt.Errorf("%w: its version is damaged", ErrFormat)
		case v > version:
			return fmt.Errorf("%w: it has version %d and this wardfs knows up to %d: use a newer wardfs", ErrFormat, v, version)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open ids: %w", err)
	}
	return t, nil
}

// IDs answers the ids of names, in their order. A name without an entry gets
// one if fresh is set, and is [idmap.NoID] otherwise. A name that can't be one
// is EINVAL, a full table EDQUOT.
func (t *Table) IDs(ctx context.Context, k idmap.Kind, names []string, fresh bool) ([]uint32, error) {
	for _, name := range names {
		if err := idmap.CheckName(name); err != nil {
			return nil, posix.E("ids", posix.EINVAL, fmt.Errorf("%s %q: %w", k, name, err))
		}
	}
	ids, missing := make([]uint32, len(names)), false
	err := t.eng.View(ctx, func(r engine.Reader) (err error) {
		missing, err = find(r, k, names, ids)
		return err
	})
	if err == nil && missing && fresh {
		err = t.eng.Update(ctx, func(tx engine.Tx) error { return t.add(tx, k, names, ids) })
	}
	if err != nil {
		return nil, posix.E("ids", posix.ErrnoOf(err), err)
	}
	return ids, nil
}

// find fills ids and reports whether a name has none.
func find(r engine.Reader, k idmap.Kind, names []string, ids []uint32) (missing bool, err error) {
	for i, name := range names {
		if name == root {
			ids[i] = 0
			continue
		}
		b, ok, err := r.Get(nameKey(k, name))
		switch {
		case err != nil:
			return false, err
		case !ok:
			ids[i], missing = idmap.NoID, true
		case len(b) != 4:
			return false, damaged(k, name)
		default:
			ids[i] = binary.BigEndian.Uint32(b)
		}
	}
	return missing, nil
}

// root has no entry: 0 is root in every namespace and on every host, among
// users and among groups.
const root = "root"

func damaged(k idmap.Kind, what any) error {
	return posix.E("ids", posix.EIO, fmt.Errorf("the entry of %s %v is damaged", k, what))
}

// add makes an entry for each of the names that has none.
func (t *Table) add(tx engine.Tx, k idmap.Kind, names []string, ids []uint32) error {
	n, err := count(tx, k)
	if err != nil {
		return err
	}
	had := n
	for i := range names {
		// One by one: a name may stand in the list twice.
		missing, err := find(tx, k, names[i:i+1], ids[i:i+1])
		if err != nil {
			return err
		}
		if !missing {
			continue
		}
		if n >= t.most {
			return posix.E("ids", posix.EDQUOT, fmt.Errorf("the table has %d %ss and takes no more", n, k))
		}
		ids[i] = posix.NamedFirst + n
		n++
		tx.Put(nameKey(k, names[i]), binary.BigEndian.AppendUint32(nil, ids[i]))
		tx.Put(idKey(k, ids[i]), []byte(names[i]))
	}
	if n != had {
		tx.Put(countKey(k), binary.BigEndian.AppendUint32(nil, n))
	}
	return nil
}

func count(r engine.Reader, k idmap.Kind) (uint32, error) {
	b, ok, err := r.Get(countKey(k))
	if err != nil || !ok {
		return 0, err
	}
	if len(b) != 4 {
		return 0, damaged(k, "count")
	}
	return binary.BigEndian.Uint32(b), nil
}

// Names answers the names of ids, in their order. An id that is no entry has
// the name "".
func (t *Table) Names(ctx context.Context, k idmap.Kind, ids []uint32) ([]string, error) {
	names := make([]string, len(ids))
	err := t.eng.View(ctx, func(r engine.Reader) error {
		for i, id := range ids {
			if id == 0 {
				names[i] = root
				continue
			}
			b, _, err := r.Get(idKey(k, id))
			if err != nil {
				return err
			}
			names[i] = string(b)
		}
		return nil
	})
	if err != nil {
		return nil, posix.E("ids", posix.ErrnoOf(err), err)
	}
	return names, nil
}

// Has reports whether id can be an owner: it is a bare number, or an entry.
func (t *Table) Has(ctx context.Context, k idmap.Kind, id uint32) (bool, error) {
	if !posix.UID(id).Named() || id-posix.NamedFirst < t.seen[k].Load() {
		return true, nil
	}
	var n uint32
	err := t.eng.View(ctx, func(r engine.Reader) (err error) {
		n, err = count(r, k)
		return err
	})
	if err != nil {
		return false, posix.E("ids", posix.ErrnoOf(err), err)
	}
	for seen := t.seen[k].Load(); seen < n && !t.seen[k].CompareAndSwap(seen, n); {
		seen = t.seen[k].Load()
	}
	return id-posix.NamedFirst < n, nil
}

// Maker is the table as one sees it who may make entries.
type Maker struct{ *Table }

var _ idmap.Table = Maker{}

// IDs answers the ids of names, making entries for those that are new.
func (m Maker) IDs(ctx context.Context, k idmap.Kind, names []string) ([]uint32, error) {
	return m.Table.IDs(ctx, k, names, true)
}
