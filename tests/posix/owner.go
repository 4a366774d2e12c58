package posix

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var ownerChecks = []check{
	{"chmod", ownerChmod},
	{"chown", ownerChown},
	{"strip", ownerStrip},
	{"killpriv", ownerKillPriv},
	{"ids", ownerIDs},
}

func ownerChmod(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	for _, mode := range []uint32{0, 0o777, 0o4755, 0o2755, 0o1644, 0o7777} {
		ok(t, unix.Chmod(f, mode))
		equal(t, "mode by root", perm(t, f), mode)
	}
	h := open(t, f, os.O_RDONLY, 0)
	ok(t, unix.Fchmod(int(h.Fd()), 0o640))
	equal(t, "fchmod", perm(t, f), 0o640)
	ok(t, os.Symlink("f", filepath.Join(dir, "l")))
	ok(t, unix.Chmod(filepath.Join(dir, "l"), 0o600))
	equal(t, "chmod follows", perm(t, f), 0o600)
	equal(t, "the symlink is left", perm(t, filepath.Join(dir, "l")), 0o777)
	refused(t, "of nothing", unix.Chmod(filepath.Join(dir, "no"), 0o600), unix.ENOENT)

	ok(t, os.Chown(f, alice.UID, bob.GID))
	as(t, alice, dir, func() {
		ok(t, unix.Chmod("f", 0o4711))
		equal(t, "suid by the owner", perm(t, "f"), 0o4711)
		ok(t, unix.Chmod("f", 0o2771)) // chmod(2): not a member, so the bit is dropped
		equal(t, "setgid by an owner outside the group", perm(t, "f"), 0o771)
	})
	as(t, alice.With(bob.GID), dir, func() {
		ok(t, unix.Chmod("f", 0o2771))
		equal(t, "setgid by a member", perm(t, "f"), 0o2771)
	})
	as(t, bob, dir, func() {
		refused(t, "chmod by a stranger", unix.Chmod("f", 0o777), unix.EPERM)
	})
}

func ownerChown(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	is := func(what string, uid, gid int) {
		t.Helper()
		st := lstat(t, f)
		if st.Uid != uint32(uid) || st.Gid != uint32(gid) {
			t.Errorf("%s: owner is %d:%d, want %d:%d", what, st.Uid, st.Gid, uid, gid)
		}
	}
	ok(t, unix.Chown(f, alice.UID, alice.GID))
	is("both", alice.UID, alice.GID)
	ok(t, unix.Chown(f, -1, 55))
	is("group alone", alice.UID, 55)
	ok(t, unix.Chown(f, bob.UID, -1))
	is("user alone", bob.UID, 55)
	ok(t, unix.Chown(f, -1, -1))
	is("neither", bob.UID, 55)
	ok(t, unix.Chown(f, alice.UID, alice.GID))
	as(t, alice.With(66), dir, func() {
		refused(t, "giving away", unix.Chown("f", bob.UID, -1), unix.EPERM)
		refused(t, "a group that one is not in", unix.Chown("f", -1, 77), unix.EPERM)
		ok(t, unix.Chown("f", -1, 66))
		is("a group that one is in", alice.UID, 66)
		ok(t, unix.Chown("f", alice.UID, 66))
		refused(t, "root's", unix.Chown("/", alice.UID, -1), unix.EPERM, unix.EROFS)
	})
	as(t, bob.With(66), dir, func() {
		refused(t, "a stranger's file", unix.Chown("f", -1, 66), unix.EPERM)
		refused(t, "taking", unix.Chown("f", bob.UID, -1), unix.EPERM)
	})
}

// ownerStrip: chown takes the set-id bits of what can be executed, as Linux
// does for root too.
func ownerStrip(t *testing.T, dir string) {
	f, d := filepath.Join(dir, "f"), filepath.Join(dir, "d")
	put(t, f, "")
	ok(t, os.Mkdir(d, 0o755))
	for _, c := range []struct{ before, after uint32 }{
		{0o6755, 0o755}, {0o4711, 0o711}, {0o2755, 0o755}, {0o2745, 0o2745}, // setgid without x is no setgid
	} {
		ok(t, unix.Chmod(f, c.before))
		ok(t, unix.Chown(f, alice.UID, alice.GID))
		equal(t, "mode after chown by root", perm(t, f), c.after)
	}
	ok(t, unix.Chmod(f, 0o6755))
	as(t, alice, dir, func() { ok(t, unix.Chown("f", -1, alice.GID)) })
	equal(t, "mode after chgrp by the owner", perm(t, f), 0o755)
	ok(t, unix.Chmod(d, 0o2755))
	ok(t, unix.Chown(d, alice.UID, alice.GID))
	equal(t, "a directory keeps its setgid", perm(t, d), 0o2755)
}

// ownerKillPriv: who changes the content of a set-id file without privilege
// makes an ordinary file of it.
func ownerKillPriv(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	for what, change := range map[string]func() error{
		"write": func() error {
			fd, err := unix.Open("f", unix.O_WRONLY, 0)
			ok(t, err)
			defer unix.Close(fd)
			_, err = unix.Write(fd, []byte("x"))
			return err
		},
		"truncate":  func() error { return unix.Truncate("f", 1) },
		"O_TRUNC":   func() error { return tryOpen("f", unix.O_WRONLY|unix.O_TRUNC, 0) },
		"ftruncate": func() error { return ftruncate("f", 2) },
	} {
		put(t, f, "0123")
		ok(t, os.Chown(f, alice.UID, alice.GID))
		ok(t, unix.Chmod(f, 0o6777))
		as(t, bob, dir, func() { ok(t, change()) })
		equal(t, "mode after "+what+" by another", perm(t, f), 0o777)
		ok(t, unix.Chmod(f, 0o6777))
		ok(t, func() error {
			t.Helper()
			h, err := os.OpenFile(f, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer h.Close()
			_, err = h.Write([]byte("x"))
			return err
		}())
		equal(t, "mode after a write by root", perm(t, f), 0o6777)
	}
}

func ftruncate(name string, size int64) error {
	fd, err := unix.Open(name, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, size)
}

// ownerIDs: numbers that no host knows come back as they went.
func ownerIDs(t *testing.T, dir string) {
	f := filepath.Join(dir, "f")
	put(t, f, "")
	for _, id := range []int{0, 1, 65534, 65535, 100000, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 2} {
		ok(t, unix.Chown(f, id, id))
		st := lstat(t, f)
		equal(t, "uid", st.Uid, uint32(id))
		equal(t, "gid", st.Gid, uint32(id))
	}
}
