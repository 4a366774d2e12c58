package namespace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// someACL is u::rw-,u:1000:r--,g::r--,m::r--,o::---.
func someACL() acl.ACL {
	return acl.ACL{
		{Tag: acl.UserObj, Perm: 6}, {Tag: acl.User, Perm: 4, ID: 1000}, {Tag: acl.GroupObj, Perm: 4},
		{Tag: acl.Mask, Perm: 4}, {Tag: acl.Other},
	}
}

// text reads a list in the short form of getfacl(1), ids as numbers.
func text(t testing.TB, s string) acl.ACL {
	t.Helper()
	l, _, err := acl.ParseText(s, acl.Names{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func setfacl(v View, ino posix.Ino, name string, l acl.ACL) error {
	return v.Setxattr(context.Background(), ino, name, acl.EncodeXattr(l), 0)
}

// getfacl answers "" where there is none.
func getfacl(t *testing.T, v View, ino posix.Ino, name string) string {
	t.Helper()
	b, err := v.Getxattr(t.Context(), ino, name)
	if errors.Is(err, posix.ENODATA) {
		return ""
	}
	ok(t, err)
	l, err := acl.DecodeXattr(b)
	ok(t, err)
	return fmt.Sprint(l)
}

func modeOf(t *testing.T, v View, ino posix.Ino) posix.Mode {
	t.Helper()
	a, err := v.Getattr(t.Context(), ino)
	ok(t, err)
	return a.Mode.Perm()
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var (
	owner  = posix.Cred{UID: 100, GID: 100}
	friend = posix.Cred{UID: 1000, GID: 1000}
	other  = posix.Cred{UID: 7, GID: 7}
)

// A file's access ACL: who may set it, what it makes of the mode, whom it lets
// in, what chmod makes of it.
func TestACLOfFile(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	ctx := t.Context()
	ok(t, chmod(tr.As(super), 1, 0o777))
	v := tr.As(owner).In(1)
	f := create(t, v, "f", 1)
	no(t, posix.EPERM, setfacl(tr.As(friend), f, acl.XattrAccess, someACL()))
	no(t, posix.EACCES, tr.As(friend).Access(ctx, f, posix.MayWrite))
	l := text(t, "u::rw-,u:1000:rw-,g::r--,m::rw-,o::---")
	ok(t, setfacl(v, f, acl.XattrAccess, l))
	expect(t, "mode", modeOf(t, v, f), posix.Mode(0o660))
	noACL := func() bool {
		a, err := v.Lookup(ctx, 1, "f")
		ok(t, err)
		return a.NoACL
	}
	expect(t, "told that there is none", noACL(), false)
	expect(t, "list", getfacl(t, tr.As(other), f, acl.XattrAccess), fmt.Sprint(l))
	ok(t, tr.As(friend).Access(ctx, f, posix.MayWrite|posix.MayRead))
	no(t, posix.EACCES, tr.As(other).Access(ctx, f, posix.MayRead))
	_, err := tr.As(friend).In(2).Open(ctx, f, 5, posix.OpenWrite)
	ok(t, err)

	ok(t, chmod(v, f, 0o640)) // takes w from the mask
	expect(t, "after chmod", getfacl(t, v, f, acl.XattrAccess), fmt.Sprint(text(t, "u::rw-,u:1000:rw-,g::r--,m::r--,o::---")))
	no(t, posix.EACCES, tr.As(friend).Access(ctx, f, posix.MayWrite))
	ok(t, tr.As(friend).Access(ctx, f, posix.MayRead))
	ok(t, chmod(v, f, 0o660))
	ok(t, tr.As(friend).Access(ctx, f, posix.MayWrite)) // what the mask took comes back

	ok(t, setfacl(v, f, acl.XattrAccess, acl.FromMode(0o604))) // minimal: the mode says it all
	expect(t, "minimal", getfacl(t, v, f, acl.XattrAccess), "")
	expect(t, "told that there is none", noACL(), true)
	expect(t, "mode", modeOf(t, v, f), posix.Mode(0o604))
	ok(t, setfacl(v, f, acl.XattrAccess, l))
	ok(t, v.Removexattr(ctx, f, acl.XattrAccess))
	expect(t, "mode after it was taken away", modeOf(t, v, f), posix.Mode(0o660))
	ok(t, v.Removexattr(ctx, f, acl.XattrAccess)) // nothing there, and no error
	ok(t, setfacl(v, f, acl.XattrAccess, nil))

	ok(t, v.Setxattr(ctx, f, acl.XattrAccess, acl.EncodeXattr(l), posix.XattrReplace))
	ok(t, v.Setxattr(ctx, f, acl.XattrAccess, acl.EncodeXattr(l), posix.XattrCreate))
	ok(t, v.Setxattr(ctx, f, "user.a", nil, 0))
	names, err := v.Listxattr(ctx, f)
	expect(t, "names", fmt.Sprint(names, err), "[system.posix_acl_access user.a] <nil>")
	ok(t, v.Unlink(ctx, 1, "f"))
	settled(t, tr)
	noLists(t, tr)
}

func chmod(v View, ino posix.Ino, m posix.Mode) error {
	_, err := v.Setattr(context.Background(), ino, posix.SetAttr{Set: posix.SetMode, Mode: m})
	return err
}

// noLists expects that nothing is left of ACLs.
func noLists(t *testing.T, tr *Tree) {
	t.Helper()
	expect(t, "lists, sums and uses left", count1(t, tr, keyList)+count1(t, tr, keyListSum)+count1(t, tr, keyListUses), 0)
}

// What a directory with a default ACL hands down: the umask counts for nothing
// there, setgid or not, and counts where there is none.
func TestACLInherited(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	ctx := t.Context()
	v := tr.As(super).In(1)
	d, err := v.Mkdir(ctx, 1, "d", 0o755, 0)
	ok(t, err)
	ok(t, chmod(v, d.Ino, 0o2775))
	def := text(t, "u::rwx,u:1000:rwx,g::rwx,m::rwx,o::---")
	ok(t, setfacl(v, d.Ino, acl.XattrDefault, def))
	expect(t, "the directory's own mode", modeOf(t, v, d.Ino), posix.Mode(0o2775))

	sub, err := v.Mkdir(ctx, d.Ino, "sub", 0o777, 0o077)
	ok(t, err)
	expect(t, "directory", sub.Mode.Perm(), posix.Mode(0o2770))
	expect(t, "its default", getfacl(t, v, sub.Ino, acl.XattrDefault), fmt.Sprint(def))
	expect(t, "its access", getfacl(t, v, sub.Ino, acl.XattrAccess), fmt.Sprint(def))
	o, err := v.Create(ctx, sub.Ino, "f", 0o644, 0o077, 9, posix.OpenWrite)
	ok(t, err)
	expect(t, "file", o.Attr.Mode.Perm(), posix.Mode(0o640))
	expect(t, "its access", getfacl(t, v, o.Attr.Ino, acl.XattrAccess), fmt.Sprint(text(t, "u::rw-,u:1000:rwx,g::rwx,m::r--,o::---")))
	expect(t, "its default", getfacl(t, v, o.Attr.Ino, acl.XattrDefault), "")
	p, err := v.Mknod(ctx, sub.Ino, "p", posix.TypeFIFO|0o666, 0o077, 0)
	ok(t, err)
	expect(t, "fifo", p.Mode.Perm(), posix.Mode(0o660))
	tmp, err := v.Tmpfile(ctx, sub.Ino, 0o666, 0o077, 10, posix.OpenWrite)
	ok(t, err)
	expect(t, "tmpfile", tmp.Attr.Mode.Perm(), posix.Mode(0o660))
	ln, err := v.Symlink(ctx, sub.Ino, "l", "x")
	ok(t, err)
	expect(t, "symlink", ln.Mode.Perm(), posix.Mode(0o777))
	_, err = v.Getxattr(ctx, ln.Ino, acl.XattrAccess)
	no(t, posix.EOPNOTSUPP, err)
	no(t, posix.EOPNOTSUPP, setfacl(v, ln.Ino, acl.XattrAccess, someACL()))
	no(t, posix.EACCES, setfacl(v, o.Attr.Ino, acl.XattrDefault, someACL()))
	ok(t, setfacl(v, o.Attr.Ino, acl.XattrDefault, nil))

	ok(t, v.Removexattr(ctx, d.Ino, acl.XattrDefault))
	a, err := v.Mkdir(ctx, d.Ino, "plain", 0o777, 0o027)
	ok(t, err)
	expect(t, "without a default", a.Mode.Perm(), posix.Mode(0o2750))
	well(t, tr)
}

// Setting an ACL takes the setgid bit from a group that the owner is not in.
func TestACLDropsSetgid(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	_, err := v.Setattr(t.Context(), f, posix.SetAttr{Set: posix.SetOwner | posix.SetGroup, UID: owner.UID, GID: 50})
	ok(t, err)
	member := owner
	member.Groups = []posix.GID{50}
	for _, c := range []struct {
		who  posix.Cred
		list acl.ACL
		want posix.Mode
	}{{super, someACL(), 0o2640}, {member, someACL(), 0o2640}, {owner, nil, 0o2640}, {owner, someACL(), 0o640}, {owner, acl.FromMode(0o750), 0o750}} {
		ok(t, chmod(v, f, 0o2640))
		ok(t, setfacl(tr.As(c.who), f, acl.XattrAccess, c.list))
		expect(t, fmt.Sprint(c.who, c.list), modeOf(t, v, f), c.want)
	}
	well(t, tr)
}

// What is no ACL is refused and changes nothing.
func TestACLRefused(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	ok(t, setfacl(v, f, acl.XattrAccess, someACL()))
	many := func(n int) acl.ACL {
		l := acl.ACL{{Tag: acl.UserObj, Perm: 6}}
		for i := range n - 4 {
			l = append(l, acl.Entry{Tag: acl.User, Perm: 4, ID: uint32(i)})
		}
		return append(l, acl.Entry{Tag: acl.GroupObj}, acl.Entry{Tag: acl.Mask, Perm: 4}, acl.Entry{Tag: acl.Other})
	}
	before := dump(t, tr)
	good := acl.EncodeXattr(someACL())
	for name, c := range map[string]struct {
		value []byte
		want  posix.Errno
	}{
		"cut short":         {good[:len(good)-1], posix.EINVAL},
		"half a header":     {good[:3], posix.EINVAL},
		"no mask":           {append(good[:28:28], good[36:]...), posix.EINVAL},
		"no other":          {good[:36], posix.EINVAL},
		"version 1":         {append([]byte{1}, good[1:]...), posix.EOPNOTSUPP},
		"one over the most": {acl.EncodeXattr(many(aclMost + 1)), posix.E2BIG},
		"10,000 entries":    {acl.EncodeXattr(many(10000)), posix.E2BIG},
		"64 KiB and more":   {make([]byte, posix.XattrMax+1), posix.E2BIG},
	} {
		if err := v.Setxattr(t.Context(), f, acl.XattrAccess, c.value, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if after := dump(t, tr); after != before {
			t.Errorf("%s changed something", name)
		}
	}
	ok(t, setfacl(v, f, acl.XattrAccess, many(aclMost)))
	no(t, posix.EINVAL, v.Setxattr(t.Context(), f, acl.XattrAccess, good, 4))
	well(t, tr)
}

// Equal ACLs are stored once, and go with the last inode that has them.
func TestACLInterned(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	v := tr.As(super).In(1)
	for i := range 200 {
		f := create(t, v, fmt.Sprint("f", i), posix.Handle(i+1))
		ok(t, setfacl(v, f, acl.XattrAccess, someACL()))
	}
	expect(t, "lists", count1(t, tr, keyList), 1)
	expect(t, "uses", count1(t, tr, keyListUses), fileStripes)
	well(t, tr)
	for i := range 200 {
		ok(t, v.Unlink(t.Context(), 1, fmt.Sprint("f", i)))
	}
	settled(t, tr)
	noLists(t, tr)
}

// A hundred thousand ACLs do not stay in memory.
func TestACLCacheIsBounded(t *testing.T) {
	var c aclCache
	for i := range uint64(50000) {
		c.put(i+1, someACL())
		if i > 10 && c.get(i-5) == nil {
			t.Fatal("what was used a moment ago is forgotten")
		}
		if n := (len(c.young) + len(c.old)) * (len(someACL()) + aclWeight); n > 2*aclGeneration {
			t.Fatalf("%d entries are held, %d are the most", n, 2*aclGeneration)
		}
	}
	if c.get(1) != nil || c.get(50000) == nil {
		t.Error("the old one stayed or the new one did not")
	}
}

// Many make and delete at once what has the same ACL.
func TestACLAtOnce(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v := tr.As(super)
	var wg sync.WaitGroup
	for i := range 4 {
		d, err := v.Mkdir(t.Context(), 1, fmt.Sprint(i), 0o777, 0)
		ok(t, err)
		wg.Go(func() {
			for range 50 {
				def := someACL()
				if err := setfacl(v, d.Ino, acl.XattrDefault, def); err != nil {
					t.Error(err)
				}
				_, err := v.Mkdir(context.Background(), d.Ino, "x", 0o777, 0)
				if err == nil {
					err = v.Removexattr(context.Background(), d.Ino, acl.XattrDefault)
				}
				if err == nil {
					err = v.Rmdir(context.Background(), d.Ino, "x")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	settled(t, tr)
	noLists(t, tr)
}

// A namespace of version 1 is read, and then of this one.
func TestOpenUpgrades(t *testing.T) {
	e := mem.New()
	open(t, e, Config{})
	ok(t, e.Update(t.Context(), func(tx engine.Tx) error {
		tx.Put(metaFormat, encodeCount(1))
		return nil
	}))
	tr := open(t, e, Config{})
	well(t, tr)
	ok(t, e.View(t.Context(), func(r engine.Reader) error {
		n, err := count(r, metaFormat)
		expect(t, "version", n, uint64(formatVersion))
		return err
	}))
}

// Whatever is set as an ACL is refused, or read back as it was meant.
func FuzzSetACL(f *testing.F) {
	f.Add(acl.EncodeXattr(someACL()), true)
	f.Add(acl.EncodeXattr(acl.FromMode(0o640)), false)
	f.Add(acl.EncodeXattr(someACL())[:20], false)
	f.Add([]byte{2, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, value []byte, def bool) {
		tr := open(t, mem.New(), Config{})
		v := tr.As(super).In(1)
		name := aclXattrs[aclAccess]
		if def {
			name = aclXattrs[aclDefault]
		}
		if err := v.Setxattr(t.Context(), posix.RootIno, name, value, 0); err != nil {
			var e *posix.Error
			if !errors.As(err, &e) {
				t.Errorf("%v bears no errno", err)
			}
		}
		if _, err := v.Mkdir(t.Context(), 1, "d", 0o777, 0o022); err != nil {
			t.Error(err)
		}
		well(t, tr)
	})
}
