package namespace

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// # Quotas
//
// Every inode bears the number of the directory whose quota it counts for: its
// tag, 0 for none. A new one gets that of the directory it is made in, so that
// no way up is walked for it. What a tag counts for, the directories with a
// quota above count for too. Owners are counted from the first quota of a user
// or group on; an inode says whether it is counted.
//
// What a transaction changes is worked out at its end, from what its inodes
// were and are (quotacharge.go), so no operation knows of quotas but those
// that put a name somewhere: across the border of a directory's quota that is
// EXDEV, as with Linux's project quotas. Giving or taking a quota tags all
// that is below bit by bit, and so does the counting of owners
// (quotacount.go).

// QuotaKind says whose a quota is.
type QuotaKind uint8

// The kinds. The numbers are stored.
const (
	QuotaDir   QuotaKind = 1 + iota // of a directory and all below it; ENOSPC for everybody
	QuotaUser                       // of an owner; EDQUOT for all but the superuser
	QuotaGroup                      // likewise
)

var quotaKinds = [...]string{QuotaDir: "directory", QuotaUser: "user", QuotaGroup: "group"}

// Known reports whether k is a kind that there is.
func (k QuotaKind) Known() bool { return k >= QuotaDir && k <= QuotaGroup }

func (k QuotaKind) String() string {
	if !k.Known() {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return quotaKinds[k]
}

// QuotaID names a quota: ID is the inode of a directory, a UID or a GID.
type QuotaID struct {
	Kind QuotaKind
	ID   uint64
}

func (q QuotaID) String() string { return fmt.Sprintf("%s %d", q.Kind, q.ID) }

// Usage is an amount of what is limited: inodes, those without a name included,
// and bytes: for each the more of what it covers (Attr.Alloc) and of what its
// slices store besides. So what is stored is never more than twice what is
// counted, and no more than that once compaction was there.
type Usage struct{ Bytes, Inodes uint64 }

// Quota is one, and what is used of it.
type Quota struct {
	QuotaID
	Limit Usage // 0 is no limit
	Used  Usage
	// Counting says that Used will grow until all that was there before the
	// quota is found.
	Counting bool
}

// rule is a quota as it is stored.
type rule struct {
	limit Usage
	up    posix.Ino // of a directory: the tag of those above it
	live  bool      // false: it was taken away, and some inodes still bear its tag
}

// quotas is what the Tree keeps in memory. gate is held for reading by every
// transaction of a View, and for writing while table, owners and on change: so
// they stay the same while one runs.
type quotas struct {
	gate   sync.RWMutex
	table  map[QuotaID]rule
	owners bool // owners are counted
	on     bool // anything is counted

	busy     atomic.Bool // Count has something to do
	counting atomic.Bool // of that, inodes are still to be tagged or counted

	mu   sync.Mutex
	used map[QuotaID]amount // of all transactions that are durable, and what the others may add
}

// set makes a change of the table; the gate is held for writing.
func (q *quotas) set(table map[QuotaID]rule, owners bool) {
	q.table, q.owners, q.on = table, owners, owners || len(table) > 0
}

// stir has Count look what there is to do.
func (q *quotas) stir() {
	q.busy.Store(true)
	q.counting.Store(true)
}

// live reports whether ino is a directory that has a quota now.
func (q *quotas) live(ino posix.Ino) bool {
	return len(q.table) > 0 && q.table[QuotaID{QuotaDir, uint64(ino)}].live
}

// chain calls f for tag and the quotas above it.
func (q *quotas) chain(tag posix.Ino, f func(QuotaID, rule)) { chain(q.table, tag, f) }

func chain(table map[QuotaID]rule, tag posix.Ino, f func(QuotaID, rule)) {
	for range table { // damage may have made a loop
		id := QuotaID{QuotaDir, uint64(tag)}
		r, ok := table[id]
		if tag == 0 || !ok {
			return
		}
		f(id, r)
		tag = r.up
	}
}

// usedOf answers what is used, never less than nothing.
func (q *quotas) usedOf(id QuotaID) Usage {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.used[id]
	return Usage{uint64(max(u.bytes, 0)), uint64(max(u.inodes, 0))}
}

// loadQuotas reads what the tree keeps in memory of quotas.
func (t *Tree) loadQuotas(r engine.Reader) error {
	q := &t.quotas
	table, used := map[QuotaID]rule{}, map[QuotaID]amount{}
	var bad error
	each := func(kind byte, f func(k, v []byte) error) error {
		err := r.Scan([]byte{kind}, []byte{kind + 1}, func(k, v []byte) bool {
			bad = f(k, v)
			return bad == nil
		})
		if err == nil {
			err = bad
		}
		return err
	}
	err := each(keyQuota, func(k, v []byte) (err error) {
		table[quotaIn(k)], err = decodeRule(v)
		return err
	})
	if err == nil {
		err = each(keyUsage, func(k, v []byte) error {
			u, err := decodeUsage(v)
			used[quotaIn(k)] = used[quotaIn(k)].plus(u, +1)
			return err
		})
	}
	if err == nil {
		err = each(keyRetag, func(_, _ []byte) error { q.stir(); return nil })
	}
	if err != nil {
		return err
	}
	at, owners, err := r.Get(metaOwners)
	for _, rule := range table {
		if !rule.live {
			q.busy.Store(true)
		}
	}
	if owners && string(at) != string(ownersCounted) {
		q.stir()
	}
	q.used = used
	q.set(table, owners)
	return err
}

// SetQuota gives a directory, a user or a group these limits, or others than
// it had. What is there already is counted in the background, by Count.
// ENOTDIR, ESTALE.
func (t *Tree) SetQuota(ctx context.Context, id QuotaID, limit Usage) error {
	return t.changeQuota(ctx, "set quota", id, func(x *txn, table map[QuotaID]rule) error {
		r := table[id]
		r.limit = limit
		if id.Kind == QuotaDir && !r.live {
			d, err := x.inode(posix.Ino(id.ID))
			if err != nil {
				return err
			}
			if !d.Mode.IsDir() {
				return posix.ENOTDIR
			}
			if d.Nlink == 0 {
				return posix.ENOENT
			}
			if err := x.moveUnder(table, id, d.quota); err != nil {
				return err
			}
			r.up = d.quota
			x.retag(d, d.Ino)
		}
		r.live = true
		table[id] = r
		x.tx.Put(quotaKey(id), r.encode())
		if id.Kind != QuotaDir && !x.t.quotas.owners {
			x.tx.Put(metaOwners, encodeCount(uint64(posix.RootIno)))
		}
		return nil
	})
}

// RemoveQuota takes a quota away: ENOENT if there is none. What was counted for
// a directory is taken off in the background, by Count. Owners stay counted.
func (t *Tree) RemoveQuota(ctx context.Context, id QuotaID) error {
	return t.changeQuota(ctx, "remove quota", id, func(x *txn, table map[QuotaID]rule) error {
		r := table[id]
		if !r.live {
			return posix.ENOENT
		}
		if id.Kind != QuotaDir {
			delete(table, id)
			x.tx.Delete(quotaKey(id))
			return nil
		}
		r.live, r.limit = false, Usage{}
		table[id] = r
		x.tx.Put(quotaKey(id), r.encode())
		d, err := x.inode(posix.Ino(id.ID))
		if err == posix.ESTALE {
			return nil
		}
		if err == nil {
			x.retag(d, r.up)
		}
		return err
	})
}

// changeQuota runs f alone, with a table that is the tree's if it succeeds.
func (t *Tree) changeQuota(ctx context.Context, op string, id QuotaID, f func(x *txn, table map[QuotaID]rule) error) error {
	if !id.Kind.Known() || id.ID == 0 && id.Kind == QuotaDir || id.ID>>32 != 0 && id.Kind != QuotaDir {
		return posix.E(op, posix.EINVAL, nil)
	}
	return wrap(op, t.alone(ctx, func(x *txn, table map[QuotaID]rule) error {
		x.free = true
		t.quotas.stir()
		return f(x, table)
	}))
}

// alone runs f as the only transaction that changes inodes. The table that f
// changes is charged by from the end of f on; if all comes to nothing, the old
// one is back.
func (t *Tree) alone(ctx context.Context, f func(x *txn, table map[QuotaID]rule) error) error {
	q := &t.quotas
	q.gate.Lock()
	defer q.gate.Unlock()
	old, owners := q.table, q.owners
	_, err := t.As(posix.Cred{Super: true}).attempt(ctx, func(x *txn) error {
		q.set(old, owners)
		table := maps.Clone(old)
		if table == nil {
			table = map[QuotaID]rule{}
		}
		err := f(x, table)
		now := owners || slices.ContainsFunc(slices.Collect(maps.Keys(table)), func(id QuotaID) bool { return id.Kind != QuotaDir })
		q.set(table, now)
		return err
	})
	if err != nil {
		q.set(old, owners)
	}
	return err
}

// Quota answers one quota, if there is one.
func (t *Tree) Quota(id QuotaID) (Quota, bool) {
	q := &t.quotas
	q.gate.RLock()
	defer q.gate.RUnlock()
	r := q.table[id]
	return t.quota(id, r), r.live
}

// Quotas answers all quotas, directories first, in the order of their IDs.
func (t *Tree) Quotas() (all []Quota) {
	q := &t.quotas
	q.gate.RLock()
	defer q.gate.RUnlock()
	for id, r := range q.table {
		if r.live {
			all = append(all, t.quota(id, r))
		}
	}
	slices.SortFunc(all, func(a, b Quota) int { return slices.Compare(quotaKey(a.QuotaID), quotaKey(b.QuotaID)) })
	return all
}

func (t *Tree) quota(id QuotaID, r rule) Quota {
	return Quota{QuotaID: id, Limit: r.limit, Used: t.quotas.usedOf(id), Counting: t.quotas.counting.Load()}
}

// narrow makes st what the quotas of n's directory leave of it: no more in all
// than the least limit, no more free than the least that is left.
func (t *Tree) narrow(st *posix.Statfs, tag posix.Ino) {
	q := &t.quotas
	q.gate.RLock()
	defer q.gate.RUnlock()
	left := func(limit, used uint64) uint64 { return limit - min(used, limit) }
	q.chain(tag, func(id QuotaID, r rule) {
		used := q.usedOf(id)
		if l := r.limit.Bytes; l > 0 && r.live {
			st.Bytes = min(st.Bytes, l)
			st.FreeBytes = min(st.FreeBytes, left(l, used.Bytes))
			st.AvailBytes = min(st.AvailBytes, st.FreeBytes)
		}
		if l := r.limit.Inodes; l > 0 && r.live {
			st.Files = min(st.Files, l)
			st.FreeFiles = min(st.FreeFiles, left(l, used.Inodes))
		}
	})
}
