package namespace

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// amount is a difference of usage.
type amount struct{ bytes, inodes int64 }

// plus is a with u added by times.
func (a amount) plus(u Usage, by int64) amount {
	return amount{a.bytes + by*int64(u.Bytes), a.inodes + by*int64(u.Inodes)}
}

// more is what of a is growth, less is what is not.
func (a amount) more() amount { return amount{max(a.bytes, 0), max(a.inodes, 0)} }
func (a amount) less() amount { return amount{min(a.bytes, 0), min(a.inodes, 0)} }

func (a amount) add(b amount) amount { return amount{a.bytes + b.bytes, a.inodes + b.inodes} }

// charged is all that makes out what an inode counts for.
type charged struct {
	there  bool
	bytes  uint64 // what it covers, or what it stores in vain if that is more
	covers uint64
	uid    posix.UID
	gid    posix.GID
	tag    posix.Ino
	owners bool // counted for uid and gid
}

// charged is what n counts for now.
func (n *inode) charged() charged {
	if n.gone {
		return charged{}
	}
	return charged{true, max(n.Alloc, n.dead), n.Alloc, n.UID, n.GID, n.quota, n.counted}
}

// each calls f for every quota that c counts for, and for both owners though
// they may have none.
func (c charged) each(table map[QuotaID]rule, f func(QuotaID)) {
	if !c.there {
		return
	}
	chain(table, c.tag, func(id QuotaID, _ rule) { f(id) })
	if c.owners {
		f(QuotaID{QuotaUser, uint64(c.uid)})
		f(QuotaID{QuotaGroup, uint64(c.gid)})
	}
}

// usage is the amount of c.
func (c charged) usage() Usage { return Usage{c.bytes, 1} }

// stripe is one counter of a quota: an inode counts in that of its number, so
// that not all who write for one quota are in each other's way.
type stripe struct {
	id QuotaID
	n  byte
}

// charge counts what the transaction has made of its inodes: in the store, and
// in memory, where it is refused if it is too much. Usage in memory grows here
// and shrinks when all is durable, so that no two transactions are given the
// same room.
func (x *txn) charge() error {
	q := &x.t.quotas
	if !q.on {
		return nil
	}
	var counts map[stripe]amount
	for _, n := range x.inodes {
		if !n.dirty && !n.gone {
			continue
		}
		was, now := n.was, n.charged()
		if was == now {
			continue
		}
		if counts == nil {
			counts = map[stripe]amount{}
		}
		x.grew = x.grew || now.covers > was.covers
		at := byte(n.Ino % fileStripes)
		was.each(q.table, func(id QuotaID) { counts[stripe{id, at}] = counts[stripe{id, at}].plus(was.usage(), -1) })
		now.each(q.table, func(id QuotaID) { counts[stripe{id, at}] = counts[stripe{id, at}].plus(now.usage(), +1) })
	}
	return x.count(counts)
}

// count books the difference that each stripe makes.
func (x *txn) count(counts map[stripe]amount) error {
	total := make(map[QuotaID]amount, len(counts))
	for s, a := range counts {
		if a == (amount{}) {
			continue
		}
		total[s.id] = total[s.id].add(a)
		if err := x.countStripe(s, a); err != nil {
			return err
		}
	}
	return x.reserve(total)
}

func (x *txn) countStripe(s stripe, by amount) error {
	key := usageKey(s.id, s.n)
	b, ok, err := x.r.Get(key)
	if err != nil {
		return err
	}
	var now amount
	if ok {
		was, err := decodeUsage(b)
		if err != nil {
			return err
		}
		now = now.plus(was, +1)
	}
	now = now.add(by)
	if now.bytes < 0 || now.inodes < 0 {
		// Fsck and a check of quotas tell; deleting must go on.
		x.t.log.Error("a quota counts less than there was", "quota", s.id.String(), "stripe", s.n)
		now = now.more()
	}
	if now == (amount{}) {
		x.tx.Delete(key)
	} else {
		x.tx.Put(key, encodeUsage(Usage{uint64(now.bytes), uint64(now.inodes)}))
	}
	return nil
}

// reserve takes what is needed of each quota, all or nothing. Whoever only
// gives back, or takes no more of what he also gives back, is never refused.
func (x *txn) reserve(total map[QuotaID]amount) error {
	if len(total) == 0 {
		return nil
	}
	q := &x.t.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, a := range total {
		if err := x.refuse(id, a); err != nil {
			return err
		}
	}
	if q.used == nil {
		q.used = map[QuotaID]amount{}
	}
	if x.taken == nil {
		x.taken = map[QuotaID]taken{}
	}
	for id, a := range total {
		q.used[id] = q.used[id].add(a.more())
		was := x.taken[id]
		x.taken[id] = taken{was.more.add(a.more()), was.less.add(a.less())}
	}
	return nil
}

// refuse answers why a is too much for quota id. The mutex is held.
func (x *txn) refuse(id QuotaID, a amount) error {
	errno := posix.EDQUOT
	if id.Kind == QuotaDir {
		errno = posix.ENOSPC
	}
	r := x.t.quotas.table[id]
	if x.free || !r.live || id.Kind != QuotaDir && x.v.cred.Super {
		return nil
	}
	used := x.t.quotas.used[id].more() // less than nothing is damage, and no reason to refuse
	// To cut away what is covered may leave more that is dead: nobody is kept from that.
	if l := r.limit.Bytes; l > 0 && a.bytes > 0 && x.grew && uint64(used.bytes+a.bytes) > l {
		return &overQuota{errno, fmt.Sprintf("the quota of %s is %d bytes, %d are used and %d more would be", id, l, used.bytes, a.bytes)}
	}
	if l := r.limit.Inodes; l > 0 && a.inodes > 0 && uint64(used.inodes+a.inodes) > l {
		return &overQuota{errno, fmt.Sprintf("the quota of %s is %d inodes, %d are used and %d more would be", id, l, used.inodes, a.inodes)}
	}
	return nil
}

// overQuota is the refusal of what a quota does not allow.
type overQuota struct {
	errno posix.Errno
	why   string
}

func (o *overQuota) Error() string { return o.why }
func (o *overQuota) Unwrap() error { return o.errno }

// hasten gives back what files use that lost their last name and only linger,
// for somebody needs the room: whoever deletes can go on at once. It answers
// whether there was any.
func (t *Tree) hasten(ctx context.Context) (any bool) {
	if !t.opens.hasten() {
		return false
	}
	for {
		did, err := t.Reclaim(ctx, t.step)
		if did == 0 || err != nil {
			return any
		}
		any = true
	}
}

// taken is what a transaction was given of a quota, and what it gives back.
type taken struct{ more, less amount }

// settle ends what reserve began: with what was given back if the transaction
// is durable, else without what was taken.
func (x *txn) settle(durable bool) {
	if len(x.taken) == 0 {
		return
	}
	q := &x.t.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, a := range x.taken {
		by := a.less
		if !durable {
			by = amount{-a.more.bytes, -a.more.inodes}
		}
		if now := q.used[id].add(by); now == (amount{}) {
			delete(q.used, id)
		} else {
			q.used[id] = now
		}
	}
	x.taken = nil
}
