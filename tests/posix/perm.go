package posix

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var permChecks = []check{
	{"classes", permClasses},
	{"search", permSearch},
	{"write", permWrite},
	{"sticky", permSticky},
	{"umask", permUmask},
	{"setgid", permSetgid},
	{"root", permRoot},
}

// permClasses: the owner's bits count for the owner alone, the group's for the
// group alone, whatever the others would be granted.
func permClasses(t *testing.T, dir string) {
	ok(t, os.Mkdir(filepath.Join(dir, "d"), 0o777))
	d := filepath.Join(dir, "d")
	f := filepath.Join(d, "f")
	put(t, f, "x")
	member := bob.With(999, alice.GID, 1234)
	for _, c := range []struct {
		mode             os.FileMode
		owner, group, by uint32 // what each may, as rwx
	}{
		{0o000, 0, 0, 0}, {0o700, 7, 0, 0}, {0o070, 0, 7, 0}, {0o007, 0, 0, 7},
		{0o640, 6, 4, 0}, {0o604, 6, 0, 4}, {0o421, 4, 2, 1}, {0o777, 7, 7, 7},
	} {
		ok(t, os.Chown(f, alice.UID, alice.GID))
		ok(t, os.Chmod(f, c.mode))
		as(t, alice, d, func() { mayJust(t, "owner", "f", c.mode, c.owner) })
		as(t, member, d, func() { mayJust(t, "group", "f", c.mode, c.group) })
		as(t, bob, d, func() { mayJust(t, "other", "f", c.mode, c.by) })
	}
}

// mayJust checks that the caller may do to the file what rwx says, by open(2),
// and that faccessat(2) says the same.
func mayJust(t *testing.T, who, name string, mode os.FileMode, rwx uint32) {
	for _, a := range []struct {
		what      string
		flags     int
		need, ask uint32
	}{
		{"read", unix.O_RDONLY, 4, unix.R_OK}, {"write", unix.O_WRONLY, 2, unix.W_OK}, {"read and write", unix.O_RDWR, 6, unix.R_OK | unix.W_OK},
		{"", -1, 1, unix.X_OK},
	} {
		may := rwx&a.need == a.need
		if a.flags >= 0 {
			if err := tryOpen(name, a.flags, 0); (err == nil) != may {
				t.Errorf("mode %o, %s, %s: %v, want granted=%v", mode, who, a.what, err, may)
			}
		}
		if err := unix.Faccessat(unix.AT_FDCWD, name, a.ask, unix.AT_EACCESS); (err == nil) != may {
			t.Errorf("mode %o, %s: faccessat %o: %v, want granted=%v", mode, who, a.ask, err, may)
		}
	}
}

func permSearch(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o755))
	put(t, filepath.Join(d, "f"), "x")
	for _, c := range []struct {
		mode         os.FileMode
		walk, browse bool
	}{{0o755, true, true}, {0o711, true, false}, {0o744, false, true}, {0o700, false, false}} {
		ok(t, os.Chmod(d, c.mode))
		as(t, bob, dir, func() {
			err := unix.Stat("d/f", new(unix.Stat_t))
			if (err == nil) != c.walk {
				t.Errorf("mode %o: stat below: %v", c.mode, err)
			}
			if err = tryOpen("d/f", unix.O_RDONLY, 0); (err == nil) != c.walk {
				t.Errorf("mode %o: open below: %v", c.mode, err)
			}
			if err = tryOpen("d", unix.O_RDONLY|unix.O_DIRECTORY, 0); (err == nil) != c.browse {
				t.Errorf("mode %o: opendir: %v", c.mode, err)
			}
			ok(t, unix.Stat("d", new(unix.Stat_t)))
		})
	}
	// A name that was walked once by one who may must not open it to others.
	ok(t, os.Chmod(d, 0o700))
	equal(t, "root walks", content(t, filepath.Join(d, "f")), "x")
	as(t, bob, dir, func() {
		refused(t, "bob after root", tryOpen("d/f", unix.O_RDONLY, 0), unix.EACCES)
		refused(t, "a name that is not there", unix.Stat("d/none", new(unix.Stat_t)), unix.EACCES)
	})
}

func permWrite(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o755))
	put(t, filepath.Join(d, "f"), "x")
	ok(t, os.Chmod(filepath.Join(d, "f"), 0o666))
	put(t, filepath.Join(dir, "own"), "")
	ok(t, os.Chown(filepath.Join(dir, "own"), bob.UID, bob.GID))
	ok(t, os.Mkdir(filepath.Join(d, "sub"), 0))
	ok(t, os.Chmod(filepath.Join(d, "sub"), 0o777))
	as(t, bob, dir, func() {
		for what, err := range map[string]error{
			"create":      tryOpen("d/n", unix.O_CREAT|unix.O_WRONLY, 0o644),
			"mkdir":       unix.Mkdir("d/n", 0o755),
			"mkfifo":      unix.Mkfifo("d/n", 0o644),
			"symlink":     unix.Symlink("x", "d/n"),
			"link":        unix.Link("own", "d/n"),
			"unlink":      unix.Unlink("d/f"),
			"rmdir":       unix.Rmdir("d/sub"),
			"rename in":   unix.Rename("own", "d/n"),
			"rename out":  unix.Rename("d/f", "n"),
			"rename":      unix.Rename("d/f", "d/n"),
			"exchange":    rename2("d/f", "own", unix.RENAME_EXCHANGE),
			"create excl": tryOpen("d/n", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644),
		} {
			refused(t, what+" in a directory without w", err, unix.EACCES)
		}
		refused(t, "mkdir of what is there", unix.Mkdir("d/sub", 0o755), unix.EEXIST)
		ok(t, tryOpen("d/f", unix.O_CREAT|unix.O_RDWR, 0o644)) // it is there: nothing is made
		ok(t, unix.Mkdir("d/sub/mine", 0o755))
		equal(t, "owner of what bob made", lstat(t, "d/sub/mine").Uid, uint32(bob.UID))
		equal(t, "group of what bob made", lstat(t, "d/sub/mine").Gid, uint32(bob.GID))
		refused(t, "moving a directory that is another's into one's own", unix.Rename("d/sub", "sub"), unix.EACCES)
	})
}

func permSticky(t *testing.T, dir string) {
	d := filepath.Join(dir, "tmp")
	ok(t, os.Mkdir(d, 0o777))
	ok(t, os.Chmod(d, 0o777|os.ModeSticky))
	as(t, alice, d, func() {
		put(t, "a", "alice's")
		ok(t, os.Chmod("a", 0o666))
		ok(t, unix.Mkdir("ad", 0o777))
	})
	as(t, bob, d, func() {
		put(t, "b", "bob's")
		for what, err := range map[string]error{
			"unlink":       unix.Unlink("a"),
			"rmdir":        unix.Rmdir("ad"),
			"rename":       unix.Rename("a", "x"),
			"rename onto":  unix.Rename("b", "a"),
			"exchange":     rename2("b", "a", unix.RENAME_EXCHANGE),
			"rename a dir": unix.Rename("ad", "x"),
		} {
			refused(t, what+" of another's in a sticky directory", err, unix.EPERM)
		}
		f, err := os.OpenFile("a", os.O_WRONLY, 0)
		ok(t, err)
		ok(t, f.Close())
		ok(t, unix.Rename("b", "b2"))
		ok(t, unix.Unlink("b2"))
	})
	ok(t, os.Chown(d, bob.UID, bob.GID))
	as(t, bob, d, func() { ok(t, unix.Unlink("a")) }) // the directory's owner may
	ok(t, os.Remove(filepath.Join(d, "ad")))          // and root
}

func permUmask(t *testing.T, dir string) {
	for _, mask := range []int{0, 0o022, 0o027, 0o077, 0o777} {
		as(t, alice, dir, func() {
			defer unix.Umask(unix.Umask(mask))
			d, err := os.MkdirTemp(".", "u")
			ok(t, err)
			ok(t, os.Chmod(d, 0o700))
			ok(t, unix.Chdir(d))
			ok(t, tryOpen("f", unix.O_CREAT|unix.O_WRONLY, 0o666))
			ok(t, unix.Mkdir("d", 0o777))
			ok(t, unix.Mkfifo("p", 0o666))
			ok(t, unix.Symlink("x", "l"))
			equal(t, "file", perm(t, "f"), uint32(0o666&^mask))
			equal(t, "directory", perm(t, "d"), uint32(0o777&^mask))
			equal(t, "fifo", perm(t, "p"), uint32(0o666&^mask))
			equal(t, "symlink", perm(t, "l"), 0o777)
			ok(t, os.Chmod("f", 0o666)) // chmod knows no umask
			equal(t, "after chmod", perm(t, "f"), 0o666)
		})
	}
}

// permSetgid: what is made in a setgid directory gets its group, and a
// directory the bit too.
func permSetgid(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o777))
	ok(t, os.Chown(d, -1, 777))
	ok(t, os.Chmod(d, 0o777|os.ModeSetgid))
	as(t, alice, d, func() {
		put(t, "f", "")
		ok(t, unix.Mkdir("d", 0o755))
		ok(t, unix.Mkfifo("p", 0o644))
		ok(t, unix.Symlink("x", "l"))
		for _, n := range []string{"f", "d", "p", "l"} {
			equal(t, n+": group", lstat(t, n).Gid, 777)
		}
		equal(t, "the directory's bit", perm(t, "d"), 0o2755)
		equal(t, "the file's mode", perm(t, "f"), 0o644)
		// inode(7): a stranger to the group gets no setgid executable of it.
		ok(t, tryOpen("x", unix.O_CREAT|unix.O_WRONLY, 0o2755))
		equal(t, "setgid asked for by a stranger to the group", perm(t, "x"), 0o755)
	})
	as(t, alice.With(777), d, func() {
		ok(t, tryOpen("y", unix.O_CREAT|unix.O_WRONLY, 0o2755))
		equal(t, "setgid asked for by a member", perm(t, "y"), 0o2755)
	})
}

func permRoot(t *testing.T, dir string) {
	d, f := filepath.Join(dir, "d"), filepath.Join(dir, "d", "f")
	ok(t, os.Mkdir(d, 0o755))
	put(t, f, "x")
	ok(t, os.Chown(d, alice.UID, alice.GID))
	ok(t, os.Chown(f, alice.UID, alice.GID))
	ok(t, os.Chmod(f, 0))
	ok(t, os.Chmod(d, 0))
	equal(t, "root reads", content(t, f), "x")
	put(t, filepath.Join(d, "new"), "y")
	refused(t, "root executes what nobody may", unix.Access(f, unix.X_OK), unix.EACCES)
	ok(t, os.Chmod(f, 0o001))
	ok(t, unix.Access(f, unix.X_OK))
	ok(t, unix.Access(d, unix.X_OK)) // of a directory always
	ok(t, os.Chmod(d, 0o755))
}
