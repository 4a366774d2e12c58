package posixtest

import (
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

var callers = []struct {
	name string
	posix.Cred
}{{"root", root}, {"alice", alice}, {"bob", bob}, {"eve", eve}}

// testAccess walks all modes of a file of alice and staff, for all callers.
func testAccess(e *env) {
	f := e.owned(e.mkfile(1, "f", 0), alice, staff)
	d := e.owned(e.mkdir(1, "d", 0), alice, staff)
	for _, mode := range []posix.Mode{0, 0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001,
		0o777, 0o077, 0o707, 0o770, 0o640, 0o604, 0o751} {
		e.chmod(f, mode)
		e.chmod(d, mode)
		for _, c := range callers {
			class := mode & 7
			switch c.name {
			case "alice":
				class = mode >> 6 & 7
			case "bob":
				class = mode >> 3 & 7
			}
			for want := posix.Perm(0); want < 8; want++ {
				file, dir := posix.Errno(0), posix.Errno(0)
				if want&^posix.Perm(class) != 0 {
					file, dir = posix.EACCES, posix.EACCES
				}
				if c.Super {
					file, dir = 0, 0
					if want&posix.MayExec != 0 && mode&0o111 == 0 {
						file = posix.EACCES
					}
				}
				what := fmt.Sprintf("%s wants %d of %03o", c.name, want, mode)
				e.either("file: "+what, file, e.as(c.Cred).Access(e.ctx, f, want))
				e.either("directory: "+what, dir, e.as(c.Cred).Access(e.ctx, d, want))
			}
		}
	}
	e.no("access to nothing", posix.ESTALE, e.root.Access(e.ctx, 1<<40, 0))
}

// testEntryPermission: which bits of a directory each step to a name needs.
func testEntryPermission(e *env) {
	for mode := posix.Mode(0); mode < 8; mode++ {
		d := e.owned(e.mkdir(1, fmt.Sprintf("d%d", mode), 0o777), alice, alice.GID)
		f := e.mkfile(d, "f", 0o666)
		e.mkdir(d, "dir", 0o777)
		e.chmod(d, mode<<6)
		var search, change posix.Errno
		if mode&1 == 0 {
			search = posix.EACCES
		}
		if mode&3 != 3 {
			change = posix.EACCES
		}
		exists := posix.EEXIST
		if search != 0 {
			exists = search
		}
		missing := posix.ENOENT
		if search != 0 {
			missing = search
		}
		fs := e.as(alice)
		w := func(what string) string { return fmt.Sprintf("%s in a directory of %o", what, mode) }
		_, err := fs.Lookup(e.ctx, d, "f")
		e.either(w("lookup"), search, err)
		_, err = fs.Lookup(e.ctx, d, "x")
		e.no(w("lookup of nothing"), missing, err)
		_, err = fs.Lookup(e.ctx, d, ".")
		e.either(w("lookup of ."), search, err)
		_, err = fs.Mkdir(e.ctx, d, "f", 0o755, 0)
		e.no(w("mkdir of what exists"), exists, err)
		e.no(w("unlink of nothing"), missing, fs.Unlink(e.ctx, d, "x"))
		_, err = fs.Mkdir(e.ctx, d, "new", 0o755, 0)
		e.either(w("mkdir"), change, err)
		_, err = fs.Mknod(e.ctx, d, "nod", 0o755, 0, 0)
		e.either(w("mknod"), change, err)
		_, err = fs.Symlink(e.ctx, d, "sym", "x")
		e.either(w("symlink"), change, err)
		_, err = fs.Link(e.ctx, f, d, "hard")
		e.either(w("link"), change, err)
		_, err = fs.Create(e.ctx, d, "create", 0o644, 0, e.handle(), posix.OpenWrite)
		e.either(w("create"), change, err)
		_, err = fs.Create(e.ctx, d, "f", 0o644, 0, e.handle(), posix.OpenWrite)
		e.either(w("create of what exists"), search, err)
		e.either(w("rename"), change, fs.Rename(e.ctx, d, "f", d, "g", 0))
		if change == 0 {
			e.ok(fs.Unlink(e.ctx, d, "g"))
		}
		e.either(w("rmdir"), change, fs.Rmdir(e.ctx, d, "dir"))
		if change != 0 {
			e.either(w("unlink"), change, fs.Unlink(e.ctx, d, "f"))
		}
	}
	_, err := e.as(alice).Mknod(e.ctx, e.mkdir(1, "open", 0o777), "dev", posix.TypeBlock|0o600, 0, 1)
	e.no("a device by a user", posix.EPERM, err)
	_, err = e.as(alice).Mknod(e.ctx, 1, "dev", posix.TypeChar|0o600, 0, 1)
	e.no("a device where nothing may be made", posix.EACCES, err)
}

// testSticky: who may take names out of a sticky directory.
func testSticky(e *env) {
	for i, c := range []struct {
		dir, file posix.Cred
		who       posix.Cred
		want      posix.Errno
	}{
		{root, bob, alice, posix.EPERM},
		{root, alice, alice, 0},
		{alice, bob, alice, 0},
		{bob, root, alice, posix.EPERM},
		{bob, alice, root, 0},
	} {
		name := fmt.Sprint(i)
		d := e.mkdir(1, name, 0o777|posix.Sticky)
		f := e.owned(e.mkfile(d, "f", 0o666), c.file, 0)
		e.owned(e.mkfile(d, "g", 0o666), c.file, 0)
		e.owned(e.mkdir(d, "dir", 0o777), c.file, 0)
		mine := e.owned(e.mkfile(1, "mine"+name, 0o666), c.who, 0)
		_, err := e.root.Link(e.ctx, mine, d, "mine")
		e.ok(err)
		e.owned(d, c.dir, 0)
		fs := e.as(c.who)
		_, err = fs.Link(e.ctx, f, d, "h")
		e.either(name+" link", 0, err)
		e.either(name+" rename from", c.want, fs.Rename(e.ctx, d, "f", d, "x", 0))
		e.either(name+" rename over", c.want, fs.Rename(e.ctx, d, "mine", d, "g", 0))
		e.either(name+" unlink", c.want, fs.Unlink(e.ctx, d, "g"))
		e.either(name+" rmdir", c.want, fs.Rmdir(e.ctx, d, "dir"))
	}
}

func (e *env) set(c posix.Cred, ino posix.Ino, s posix.SetAttr) (posix.Attr, error) {
	return e.as(c).Setattr(e.ctx, ino, s)
}

func testChmod(e *env) {
	f := e.owned(e.mkfile(1, "f", 0o644), alice, staff)
	g := e.owned(e.mkfile(1, "g", 0o644), alice, 77)
	d := e.owned(e.mkdir(1, "d", 0o755), alice, 77)
	link, err := e.root.Symlink(e.ctx, 1, "l", "x")
	e.ok(err)
	for _, c := range []struct {
		what string
		who  posix.Cred
		ino  posix.Ino
		mode posix.Mode
		got  posix.Mode
		want posix.Errno
	}{
		{"owner", alice, f, 0o4751, 0o4751, 0},
		{"owner, setgid of an own group", alice, f, 0o2751, 0o2751, 0},
		{"owner, setgid of a foreign group", alice, g, 0o6751, 0o4751, 0},
		{"owner, setgid of a foreign group without x", alice, g, 0o2640, 0o640, 0},
		{"owner, setgid of a foreign group on a directory", alice, d, 0o2755, 0o755, 0},
		{"superuser, setgid of a foreign group", root, g, 0o6751, 0o6751, 0},
		{"sticky file", alice, g, 0o1640, 0o1640, 0},
		{"type bits are ignored", alice, f, posix.TypeDir | 0o600, 0o600, 0},
		{"group member", bob, f, 0o777, 0, posix.EPERM},
		{"stranger", eve, f, 0o777, 0, posix.EPERM},
		{"link", root, link.Ino, 0o600, 0, posix.EOPNOTSUPP},
	} {
		before := e.attr(c.ino)
		a, err := e.set(c.who, c.ino, posix.SetAttr{Set: posix.SetMode, Mode: c.mode})
		e.either(c.what, c.want, err)
		if c.want != 0 {
			e.is(c.what+": after refusal", e.attr(c.ino), before)
			continue
		}
		e.is(c.what, a.Mode, before.Mode.Type()|c.got)
		e.grew(c.what, before, a)
	}
}

func testChown(e *env) {
	const uid, gid = posix.SetOwner, posix.SetGroup
	for i, c := range []struct {
		what string
		who  posix.Cred
		set  posix.SetAttr
		want posix.Errno
	}{
		{"superuser gives away", root, posix.SetAttr{Set: uid | gid, UID: 7, GID: 8}, 0},
		{"owner gives away", alice, posix.SetAttr{Set: uid, UID: bob.UID}, posix.EPERM},
		{"owner keeps", alice, posix.SetAttr{Set: uid, UID: alice.UID}, 0},
		{"owner to an own group", alice, posix.SetAttr{Set: gid, GID: staff}, 0},
		{"owner to the primary group", alice, posix.SetAttr{Set: uid | gid, UID: alice.UID, GID: alice.GID}, 0},
		{"owner keeps a foreign group", alice, posix.SetAttr{Set: gid, GID: 77}, 0},
		{"owner to a foreign group", alice, posix.SetAttr{Set: gid, GID: 78}, posix.EPERM},
		{"stranger keeps", bob, posix.SetAttr{Set: uid, UID: alice.UID}, posix.EPERM},
		{"stranger takes", bob, posix.SetAttr{Set: uid, UID: bob.UID}, posix.EPERM},
		{"stranger to an own group", bob, posix.SetAttr{Set: gid, GID: staff}, posix.EPERM},
		{"stranger keeps the group", bob, posix.SetAttr{Set: gid, GID: 77}, posix.EPERM},
		{"owner gives away, group is well", alice, posix.SetAttr{Set: uid | gid, UID: 7, GID: staff}, posix.EPERM},
	} {
		f := e.owned(e.mkfile(1, fmt.Sprint(i), 0o666), alice, 77)
		before := e.attr(f)
		a, err := e.set(c.who, f, c.set)
		e.either(c.what, c.want, err)
		if c.want != 0 {
			e.is(c.what+": after refusal", e.attr(f), before)
			continue
		}
		if c.set.Set&uid != 0 {
			e.is(c.what, a.UID, c.set.UID)
		}
		if c.set.Set&gid != 0 {
			e.is(c.what, a.GID, c.set.GID)
		}
		e.grew(c.what, before, a)
	}
}

// testChownClears: chown takes the set-id bits of all but directories.
func testChownClears(e *env) {
	for i, c := range []struct {
		what       string
		who        posix.Cred
		dir        bool
		mode, want posix.Mode
	}{
		{"superuser", root, false, 0o6755, 0o755},
		{"superuser, no x for the group", root, false, 0o6745, 0o2745},
		{"owner", alice, false, 0o6755, 0o755},
		{"owner, no x for the group, a member", alice, false, 0o6745, 0o2745},
		{"superuser, directory", root, true, 0o6755, 0o6755},
		{"owner, directory", alice, true, 0o6755, 0o6755},
	} {
		var ino posix.Ino
		if c.dir {
			ino = e.mkdir(1, fmt.Sprint(i), 0o755)
		} else {
			ino = e.mkfile(1, fmt.Sprint(i), 0o644)
		}
		e.owned(ino, alice, staff)
		e.chmod(ino, c.mode)
		a, err := e.set(c.who, ino, posix.SetAttr{Set: posix.SetGroup, GID: staff})
		e.ok(err)
		e.is(c.what, a.Mode.Perm(), c.want)
	}
}

func testUtimens(e *env) {
	f := e.owned(e.mkfile(1, "f", 0o620), alice, staff) // bob may write, eve may not
	r := e.owned(e.mkfile(1, "r", 0o444), alice, staff)
	const setA, setM, nowA, nowM = posix.SetAtime, posix.SetMtime, posix.SetAtimeNow, posix.SetMtimeNow
	old := posix.Time{Sec: -1e10, Nsec: 999_999_999}
	for _, c := range []struct {
		what string
		who  posix.Cred
		ino  posix.Ino
		set  posix.SetMask
		want posix.Errno
	}{
		{"owner, both now", alice, r, nowA | nowM, 0},
		{"owner, both given", alice, r, setA | setM, 0},
		{"owner, one now", alice, r, nowA, 0},
		{"owner, one of each", alice, r, nowA | setM, 0},
		{"superuser, given", root, f, setA | setM, 0},
		{"writer, both now", bob, f, nowA | nowM, 0},
		{"writer, one now", bob, f, nowM, posix.EPERM},
		{"writer, given", bob, f, setM, posix.EPERM},
		{"writer, one of each", bob, f, setA | nowM, posix.EPERM},
		{"reader, both now", bob, r, nowA | nowM, posix.EACCES},
		{"stranger, both now", eve, f, nowA | nowM, posix.EACCES},
		{"stranger, given", eve, f, setA | setM, posix.EPERM},
	} {
		_, err := e.root.Setattr(e.ctx, c.ino, posix.SetAttr{Set: setA | setM, Atime: posix.Time{Sec: 1}, Mtime: posix.Time{Sec: 2}})
		e.ok(err)
		before := e.attr(c.ino)
		a, err := e.set(c.who, c.ino, posix.SetAttr{Set: c.set, Atime: old, Mtime: old})
		e.either(c.what, c.want, err)
		if c.want != 0 {
			e.is(c.what+": after refusal", e.attr(c.ino), before)
			continue
		}
		e.grew(c.what, before, a)
		for _, x := range []struct {
			name       string
			got, was   posix.Time
			given, now bool
		}{
			{"atime", a.Atime, before.Atime, c.set&setA != 0, c.set&nowA != 0},
			{"mtime", a.Mtime, before.Mtime, c.set&setM != 0, c.set&nowM != 0},
		} {
			switch {
			case x.given:
				e.is(c.what+": "+x.name, x.got, old)
			case x.now:
				if x.got.Before(before.Btime) {
					e.Errorf("%s: %s is %v", c.what, x.name, x.got)
				}
			default:
				e.is(c.what+": "+x.name, x.got, x.was)
			}
		}
	}
	_, err := e.set(alice, f, posix.SetAttr{Set: setA, Atime: posix.Time{Nsec: 1e9}})
	e.no("a second of nanoseconds", posix.EINVAL, err)
	link, err := e.root.Symlink(e.ctx, 1, "l", "x")
	e.ok(err)
	a, err := e.root.Setattr(e.ctx, link.Ino, posix.SetAttr{Set: setM, Mtime: old})
	e.ok(err)
	e.is("mtime of a link", a.Mtime, old)
}

// testKillPriv: what writing to a set-id file leaves of its bits.
func testKillPriv(e *env) {
	for i, c := range []struct {
		what       string
		who        posix.Cred
		mode, want posix.Mode
	}{
		{"stranger", eve, 0o6777, 0o777},
		{"stranger, no x for the group", eve, 0o6767, 0o767},
		{"member, no x for the group", bob, 0o6767, 0o2767},
		{"owner", alice, 0o6777, 0o777},
		{"superuser", root, 0o6777, 0o6777},
	} {
		f := e.owned(e.mkfile(1, fmt.Sprint(i), 0o666), alice, staff)
		fs := e.as(c.who)
		h := e.handle()
		_, err := fs.Open(e.ctx, f, h, posix.OpenWrite)
		e.either(c.what+": open", 0, err)
		for _, w := range []struct {
			how   string
			write func() (posix.Attr, error)
		}{
			{"commit", func() (posix.Attr, error) {
				return fs.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{{Len: 9, Slice: e.fresh(f, 9)}}})
			}},
			{"truncate", func() (posix.Attr, error) {
				return fs.Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetSize, Size: 5})
			}},
			{"ftruncate", func() (posix.Attr, error) {
				return fs.Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetSize, Size: 4, Handle: h})
			}},
			{"open", func() (posix.Attr, error) {
				o, err := fs.Open(e.ctx, f, e.handle(), posix.OpenWrite|posix.OpenTrunc)
				return o.Attr, err
			}},
		} {
			e.chmod(f, c.mode)
			a, err := w.write()
			e.either(c.what+": "+w.how, 0, err)
			e.is(c.what+": "+w.how, a.Mode.Perm(), c.want)
		}
		e.chmod(f, c.mode)
		a, err := fs.Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetKillPriv})
		e.either(c.what+": kill", 0, err)
		if a.Mode&posix.SetUID != 0 {
			e.Errorf("%s: %o after being told to kill", c.what, a.Mode)
		}
	}
	f := e.mkfile(1, "f", 0o4755)
	_, err := e.as(eve).Setattr(e.ctx, f, posix.SetAttr{Set: posix.SetKillPriv})
	e.no("kill by who may not write", posix.EACCES, err)
}
