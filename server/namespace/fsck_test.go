package namespace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// Each kind of damage is found, and named.
func TestFsckFinds(t *testing.T) {
	id := posix.Slice{File: 3, ID: posix.SliceID{1}, Len: 100}
	for _, c := range []struct {
		want string
		ino  posix.Ino // 2 is a directory, 3 a file in it
		do   damage
	}{
		{"has 1 names, says 2", 3, edit(func(n *inode) { n.Nlink = 2 })},
		{"1 names and 3 links", 2, edit(func(n *inode) { n.Nlink = 3 })},
		{"has 1 entries, says 7", 2, edit(func(n *inode) { n.Size = 7 })},
		{"in directory 1, says 3", 2, edit(func(n *inode) { n.parent = 3 })},
		{"below itself", 2, edit(func(n *inode) { n.parent = 2 })},
		{"has 100 bytes, says 5", 3, edit(func(n *inode) { n.Alloc = 5 })},
		{"ends after its size", 3, edit(func(n *inode) { n.Size = 50 })},
		{"orphan is false", 3, edit(func(n *inode) { n.Nlink = 0 })},
		{"security.capability: false, says true", 3, edit(func(n *inode) { n.caps = true })},
		{"not below the numbers given away", 1 << 50, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(inodeKey(ino), (&inode{}).encode())
		}},
		{"which is not there", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Delete(inodeKey(ino)) }},
		{"no root", 1, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Delete(inodeKey(ino)) }},
		{"record is damaged", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Put(inodeKey(ino), []byte{9}) }},
		{"0 names, says 1", 2, func(_ *testing.T, tx engine.Tx, tr *Tree, ino posix.Ino) {
			tx.Delete(entryKey(ino, tr.hash("f"), "f"))
		}},
		{"wrong place", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(entryKey(ino, 99, "g"), entry{3, posix.TypeReg}.encode())
		}},
		{"says type", 2, func(_ *testing.T, tx engine.Tx, tr *Tree, ino posix.Ino) {
			tx.Put(entryKey(ino, tr.hash("f"), "f"), entry{3, posix.TypeFIFO}.encode())
		}},
		{"in no directory", 3, func(_ *testing.T, tx engine.Tx, tr *Tree, ino posix.Ino) {
			tx.Put(entryKey(ino, tr.hash("f"), "f"), entry{3, posix.TypeReg}.encode())
		}},
		{"orphan is true", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Put(orphanKey(ino), []byte{1}) }},
		{"orphan 9 is not there", 9, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Put(orphanKey(ino), []byte{1}) }},
		{"named by none", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Delete(extentKey(ino, 100)) }},
		{"begins before", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(extentKey(ino, 120), encodeExtent(posix.Extent{Off: 90, Len: 30, Slice: id}))
		}},
		{"which is no file", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(extentKey(ino, 10), encodeExtent(posix.Extent{Len: 10, Slice: id}))
		}},
		{"named and not counted", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Delete(sliceKey(keyRef, id)) }},
		{"named 1 times", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) {
			tx.Put(sliceKey(keyRef, id), ref{count: 2, len: 100, own: 100, kept: true}.encode())
		}},
		{"freed and named", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) {
			tx.Put(sliceKey(keyFreed, id), freed{len: 100, at: 1}.encode())
		}},
		{"xattr", 9, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Put(xattrKey(ino, "user.a"), nil) }},
		{"of stripe 3, counted 4", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(filesKey(ino), encodeCount(4))
		}},
		{"of stripe 3, counted none", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Delete(filesKey(ino)) }},
		{"session 5", 0, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put(replyKey(5, 1), nil) }},
		{"inode 3 has ACL 1, which is not there", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Delete(listKey(1)) }},
		{"ACL 1 is not what its sum says", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) {
			l := someACL()
			l[1].ID++
			tx.Put(listKey(1), encodeACL(l))
		}},
		{"ACL 1 is not found by its sum", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Delete(listSumKey(someACL())) }},
		{"number of ACL 0", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put(listSumKey(someACL()), []byte{1, 0}) }},
		{"ACL 2 is had by no inode", 2, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put(listKey(2), encodeACL(acl.FromMode(0))) }},
		{"mode 100777 and ACL", 3, edit(func(n *inode) { n.Mode |= 0o777 })},
		{"has a default ACL", 3, edit(func(n *inode) { n.defACL = 1 })},
		{"have ACL 1 1 times, counted 2", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(listUsesKey(1, ino), encodeCount(2))
		}},
		{"have ACL 1 1 times, counted none", 3, func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) { tx.Delete(listUsesKey(1, ino)) }},
		{"no known kind", 0, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put([]byte("zebra"), nil) }},
		{"cut short", 0, func(_ *testing.T, tx engine.Tx, _ *Tree, _ posix.Ino) { tx.Put([]byte("i1"), nil) }},
	} {
		finds(t, c.want, c.ino, c.do)
	}
}

// damage does something to inode ino of a tree.
type damage func(t *testing.T, tx engine.Tx, tr *Tree, ino posix.Ino)

// edit is the damage of a record that is well formed.
func edit(f func(*inode)) damage {
	return func(t *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
		b, _, err := tx.Get(inodeKey(ino))
		ok(t, err)
		n, err := decodeInode(ino, b)
		ok(t, err)
		f(n)
		tx.Put(inodeKey(ino), n.encode())
	}
}

// finds expects that Fsck finds want once do has damaged a tree in which 2 is
// a directory and 3 a file in it.
func finds(t *testing.T, want string, ino posix.Ino, do damage) {
	t.Helper()
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	d, err := v.Mkdir(t.Context(), 1, "d", 0o755, 0)
	ok(t, err)
	o, err := v.Create(t.Context(), d.Ino, "f", 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	if d.Ino != 2 || o.Attr.Ino != 3 {
		t.Fatalf("inodes %d and %d: the table is for 2 and 3", d.Ino, o.Attr.Ino)
	}
	write(t, v, 1, 3, 1, 0, 100)
	ok(t, v.Setxattr(t.Context(), 3, acl.XattrAccess, acl.EncodeXattr(someACL()), 0))
	well(t, tr)
	ok(t, tr.eng.Update(t.Context(), func(tx engine.Tx) error {
		do(t, tx, tr, ino)
		return nil
	}))
	found, err := tr.Fsck(t.Context())
	ok(t, err)
	if !strings.Contains(fmt.Sprint(found), want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

// Each kind of damage to what inodes know of their places.
func TestFsckFindsPlaces(t *testing.T) {
	link := func(names uint64) damage {
		return func(_ *testing.T, tx engine.Tx, _ *Tree, ino posix.Ino) {
			tx.Put(linkKey(ino, 2, 77), encodeCount(names))
		}
	}
	lost := func(ino posix.Ino) string { return fmt.Sprintf("inode %d does not know where it is named", ino) }
	finds(t, lost(3), 3, edit(func(n *inode) { n.parent = 5 }))
	finds(t, lost(3), 3, edit(func(n *inode) { n.parent, n.place = 0, 0 }))
	finds(t, lost(2), 2, edit(func(n *inode) { n.place++ }))
	finds(t, lost(3), 3, link(1))
	finds(t, "has its place in its record", 3, link(1))
	finds(t, "link of inode 9, which is not there", 9, link(1))
	finds(t, "in directory 2 is damaged", 3, link(0))
}

// A damaged record is EIO to who meets it, never a panic.
func TestDamageIsEIO(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	write(t, v, 1, f, 1, 0, 100)
	ok(t, v.Setxattr(t.Context(), f, acl.XattrAccess, acl.EncodeXattr(someACL()), 0))
	for _, key := range [][]byte{listKey(1), inodeKey(f), extentKey(f, 100), entryKey(1, tr.hash("f"), "f"), sliceKey(keyRef, posix.Slice{File: f, ID: posix.SliceID{1}})} {
		for _, damage := range [][]byte{nil, {recordVersion}, {9, 9, 9}} {
			var was []byte
			ok(t, tr.eng.Update(t.Context(), func(tx engine.Tx) error {
				b, found, err := tx.Get(key)
				if !found {
					t.Fatalf("no key %q", key)
				}
				was = append([]byte(nil), b...)
				tx.Put(key, damage)
				return err
			}))
			met := 0
			tr.acls = aclCache{}
			for _, err := range everything(t, v, f) {
				if err == nil {
					continue
				}
				met++
				no(t, posix.EIO, err)
			}
			if met == 0 {
				t.Errorf("nobody met the damage of %q", key)
			}
			ok(t, tr.eng.Update(t.Context(), func(tx engine.Tx) error { tx.Put(key, was); return nil }))
		}
	}
	well(t, tr)
}

// everything does to f what does not change the tree when all is well.
func everything(t *testing.T, v View, f posix.Ino) (errs []error) {
	ctx := t.Context()
	_, a := v.Lookup(ctx, 1, "f")
	_, b := v.Getattr(ctx, f)
	_, _, c := v.Layout(ctx, 1, 0, 100)
	_, d := v.Readdir(ctx, 1, 0, 0, 10, true)
	_, e := v.Commit(ctx, 1, posix.Commit{Extents: []posix.Extent{{Len: 100, Slice: posix.Slice{File: f, ID: posix.SliceID{1}, Len: 100}}}})
	g := v.Rename(ctx, 1, "f", 1, "f", 0)
	return []error{a, b, c, d, e, g}
}
