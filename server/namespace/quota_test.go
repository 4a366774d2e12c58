package namespace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func dirQuota(d posix.Ino) QuotaID  { return QuotaID{QuotaDir, uint64(d)} }
func userQuota(u posix.UID) QuotaID { return QuotaID{QuotaUser, uint64(u)} }

var joe = posix.Cred{UID: 1000, GID: 100, Groups: []posix.GID{200}}

// countAll counts until all is counted.
func countAll(t *testing.T, tr *Tree) {
	t.Helper()
	for {
		did, err := tr.Count(t.Context(), 3)
		ok(t, err)
		if did == 0 {
			return
		}
	}
}

func mkdir(t *testing.T, v View, d posix.Ino, name string) posix.Ino {
	t.Helper()
	a, err := v.Mkdir(t.Context(), d, name, 0o777, 0)
	ok(t, err)
	return a.Ino
}

func mknod(t *testing.T, v View, d posix.Ino, name string) posix.Ino {
	t.Helper()
	a, err := v.Mknod(t.Context(), d, name, 0o666, 0, 0)
	ok(t, err)
	return a.Ino
}

// uses expects what a quota says is used, in memory and by a recount.
func uses(t *testing.T, tr *Tree, id QuotaID, bytes, inodes uint64) {
	t.Helper()
	if got := tr.quotas.usedOf(id); got != (Usage{bytes, inodes}) {
		t.Errorf("%s uses %+v, want %d bytes and %d inodes", id, got, bytes, inodes)
	}
	sameInMemory(t, tr)
	well(t, tr)
}

// sameInMemory expects what is remembered to be what is stored.
func sameInMemory(t *testing.T, tr *Tree) {
	t.Helper()
	fresh := &Tree{}
	ok(t, tr.eng.View(context.Background(), fresh.loadQuotas))
	for id, u := range fresh.quotas.used {
		if tr.quotas.used[id] != u {
			t.Errorf("%s: %+v is stored, %+v remembered", id, u, tr.quotas.used[id])
		}
	}
	if len(fresh.quotas.used) != len(tr.quotas.used) {
		t.Errorf("%v is stored, %v remembered", fresh.quotas.used, tr.quotas.used)
	}
}

func TestDirectoryQuota(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	q := dirQuota(d)
	ok(t, tr.SetQuota(ctx, q, Usage{Bytes: 100, Inodes: 3}))
	countAll(t, tr)
	o, err := v.Create(ctx, d, "f", 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	f := o.Attr.Ino
	write(t, v, 1, f, 1, 0, 60)
	uses(t, tr, q, 60, 2)
	commit := func(id byte, off uint64, n uint32) error {
		s := posix.Slice{File: f, ID: posix.SliceID{id}, Len: n}
		_, err := v.Commit(ctx, 1, posix.Commit{Extents: []posix.Extent{{Off: off, Len: n, Slice: s}}})
		return err
	}
	no(t, posix.ENOSPC, commit(2, 60, 41)) // the superuser too
	ok(t, commit(2, 60, 40))
	ok(t, commit(3, 0, 100)) // written over: nothing more
	uses(t, tr, q, 100, 2)
	_, err = v.Setattr(ctx, f, posix.SetAttr{Set: posix.SetSize, Size: 1 << 40}) // a hole
	ok(t, err)
	_, err = v.Setattr(ctx, f, posix.SetAttr{Set: posix.SetSize, Size: 10})
	ok(t, err)
	uses(t, tr, q, 90, 2) // so much of the slice is stored in vain
	compact(t, tr, f)
	uses(t, tr, q, 10, 2)

	sub := mkdir(t, v, d, "sub")
	for _, err := range []error{
		second1(v.Mkdir(ctx, sub, "x", 0o755, 0)), second1(v.Symlink(ctx, d, "x", "y")), second1(v.Mknod(ctx, d, "x", 0o644, 0, 0)),
		second1(v.Create(ctx, sub, "x", 0o644, 0, 9, posix.OpenWrite)), second1(v.Tmpfile(ctx, d, 0o644, 0, 9, posix.OpenWrite)),
	} {
		no(t, posix.ENOSPC, err)
	}
	st, err := v.Statfs(ctx, sub)
	ok(t, err)
	if st.Bytes != 100 || st.FreeBytes != 90 || st.AvailBytes != 90 || st.Files != 3 || st.FreeFiles != 0 {
		t.Errorf("%+v", st)
	}
	_, err = v.Link(ctx, f, sub, "l") // no more inodes
	ok(t, err)
	ok(t, v.Unlink(ctx, d, "f"))
	ok(t, v.Unlink(ctx, sub, "l"))
	uses(t, tr, q, 10, 3) // it is open
	no(t, posix.ENOSPC, second1(v.Mknod(ctx, d, "x", 0o644, 0, 0)))
	ok(t, v.Close(ctx, 1))
	for did := 1; did > 0; {
		did, err = tr.Reclaim(ctx, 100)
		ok(t, err)
	}
	uses(t, tr, q, 0, 2)
	mknod(t, v, d, "x")
	ok(t, v.Unlink(ctx, d, "x"))
	ok(t, tr.SetQuota(ctx, q, Usage{Bytes: 100})) // a new limit
	countAll(t, tr)
	mknod(t, v, d, "x")
	uses(t, tr, q, 0, 3)
	ok(t, tr.RemoveQuota(ctx, q))
	no(t, posix.ENOENT, tr.RemoveQuota(ctx, q))
	countAll(t, tr)
	if len(tr.quotas.table)+len(tr.quotas.used)+count1(t, tr, keyQuota)+count1(t, tr, keyUsage)+count1(t, tr, keyRetag) != 0 {
		t.Errorf("left: %v %v", tr.quotas.table, tr.quotas.used)
	}
	settled(t, tr)
}

func second1[T any](_ T, err error) error { return err }

func TestOwnerQuota(t *testing.T) {
	e := twice{mem.New()}
	tr := open(t, e, Config{})
	root, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, root, 1, "d")
	v := tr.As(joe).In(2)
	for i := range 5 {
		mknod(t, v, d, fmt.Sprint("old", i))
	}
	ok(t, tr.SetQuota(ctx, userQuota(1000), Usage{Bytes: 100, Inodes: 7}))
	ok(t, tr.SetQuota(ctx, QuotaID{QuotaGroup, 200}, Usage{Inodes: 1}))
	if q, _ := tr.Quota(userQuota(1000)); !q.Counting {
		t.Error("not counting")
	}
	mknod(t, v, d, "while counting")
	_, err := tr.Count(ctx, 2)
	ok(t, err)
	tr = open(t, e, Config{}) // it goes on
	tr.Recovered()
	root, v = tr.As(super).In(1), tr.As(joe).In(2)
	countAll(t, tr)
	if q, found := tr.Quota(userQuota(1000)); !found || q.Counting || q.Used != (Usage{0, 6}) {
		t.Errorf("%+v %v", q, found)
	}
	o, err := v.Create(ctx, d, "f", 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	f := o.Attr.Ino
	uses(t, tr, userQuota(1000), 0, 7)
	no(t, posix.EDQUOT, second1(v.Mkdir(ctx, d, "x", 0o755, 0)))
	s := posix.Slice{File: f, ID: posix.SliceID{1}, Len: 101}
	big := posix.Commit{Extents: []posix.Extent{{Len: 101, Slice: s}}}
	no(t, posix.EDQUOT, second1(v.Commit(ctx, 1, big)))
	o, err = root.Open(ctx, f, 3, posix.OpenWrite)
	ok(t, err)
	ok(t, second1(root.Commit(ctx, 3, big))) // the superuser is not bound
	uses(t, tr, userQuota(1000), 101, 7)
	ok(t, v.Unlink(ctx, d, "old0"))
	ok(t, v.Unlink(ctx, d, "old1"))

	group := posix.SetAttr{Set: posix.SetGroup, GID: 200}
	ok(t, second1(v.Setattr(ctx, f, group)))
	uses(t, tr, QuotaID{QuotaGroup, 200}, 101, 1)
	g := mknod(t, v, d, "g")
	no(t, posix.EDQUOT, second1(v.Setattr(ctx, g, group)))
	ok(t, second1(root.Setattr(ctx, f, posix.SetAttr{Set: posix.SetOwner | posix.SetGroup, UID: 7, GID: 8})))
	uses(t, tr, userQuota(7), 101, 1)
	uses(t, tr, userQuota(1000), 0, 5)
	uses(t, tr, QuotaID{QuotaGroup, 200}, 0, 0)
	ok(t, second1(v.Setattr(ctx, g, group)))
	ok(t, tr.RemoveQuota(ctx, userQuota(1000)))
	for i := range 10 {
		mknod(t, v, d, fmt.Sprint("free ", i))
	}
	uses(t, tr, userQuota(1000), 0, 15) // still counted
	settled(t, tr)
}

// A name does not cross the border of a quota.
func TestQuotaBorders(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	a, b := mkdir(t, v, 1, "a"), mkdir(t, v, 1, "b")
	in, out := mkdir(t, v, a, "in"), mkdir(t, v, b, "out")
	for _, d := range []posix.Ino{a, in} {
		ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 10}))
	}
	countAll(t, tr)
	f, g := mknod(t, v, in, "f"), mknod(t, v, out, "g")
	uses(t, tr, dirQuota(a), 0, 3)
	uses(t, tr, dirQuota(in), 0, 2)
	for what, err := range map[string]error{
		"out":       v.Rename(ctx, in, "f", b, "f", 0),
		"up":        v.Rename(ctx, in, "f", a, "f", 0),
		"in":        v.Rename(ctx, out, "g", a, "g", 0),
		"tree in":   v.Rename(ctx, b, "out", in, "out", 0),
		"quota out": v.Rename(ctx, a, "in", b, "in", 0),
		"exchange":  v.Rename(ctx, in, "f", out, "g", posix.RenameExchange),
		"link out":  second1(v.Link(ctx, f, b, "l")),
		"link in":   second1(v.Link(ctx, g, in, "l")),
	} {
		if posix.ErrnoOf(err) != posix.EXDEV {
			t.Errorf("%s: %v", what, err)
		}
	}
	ok(t, v.Rename(ctx, 1, "a", b, "a", 0)) // all of it, in what has no quota
	ok(t, v.Rename(ctx, a, "in", a, "within", 0))
	ok(t, second1(v.Link(ctx, f, in, "f2")))
	uses(t, tr, dirQuota(a), 0, 3)

	o, err := v.Tmpfile(ctx, b, 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	ok(t, second1(v.Link(ctx, o.Attr.Ino, in, "was nameless")))
	uses(t, tr, dirQuota(in), 0, 3)
	ok(t, tr.SetQuota(ctx, dirQuota(a), Usage{Inodes: 4}))
	o, err = v.Tmpfile(ctx, b, 0o644, 0, 2, posix.OpenWrite)
	ok(t, err)
	no(t, posix.ENOSPC, second1(v.Mkdir(ctx, in, "x", 0o755, 0))) // the outer one counts too
	no(t, posix.ENOSPC, second1(v.Link(ctx, o.Attr.Ino, in, "x")))
	ok(t, v.Unlink(ctx, in, "f"))
	ok(t, v.Unlink(ctx, in, "f2"))
	ok(t, v.Unlink(ctx, in, "was nameless"))
	ok(t, v.Close(ctx, 1))
	for did := 1; did > 0; {
		did, err = tr.Reclaim(ctx, 100)
		ok(t, err)
	}
	ok(t, v.Rmdir(ctx, a, "within")) // its quota goes with it
	countAll(t, tr)
	if _, found := tr.Quota(dirQuota(in)); found {
		t.Error("a quota of a directory that is gone")
	}
	uses(t, tr, dirQuota(a), 0, 1)
	settled(t, tr)
}

// Quotas come and go while names do, with counting in small steps, over and
// over begun by a new server; in the end the counters are what a recount says,
// and every inode has the tag of its place. well and uses look at it meanwhile.
func TestQuotasAtRandom(t *testing.T) {
	for seed := range uint64(12) {
		e := mem.New()
		tr := open(t, twice{e}, Config{})
		ctx := t.Context()
		r := rand.New(rand.NewPCG(seed, 5))
		dirs := []posix.Ino{1}
		var files []posix.Ino
		handle := posix.Handle(0)
		for i := range 500 {
			v := tr.As(super).In(1)
			d, f := dirs[r.IntN(len(dirs))], dirs[r.IntN(len(dirs))]
			n, m := string(rune('a'+r.IntN(6))), string(rune('a'+r.IntN(6)))
			switch r.IntN(16) {
			case 0, 1:
				if a, err := v.Mkdir(ctx, d, n, 0o777, 0); err == nil {
					dirs = append(dirs, a.Ino)
				}
			case 2, 3, 4:
				handle++
				c := tr.As(posix.Cred{UID: posix.UID(r.IntN(3)), GID: 9, Super: true}).In(1)
				if o, err := c.Create(ctx, d, n, 0o666, 0, handle, posix.OpenWrite); err == nil {
					files = append(files, o.Attr.Ino)
					s := posix.Slice{File: o.Attr.Ino, ID: posix.SliceID{byte(i), byte(i >> 8)}, Len: 10}
					_, _ = c.Commit(ctx, handle, posix.Commit{Extents: []posix.Extent{{Off: uint64(r.IntN(50)), Len: 10, Slice: s}}})
					if r.IntN(3) > 0 {
						ok(t, c.Close(ctx, handle))
					}
				}
			case 5:
				if len(files) > 0 {
					_, _ = v.Link(ctx, files[r.IntN(len(files))], d, n)
				}
			case 6:
				_ = v.Unlink(ctx, d, n)
			case 7:
				_ = v.Rmdir(ctx, d, n)
			case 8, 9, 10:
				_ = v.Rename(ctx, d, n, f, m, posix.RenameFlags(r.IntN(3)))
			case 11:
				_ = tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: uint64(r.IntN(2)) * 20, Bytes: uint64(r.IntN(2)) * 100})
			case 12:
				_ = tr.RemoveQuota(ctx, dirQuota(d))
			case 13:
				if len(files) > 0 {
					_, _ = v.Setattr(ctx, files[r.IntN(len(files))], posix.SetAttr{Set: posix.SetOwner, UID: posix.UID(r.IntN(3))})
				}
			default:
				_, err := tr.Count(ctx, 1+r.IntN(3))
				ok(t, err)
			}
			switch {
			case i == 200:
				ok(t, tr.SetQuota(ctx, userQuota(1), Usage{}))
			case i%97 == 96:
				tr = open(t, twice{e}, Config{})
				tr.Recovered()
			case i%10 == 0:
				well(t, tr)
				sameInMemory(t, tr)
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, i)
			}
		}
		countAll(t, tr)
		if tr.quotas.counting.Load() {
			t.Error("counting without an end")
		}
		wrong, err := tr.CheckQuotas(ctx, false)
		if wrong != 0 || err != nil {
			t.Errorf("%d counters are wrong: %v", wrong, err)
		}
		settled(t, tr)
	}
}

// Many at once get exactly what there is, and no reservation is left over.
func TestQuotaOfManyAtOnce(t *testing.T) {
	tr := open(t, late{mem.New()}, Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 51}))
	ok(t, tr.SetQuota(ctx, userQuota(1000), Usage{Inodes: 30}))
	countAll(t, tr)
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			u := tr.As(posix.Cred{UID: posix.UID(1000 + w%2)})
			for i := range 20 {
				name := fmt.Sprintf("%d-%d", w, i)
				_, err := u.Mknod(ctx, d, name, 0o644, 0, 0)
				switch posix.ErrnoOf(err) {
				case 0:
					made.Add(1)
					if i%5 == 0 {
						ok(t, u.Unlink(ctx, d, name))
						made.Add(-1)
					}
				case posix.EDQUOT, posix.ENOSPC:
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	used := tr.quotas.usedOf(userQuota(1000))
	if used.Inodes > 30 || made.Load() > 50 || refused.Load() == 0 {
		t.Errorf("%d made, %d refused, %+v", made.Load(), refused.Load(), used)
	}
	uses(t, tr, dirQuota(d), 0, uint64(made.Load())+1)
}

// Files that lost their names and linger for who has just looked them up make
// room at once for who needs it; those that are open do not.
func TestQuotaEndsLingering(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{Linger: time.Hour})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 4}))
	countAll(t, tr)
	mknod(t, v, d, "a")
	mknod(t, v, d, "b")
	o, err := v.Create(ctx, d, "open", 0o600, 0, 1, posix.OpenWrite)
	ok(t, err)
	for _, name := range []string{"a", "b", "open"} {
		ok(t, v.Unlink(ctx, d, name))
	}
	uses(t, tr, dirQuota(d), 0, 4)
	mknod(t, v, d, "c")
	uses(t, tr, dirQuota(d), 0, 3)
	mknod(t, v, d, "e")
	no(t, posix.ENOSPC, second1(v.Mkdir(ctx, d, "f", 0o755, 0)))
	_, err = v.Getattr(ctx, o.Attr.Ino)
	ok(t, err)
	ok(t, v.Close(ctx, 1))
	mknod(t, v, d, "f")
	settled(t, tr)
}

// What comes to nothing in the engine takes nothing of a quota.
func TestQuotaOfWhatFailed(t *testing.T) {
	e := &refusing{Engine: mem.New()}
	tr := open(t, e, Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 3}))
	countAll(t, tr)
	f := mknod(t, v, d, "f")
	e.fail = true
	no(t, posix.ENOSPC, second1(v.Mknod(ctx, d, "g", 0o644, 0, 0)))
	no(t, posix.ENOSPC, v.Unlink(ctx, d, "f"))
	no(t, posix.ENOSPC, tr.SetQuota(ctx, dirQuota(f), Usage{}))
	no(t, posix.ENOSPC, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 1}))
	no(t, posix.ENOSPC, tr.RemoveQuota(ctx, dirQuota(d)))
	e.fail = false
	uses(t, tr, dirQuota(d), 0, 2)
	no(t, posix.ENOTDIR, tr.SetQuota(ctx, dirQuota(f), Usage{}))
	no(t, posix.ESTALE, tr.SetQuota(ctx, dirQuota(999), Usage{}))
	no(t, posix.EINVAL, tr.SetQuota(ctx, QuotaID{9, 1}, Usage{}))
	mknod(t, v, d, "g")
	no(t, posix.ENOSPC, second1(v.Mknod(ctx, d, "h", 0o644, 0, 0)))
	settled(t, tr)
}

// refusing runs updates and has nothing come of them.
type refusing struct {
	engine.Engine
	fail bool
}

func (e *refusing) Update(ctx context.Context, f func(engine.Tx) error) error {
	if !e.fail {
		return e.Engine.Update(ctx, f)
	}
	full := posix.E("engine", posix.ENOSPC, errors.New("full"))
	return e.Engine.Update(ctx, func(tx engine.Tx) error { _ = f(tx); return full })
}

// Wrong counters are found, and set right.
func TestCheckQuotas(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 100}))
	countAll(t, tr)
	mknod(t, v, d, "f")
	ok(t, tr.eng.Update(ctx, func(tx engine.Tx) error {
		tx.Put(usageKey(dirQuota(d), 17), encodeUsage(Usage{5, 5}))
		tx.Delete(usageKey(dirQuota(d), byte(d%fileStripes)))
		return nil
	}))
	ok(t, tr.load(ctx))
	wrong, err := tr.CheckQuotas(ctx, false)
	if wrong != 2 || err != nil {
		t.Errorf("%d wrong, %v", wrong, err)
	}
	wrong, err = tr.CheckQuotas(ctx, true)
	if wrong != 2 || err != nil {
		t.Errorf("%d repaired, %v", wrong, err)
	}
	uses(t, tr, dirQuota(d), 0, 2)
	var u Usage
	ok(t, tr.eng.Update(ctx, func(tx engine.Tx) error { // deleting goes on
		tx.Put(usageKey(dirQuota(d), byte(d%fileStripes)), encodeUsage(u))
		return nil
	}))
	ok(t, v.Unlink(ctx, d, "f"))
	ok(t, v.Rmdir(ctx, 1, "d"))
}

// Each kind of damage to quotas.
func TestFsckFindsQuotas(t *testing.T) {
	put := func(k, v []byte) damage {
		return func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put(k, v) }
	}
	q := dirQuota(2)
	finds(t, "counts for the quota of directory 2, which has none", 3, edit(func(n *inode) { n.quota = 2 }))
	finds(t, "and is not below it", 3, edit(func(n *inode) { n.quota = 2 }))
	finds(t, "is counted for its owners, which are not", 3, edit(func(n *inode) { n.counted = true }))
	finds(t, "inode 3 is not counted for its owners", 3, put(metaOwners, ownersCounted))
	finds(t, "inode 2 has a quota and counts for that of 0", 2, put(quotaKey(q), rule{live: true}.encode()))
	finds(t, "counts 1 bytes and 1 inodes; there are 0 and 0", 2, put(usageKey(q, 2), encodeUsage(Usage{1, 1})))
	finds(t, "record is damaged", 2, put(usageKey(q, 2), []byte{9}))
	finds(t, "record is damaged", 2, put(quotaKey(q), []byte{9}))
	finds(t, "count under", 2, put(retagKey(2), nil))
}

// A counter that damage has brought below nothing keeps nobody out.
func TestQuotaBelowNothing(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	d := mkdir(t, v, 1, "d")
	ok(t, tr.SetQuota(ctx, dirQuota(d), Usage{Inodes: 10}))
	countAll(t, tr)
	tr.quotas.used[dirQuota(d)] = amount{-5, -5}
	mknod(t, v, d, "f")
}
