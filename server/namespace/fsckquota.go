package namespace

import (
	"context"
	"maps"
	"slices"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// quotaCheck compares what is counted for quotas with what there is.
type quotaCheck struct {
	table    map[QuotaID]rule
	owners   string // metaOwners
	counting bool   // children of some directory are being tagged
	sums     map[stripe]amount
	found    map[stripe]Usage
}

func newQuotaCheck() quotaCheck {
	return quotaCheck{table: map[QuotaID]rule{}, sums: map[stripe]amount{}, found: map[stripe]Usage{}}
}

func (c *quotaCheck) inode(n *inode) {
	n.charged().each(c.table, func(id QuotaID) {
		s := stripe{id, byte(n.Ino % fileStripes)}
		c.sums[s] = c.sums[s].plus(n.charged().usage(), +1)
	})
}

// differences calls f for each stripe that counts something else than there is.
func (c *quotaCheck) differences(f func(s stripe, counted, is Usage)) {
	all := maps.Clone(c.found)
	for s := range c.sums {
		all[s] = c.found[s]
	}
	order := slices.SortedFunc(maps.Keys(all), func(a, b stripe) int {
		return slices.Compare(usageKey(a.id, a.n), usageKey(b.id, b.n))
	})
	for _, s := range order {
		if is := (Usage{uint64(c.sums[s].bytes), uint64(c.sums[s].inodes)}); is != c.found[s] {
			f(s, c.found[s], is)
		}
	}
}

// quotaRule looks at a quota.
func (c *checker) quotaRule(k, v []byte) {
	r, err := decodeRule(v)
	id := quotaIn(k)
	if err != nil || !id.Kind.Known() {
		c.bad("quota of %s: %v", id, err)
		return
	}
	c.quotas.table[id] = r
}

func (c *checker) usage(k, v []byte) {
	u, err := decodeUsage(v)
	id := quotaIn(k)
	if err != nil || !id.Kind.Known() || k[10] >= fileStripes {
		c.bad("usage of %s: %v", id, err)
		return
	}
	c.quotas.found[stripe{id, k[10]}] = u
}

func (c *checker) retag(k, v []byte) {
	if _, err := decodeCount(k, v); err != nil {
		c.bad("%v", err)
	}
	c.quotas.counting = true
}

// tagged looks at a name of n in d.
func (c *checker) tagged(d, n *checked) {
	tag := n.quota
	if r := c.quotas.table[QuotaID{QuotaDir, uint64(n.Ino)}]; n.Mode.IsDir() && r.live {
		if tag != n.Ino {
			c.bad("inode %d has a quota and counts for that of %d", n.Ino, tag)
		}
		tag = r.up
	}
	n.tagged = n.tagged || tag == d.quota
}

// tag looks at what n counts for, when all names were seen.
func (c *checker) tag(n *checked) {
	q := &c.quotas
	if _, ok := q.table[QuotaID{QuotaDir, uint64(n.quota)}]; n.quota != 0 && !ok {
		c.bad("inode %d counts for the quota of directory %d, which has none", n.Ino, n.quota)
	}
	if !n.tagged && !n.orphan && n.Ino != posix.RootIno && !q.counting {
		c.bad("inode %d counts for the quota of directory %d and is not below it", n.Ino, n.quota)
	}
	switch {
	case n.counted && q.owners == "":
		c.bad("inode %d is counted for its owners, which are not", n.Ino)
	case !n.counted && q.owners == string(ownersCounted):
		c.bad("inode %d is not counted for its owners", n.Ino)
	}
}

func (c *checker) sumQuotas() {
	c.quotas.differences(func(s stripe, counted, is Usage) {
		c.bad("the quota of %s, stripe %d, counts %d bytes and %d inodes; there are %d and %d",
			s.id, s.n, counted.Bytes, counted.Inodes, is.Bytes, is.Inodes)
	})
}

// CheckQuotas counts anew all that quotas count, and answers how many counters
// were wrong. With repair it sets them right; nothing else changes meanwhile,
// which takes as long as reading all inodes does.
func (t *Tree) CheckQuotas(ctx context.Context, repair bool) (wrong int, err error) {
	recount := func(r engine.Reader, table map[QuotaID]rule) (quotaCheck, error) {
		c := newQuotaCheck()
		c.table = table
		var bad error
		err := r.Scan([]byte{keyInode}, []byte{keyInode + 1}, func(k, v []byte) bool {
			n, err := decodeInode(posix.Ino(first(k)), v)
			if bad = err; bad == nil {
				c.inode(n)
				bad = ctx.Err()
			}
			return bad == nil
		})
		if err == nil && bad == nil {
			err = r.Scan([]byte{keyUsage}, []byte{keyUsage + 1}, func(k, v []byte) bool {
				u, err := decodeUsage(v)
				if err == nil {
					c.found[stripe{quotaIn(k), k[len(k)-1]}] = u
				}
				return true
			})
		}
		if err == nil {
			err = bad
		}
		return c, err
	}
	if !repair {
		err = t.eng.View(ctx, func(r engine.Reader) error {
			table := map[QuotaID]rule{}
			err := r.Scan([]byte{keyQuota}, []byte{keyQuota + 1}, func(k, v []byte) bool {
				if r, err := decodeRule(v); err == nil {
					table[quotaIn(k)] = r
				}
				return true
			})
			if err != nil {
				return err
			}
			c, err := recount(r, table)
			wrong = 0
			c.differences(func(stripe, Usage, Usage) { wrong++ })
			return err
		})
		return wrong, wrap("check quotas", err)
	}
	err = t.alone(ctx, func(x *txn, table map[QuotaID]rule) error {
		x.free, wrong = true, 0
		c, err := recount(x.r, table)
		if err != nil {
			return err
		}
		counts := map[stripe]amount{}
		c.differences(func(s stripe, counted, is Usage) {
			wrong++
			counts[s] = amount{}.plus(is, +1).plus(counted, -1)
		})
		return x.count(counts)
	})
	return wrong, wrap("check quotas", err)
}
