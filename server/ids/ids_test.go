package ids

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func open(t *testing.T, e engine.Engine, most int) *Table {
	t.Helper()
	table, err := Open(t.Context(), Config{Engine: e, Most: most})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func idsOf(t *testing.T, table *Table, k idmap.Kind, fresh bool, names ...string) []uint32 {
	t.Helper()
	ids, err := table.IDs(t.Context(), k, names, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestEntriesAreForEver(t *testing.T) {
	e := mem.New()
	a := open(t, e, 0)
	const first = posix.NamedFirst
	if got := idsOf(t, a, idmap.User, false, "alice"); got[0] != idmap.NoID {
		t.Errorf("a name that nobody made is %#x", got[0])
	}
	if got := idsOf(t, a, idmap.User, true, "alice", "bob", "root", "alice"); !slices.Equal(got, []uint32{first, first + 1, 0, first}) {
		t.Errorf("fresh users: %#x", got)
	}
	if got := idsOf(t, a, idmap.Group, true, "wheel", "alice"); !slices.Equal(got, []uint32{first, first + 1}) {
		t.Errorf("groups are counted apart: %#x", got)
	}
	b := open(t, e, 0) // as after a restart
	if got := idsOf(t, b, idmap.User, true, "carol", "bob"); !slices.Equal(got, []uint32{first + 2, first + 1}) {
		t.Errorf("after a restart: %#x", got)
	}
	names, err := b.Names(t.Context(), idmap.User, []uint32{first + 2, 0, first, first + 3, 4242})
	if err != nil || !slices.Equal(names, []string{"carol", "root", "alice", "", ""}) {
		t.Errorf("names: %q, %v", names, err)
	}
	for id, want := range map[uint32]bool{0: true, 4242: true, first: true, first + 2: true, first + 3: false, posix.NamedEnd - 1: false, posix.NamedEnd: true} {
		if got, err := b.Has(t.Context(), idmap.User, id); got != want || err != nil {
			t.Errorf("Has(%#x) = %v, %v", id, got, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	table := open(t, mem.New(), 2)
	for _, name := range []string{"", "a:b", "a/b", "a,b", "a\nb", "1000", " a", "a ", "\xff", strings.Repeat("a", 256)} {
		if _, err := table.IDs(t.Context(), idmap.User, []string{name}, true); posix.ErrnoOf(err) != posix.EINVAL {
			t.Errorf("%q: %v", name, err)
		}
	}
	idsOf(t, table, idmap.User, true, "a")
	if _, err := table.IDs(t.Context(), idmap.User, []string{"b", "c"}, true); posix.ErrnoOf(err) != posix.EDQUOT {
		t.Errorf("a table of two took three: %v", err)
	}
	if got := idsOf(t, table, idmap.User, false, "b"); got[0] != idmap.NoID {
		t.Errorf("a refused list left an entry behind: %#x", got[0])
	}
}

func TestNewerVersion(t *testing.T) {
	e := mem.New()
	if err := e.Update(t.Context(), func(tx engine.Tx) error { tx.Put(versionKey, []byte{2}); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Engine: e}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer table: %v", err)
	}
}

// Many who need the same names at once agree, and every name has one id.
func TestRace(t *testing.T) {
	table := open(t, mem.New(), 0)
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint("user", i)
	}
	var all [8][]uint32
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			mine := slices.Clone(names)
			if i%2 == 1 {
				slices.Reverse(mine)
			}
			got, err := table.IDs(context.Background(), idmap.User, mine, true)
			if err != nil {
				t.Error(err)
			}
			if i%2 == 1 {
				slices.Reverse(got)
			}
			all[i] = got
		})
	}
	wg.Wait()
	for i := range all {
		if !slices.Equal(all[i], all[0]) {
			t.Errorf("%d sees %v, 0 sees %v", i, all[i], all[0])
		}
	}
	sorted := slices.Clone(all[0])
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(names) || sorted[0] != posix.NamedFirst || sorted[99] != posix.NamedFirst+99 {
		t.Errorf("ids are not one for each, in a row: %v", sorted)
	}
}
