package namespace

import (
	"fmt"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// Names whose hashes collide: a reader that takes whole answers sees each
// once, one that stops anywhere sees each at least once and comes to the end.
func TestReaddirCollision(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	tr.hash = func(name string) uint64 { return hashMin + uint64(name[len(name)-1]&3) }
	v := tr.As(super)
	const n = 40
	for i := range n {
		_, err := v.Mknod(t.Context(), 1, fmt.Sprint("f", i), 0o644, 0, 0)
		ok(t, err)
	}
	for max := 1; max < n+4; max++ {
		for take := 1; take <= max; take += 7 {
			seen := map[string]int{}
			steps := 0
			for from := posix.Cookie(0); ; steps++ {
				ents, err := v.Readdir(t.Context(), 1, 0, from, max, false)
				ok(t, err)
				if len(ents) == 0 {
					break
				}
				if steps > 4*n {
					t.Fatalf("asking for %d: no end", max)
				}
				whole := take == 1 // take all that came, though it be more than max
				for i, e := range ents {
					// Stop short, but not within the first group: a buffer that
					// can't hold one group could come no further anyhow.
					if !whole && i >= take && e.Next != ents[0].Next && ents[i-1].Next != ents[0].Next {
						break
					}
					seen[e.Name]++
					from = e.Next
				}
			}
			if len(seen) != n+2 {
				t.Errorf("asking for %d and taking %d: %d names, want %d", max, take, len(seen), n+2)
			}
			for name, times := range seen {
				if take == 1 && times != 1 {
					t.Errorf("asking for %d: %q %d times", max, name, times)
				}
			}
		}
	}
	settled(t, tr)
}

func TestHashName(t *testing.T) {
	h, other := hashName(1, 2), hashName(1, 3)
	if h("a") != hashName(1, 2)("a") || h("a") == h("b") || h("a") == other("a") {
		t.Error("the hash is not one of key and name")
	}
	for i := range 10000 {
		if x := h(fmt.Sprint(i)); x < hashMin || x >= 1<<hashBits {
			t.Fatalf("hash %d", x)
		}
	}
}
