package idmap

import (
	"context"
	"sync"
	"sync/atomic"
)

// mostEntries is how many entries of a table a cachedTable keeps, by kind.
const mostEntries = 1 << 18

// cachedTable is a table with a memory. What the table has is so for ever, so
// that nothing is ever asked anew; what it has not is not remembered.
type cachedTable struct {
	t Table
	*memory
}

// memory is what tables of one namespace have answered.
type memory struct {
	kinds [2]struct {
		names sync.Map // uint32 -> string
		ids   sync.Map // string -> uint32
		n     atomic.Int64
	}
}

func (c *memory) keep(k Kind, id uint32, name string) {
	t := &c.kinds[k]
	if t.n.Load() >= mostEntries { // far more than the owners of what a host works on
		t.names.Clear()
		t.ids.Clear()
		t.n.Store(0)
	}
	if _, had := t.names.Swap(id, name); !had {
		t.n.Add(1)
	}
	t.ids.Store(name, id)
}

// name is the name of an id, "" if it has none.
func (c *cachedTable) name(ctx context.Context, k Kind, id uint32) (string, error) {
	if x, ok := c.kinds[k].names.Load(id); ok {
		return x.(string), nil
	}
	err := c.learnNames(ctx, k, []uint32{id})
	if x, ok := c.kinds[k].names.Load(id); ok {
		return x.(string), nil
	}
	return "", err
}

// id is the id of a name, NoID if it has none.
func (c *cachedTable) id(ctx context.Context, k Kind, name string) (uint32, error) {
	if x, ok := c.kinds[k].ids.Load(name); ok {
		return x.(uint32), nil
	}
	err := c.learnIDs(ctx, k, []string{name})
	if x, ok := c.kinds[k].ids.Load(name); ok {
		return x.(uint32), nil
	}
	return NoID, err
}

// learnNames asks for the names of those ids that are not known, at once.
func (c *cachedTable) learnNames(ctx context.Context, k Kind, ids []uint32) error {
	var ask []uint32
	for _, id := range ids {
		if _, ok := c.kinds[k].names.Load(id); !ok {
			ask = append(ask, id)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	names, err := c.t.Names(ctx, k, ask)
	for i, name := range names {
		if name != "" {
			c.keep(k, ask[i], name)
		}
	}
	return err
}

// learnIDs asks for the ids of those names that are not known, at once.
func (c *cachedTable) learnIDs(ctx context.Context, k Kind, names []string) error {
	var ask []string
	for _, name := range names {
		if _, ok := c.kinds[k].ids.Load(name); !ok {
			ask = append(ask, name)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	ids, err := c.t.IDs(ctx, k, ask)
	for i, id := range ids {
		if id != NoID {
			c.keep(k, id, ask[i])
		}
	}
	return err
}
