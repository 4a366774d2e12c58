package namespace

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// countAtOnce bounds the inodes that one transaction of Count looks at.
const countAtOnce = 256

// ownersCounted is what metaOwners says at the end.
var ownersCounted = encodeCount(0)

// Count does a part of the counting that a change of quotas has left: at most
// max inodes, in one transaction. It answers how many: 0 means that there is
// nothing to do for now. It is meant to be called over and over by one
// goroutine, beside everything else. A crash loses none of it.
func (t *Tree) Count(ctx context.Context, max int) (did int, err error) {
	if !t.quotas.busy.Load() || max <= 0 {
		return 0, nil
	}
	max = min(max, countAtOnce, t.step)
	if did, err = t.countBelow(ctx, max); did == 0 && err == nil {
		if did, err = t.countOwners(ctx, max); did == 0 && err == nil {
			err = t.counted(ctx)
		}
	}
	return did, wrap("count", err)
}

// child is an entry of a directory whose children are tagged.
type child struct {
	hash uint64
	ino  posix.Ino
}

// countBelow tags children of the first directory that says so.
func (t *Tree) countBelow(ctx context.Context, max int) (did int, err error) {
	var strange, tag posix.Ino // a directory with a quota that does not know what is above it now
	_, err = t.As(posix.Cred{Super: true}).run(ctx, func(x *txn) error {
		did, strange, x.free = 0, 0, true
		d, from, err := x.firstRetag()
		if d == 0 || err != nil {
			return err
		}
		did = 1
		n, err := x.inode(d)
		if err == posix.ESTALE {
			x.tx.Delete(retagKey(d))
			return nil
		}
		if err != nil {
			return err
		}
		tag = n.quota
		children, next, err := x.children(d, from, max)
		if err != nil {
			return err
		}
		for _, c := range children {
			did++
			ok, err := x.follow(n, c.ino)
			if err != nil {
				return err
			}
			if !ok {
				strange, next = c.ino, c.hash
				break
			}
		}
		if next == 0 {
			x.tx.Delete(retagKey(d))
		} else {
			x.tx.Put(retagKey(d), encodeCount(next))
		}
		return nil
	})
	if err == nil && strange != 0 {
		err = t.adopt(ctx, QuotaID{QuotaDir, uint64(strange)}, tag)
	}
	return did, err
}

// firstRetag answers a directory whose children are to be tagged, from which
// hash on; 0 for none.
func (x *txn) firstRetag() (d posix.Ino, from uint64, err error) {
	var bad error
	err = x.r.Scan([]byte{keyRetag}, []byte{keyRetag + 1}, func(k, v []byte) bool {
		d = posix.Ino(first(k))
		from, bad = decodeCount(k, v)
		return false
	})
	if err == nil {
		err = bad
	}
	return d, from, err
}

// children answers some entries of d, in their order, and the hash at which
// to go on; 0 at the end. Entries of one hash are not parted.
func (x *txn) children(d posix.Ino, from uint64, most int) (list []child, next uint64, err error) {
	var bad error
	err = x.r.Scan(entriesFrom(d, from), key8(keyEntry, uint64(d)+1), func(k, v []byte) bool {
		hash := second(k)
		if len(list) >= most && hash != list[len(list)-1].hash {
			next = hash
			return false
		}
		e, err := decodeEntry(v)
		bad = err
		list = append(list, child{hash, e.ino})
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return list, next, err
}

// follow tags one child of d as d is. It answers false for a directory with a
// quota of its own that counts for others than d does: see adopt.
func (x *txn) follow(d *inode, ino posix.Ino) (ok bool, err error) {
	n, err := x.named(entry{ino: ino})
	q := &x.t.quotas
	switch {
	case err != nil:
		return false, err
	case q.outer(n) == d.quota:
		return true, nil
	case n.Mode.IsDir() && q.live(ino):
		return false, nil
	case n.Nlink > 1 && !n.Mode.IsDir():
		return true, x.rehome(n)
	}
	x.retag(n, d.quota)
	return true, nil
}

// adopt makes all that is counted for a directory's quota count for tag and
// what is above it too, and no more for what was above it before.
func (t *Tree) adopt(ctx context.Context, id QuotaID, tag posix.Ino) error {
	return t.alone(ctx, func(x *txn, table map[QuotaID]rule) error {
		r := table[id]
		if !r.live || r.up == tag || posix.Ino(id.ID) == tag {
			return nil
		}
		if err := x.moveUnder(table, id, tag); err != nil {
			return err
		}
		x.free = true
		r.up = tag
		table[id] = r
		x.tx.Put(quotaKey(id), r.encode())
		return nil
	})
}

// moveUnder takes what is counted for id off the quotas above it, and counts
// it for tag and those above that instead.
func (x *txn) moveUnder(table map[QuotaID]rule, id QuotaID, tag posix.Ino) error {
	old := table[id].up
	if old == tag {
		return nil
	}
	x.free = true
	counts := map[stripe]amount{}
	for n := range byte(fileStripes) {
		b, ok, err := x.r.Get(usageKey(id, n))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		u, err := decodeUsage(b)
		if err != nil {
			return err
		}
		for from, by := range map[posix.Ino]int64{old: -1, tag: +1} {
			chain(table, from, func(up QuotaID, _ rule) { counts[stripe{up, n}] = counts[stripe{up, n}].plus(u, by) })
		}
	}
	return x.count(counts)
}

// countOwners counts inodes for their owners that were there before owners
// were counted.
func (t *Tree) countOwners(ctx context.Context, max int) (did int, err error) {
	_, err = t.As(posix.Cred{Super: true}).run(ctx, func(x *txn) error {
		did, x.free = 0, true
		b, ok, err := x.r.Get(metaOwners)
		if !ok || err != nil || string(b) == string(ownersCounted) {
			return err
		}
		at, err := decodeCount(metaOwners, b)
		if err != nil {
			return err
		}
		did = 1
		next := uint64(0)
		var inos []posix.Ino
		err = x.r.Scan(inodeKey(posix.Ino(at)), []byte{keyInode + 1}, func(k, _ []byte) bool {
			if len(inos) == max {
				next = first(k)
				return false
			}
			inos = append(inos, posix.Ino(first(k)))
			return true
		})
		if err != nil {
			return err
		}
		for _, ino := range inos {
			n, err := x.inode(ino)
			if err != nil {
				return err
			}
			did++
			if !n.counted {
				n.counted, n.dirty = true, true
			}
		}
		x.tx.Put(metaOwners, encodeCount(next))
		return nil
	})
	return did, err
}

// counted ends the counting, if all is counted. A quota that was taken away is
// forgotten once nothing bears its tag: files without a name may for a while.
func (t *Tree) counted(ctx context.Context) error {
	q := &t.quotas
	err := t.alone(ctx, func(x *txn, table map[QuotaID]rule) error {
		d, _, err := x.firstRetag()
		if d != 0 || err != nil {
			return err
		}
		more := false
		for _, id := range slices.Collect(maps.Keys(table)) {
			if err := x.tidy(table, id, &more); err != nil {
				return err
			}
		}
		q.counting.Store(false) // nobody stirs until all this has ended
		q.busy.Store(more)
		return nil
	})
	if err != nil {
		q.stir()
	}
	return err
}

// tidy takes what nothing counts for off the table. more says that something
// is left to do some day.
func (x *txn) tidy(table map[QuotaID]rule, id QuotaID, more *bool) error {
	r := table[id]
	if id.Kind != QuotaDir {
		return nil
	}
	_, there, err := x.r.Get(inodeKey(posix.Ino(id.ID)))
	if err != nil || there && r.live {
		return err
	}
	prefix := usageKey(id, 0)[:len(usageKey(id, 0))-1]
	used := false
	err = x.r.Scan(prefix, engine.Successor(prefix), func(_, _ []byte) bool { used = true; return false })
	if err != nil {
		return err
	}
	if used {
		*more = true
		if r.live {
			r.live, r.limit = false, Usage{}
			table[id] = r
			x.tx.Put(quotaKey(id), r.encode())
		}
		return nil
	}
	delete(table, id)
	x.tx.Delete(quotaKey(id))
	return nil
}

// The records of quotas.

func quotaKey(id QuotaID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyQuota, byte(id.Kind)}, id.ID)
}

func usageKey(id QuotaID, stripe byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{keyUsage, byte(id.Kind)}, id.ID)
	return append(b, stripe)
}

func retagKey(dir posix.Ino) []byte { return key8(keyRetag, uint64(dir)) }

// quotaIn is the quota that a key is of.
func quotaIn(k []byte) QuotaID {
	if len(k) < 10 {
		return QuotaID{}
	}
	return QuotaID{QuotaKind(k[1]), binary.BigEndian.Uint64(k[2:])}
}

func (r rule) encode() []byte {
	live := byte(0)
	if r.live {
		live = 1
	}
	b := []byte{recordVersion, live}
	for _, n := range []uint64{r.limit.Bytes, r.limit.Inodes, uint64(r.up)} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeRule(b []byte) (rule, error) {
	d := decoder{b: b}
	d.version()
	live := d.byte()
	if live > 1 {
		d.bad = true
	}
	r := rule{live: live == 1, limit: Usage{d.num(), d.num()}, up: posix.Ino(d.num())}
	return r, d.done("quota above", uint64(r.up))
}

func encodeUsage(u Usage) []byte {
	return binary.AppendUvarint(binary.AppendUvarint([]byte{recordVersion}, u.Bytes), u.Inodes)
}

func decodeUsage(b []byte) (Usage, error) {
	d := decoder{b: b}
	d.version()
	u := Usage{d.num(), d.num()}
	return u, d.done("usage of inodes", u.Inodes)
}
