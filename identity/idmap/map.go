package idmap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Nobody is the number that stands for an owner who must not be taken for
// somebody of this host.
const Nobody = 65534

// The errors of In.
var (
	ErrReserved = errors.New("the number is in the range that stands for names (1879048192 to 2147483645), and it stands for none")
	ErrNoEntry  = errors.New("the server has no id for the name, and this session may not make one")
)

// Config is what a Map translates between.
type Config struct {
	Host  Host  // asked for every translation: see CacheHost
	Table Table // asked once for each entry
	// Domain is this host's, "example.com": a name "alice@example.com" of the
	// host is the namespace's "alice", and the other way round when the host
	// has no plain alice. Empty: names are as they are.
	Domain string
	// Nobody shows owners that this host does not know as Nobody instead of as
	// their ids.
	Nobody bool
}

// Map translates owners there and back. It is safe for concurrent use.
type Map struct {
	c      Config
	table  *cachedTable
	suffix string // "@example.com"
}

// New answers a Map.
func New(c Config) *Map {
	m := &Map{c: c, table: &cachedTable{t: c.Table, memory: new(memory)}}
	if c.Domain != "" {
		m.suffix = "@" + strings.ToLower(strings.TrimPrefix(c.Domain, "@"))
	}
	return m
}

// Through is the map with the same memory that asks another table, which must
// be of the same namespace: for who may not have others ask for him.
func (m *Map) Through(t Table) *Map {
	x := *m
	x.table = &cachedTable{t: t, memory: m.table.memory}
	return &x
}

// In answers the namespace's id of a host's number. A number without a name is
// itself, if it is not reserved (ErrReserved), and so is any number while the
// host can't be asked.
func (m *Map) In(ctx context.Context, k Kind, number uint32) (uint32, error) {
	if number == 0 || number == NoID {
		return number, nil
	}
	name, err := m.hostName(ctx, k, number)
	if err != nil {
		return 0, err
	}
	if name == "" {
		return m.nameless(ctx, k, number)
	}
	id, err := m.table.id(ctx, k, name)
	if err == nil && id == NoID {
		err = fmt.Errorf("%s %q: %w", k, name, ErrNoEntry)
	}
	return id, err
}

// hostName is the namespace's name of a host's number, "" if it has none. That
// a host has called another number root makes it no root.
func (m *Map) hostName(ctx context.Context, k Kind, number uint32) (string, error) {
	name, err := m.c.Host.Name(ctx, k, number)
	if err != nil {
		return "", ctx.Err()
	}
	name = m.plain(name)
	if name == "root" || CheckName(name) != nil {
		return "", nil
	}
	return name, nil
}

// plain takes our own domain off a name.
func (m *Map) plain(name string) string {
	if i := len(name) - len(m.suffix); m.suffix != "" && i > 0 && strings.EqualFold(name[i:], m.suffix) {
		return name[:i]
	}
	return name
}

func (m *Map) nameless(ctx context.Context, k Kind, number uint32) (uint32, error) {
	if !posix.UID(number).Named() {
		return number, nil
	}
	name, err := m.table.name(ctx, k, number)
	if err == nil && name == "" {
		err = fmt.Errorf("%s %d: %w", k, number, ErrReserved)
	}
	return number, err
}

// InAll is In of many, asked of the table at once. On an error it answers none.
func (m *Map) InAll(ctx context.Context, k Kind, numbers []uint32) ([]uint32, error) {
	var names []string
	for _, n := range numbers {
		name, err := m.hostName(ctx, k, n)
		if err != nil {
			return nil, err
		}
		if n != 0 && name != "" {
			names = append(names, name)
		}
	}
	if err := m.table.learnIDs(ctx, k, names); err != nil {
		return nil, err
	}
	ids := make([]uint32, len(numbers))
	for i, n := range numbers {
		id, err := m.In(ctx, k, n)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

// Out answers the number that stands for a namespace's id on this host. With an
// error it answers the id.
func (m *Map) Out(ctx context.Context, k Kind, id uint32) (uint32, error) {
	if !posix.UID(id).Named() {
		return id, nil
	}
	name, err := m.table.name(ctx, k, id)
	if err != nil {
		return id, err
	}
	if name != "" {
		n, err := m.hostNumber(ctx, k, name)
		// Who is not root in the namespace is not root here: a set-id program
		// would make more of it than a name.
		if err == nil && n != 0 && n != NoID {
			return n, nil
		}
		if ctx.Err() != nil {
			return id, ctx.Err()
		}
	}
	return m.stranger(ctx, k, id)
}

// Learn has the table asked at once for all ids that Out will be asked for.
func (m *Map) Learn(ctx context.Context, k Kind, ids []uint32) error {
	return m.table.learnNames(ctx, k, ids)
}

// hostNumber finds a name on the host, alone or with our domain.
func (m *Map) hostNumber(ctx context.Context, k Kind, name string) (uint32, error) {
	n, err := m.c.Host.Number(ctx, k, name)
	if m.suffix != "" && errors.Is(err, ErrUnknown) && !strings.Contains(name, "@") {
		return m.c.Host.Number(ctx, k, name+m.suffix)
	}
	return n, err
}

// stranger is the number of an id whose name the host does not know: the id,
// unless that is the number of somebody here.
func (m *Map) stranger(ctx context.Context, k Kind, id uint32) (uint32, error) {
	if m.c.Nobody {
		return Nobody, nil
	}
	if _, err := m.c.Host.Name(ctx, k, id); err == nil {
		return Nobody, nil
	}
	return id, ctx.Err()
}
