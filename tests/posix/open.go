package posix

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var openChecks = []check{
	{"create", openCreate},
	{"excl", openExcl},
	{"trunc", openTrunc},
	{"append", openAppend},
	{"access", openAccess},
	{"kinds", openKinds},
	{"modeless", openModeless},
	{"sync", openSync},
	{"direct", openDirect},
	{"signals", openSignals},
}

func openCreate(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	refused(t, "open of nothing", tryOpen(name, unix.O_RDONLY, 0), unix.ENOENT)
	f := open(t, name, os.O_CREATE|os.O_RDWR, 0o640)
	st := fstat(t, f)
	equal(t, "mode", st.Mode, unix.S_IFREG|0o640)
	equal(t, "size", st.Size, 0)
	equal(t, "nlink", st.Nlink, 1)
	equal(t, "ino by fd and by name", st.Ino, lstat(t, name).Ino)
	put(t, name, "abc")
	again := open(t, name, os.O_CREATE|os.O_RDWR, 0o600)
	equal(t, "size after a second O_CREAT", fstat(t, again).Size, 3)
	equal(t, "mode after a second O_CREAT", fstat(t, again).Mode&0o7777, 0o640)
	refused(t, "create below a file", tryOpen(filepath.Join(name, "x"), unix.O_CREAT|unix.O_WRONLY, 0o644), unix.ENOTDIR)
	refused(t, "create below nothing", tryOpen(filepath.Join(dir, "no", "x"), unix.O_CREAT|unix.O_WRONLY, 0o644), unix.ENOENT)
	refused(t, "create with a slash behind", tryOpen(filepath.Join(dir, "n")+"/", unix.O_CREAT|unix.O_WRONLY, 0o644), unix.EISDIR)
	refused(t, "open of a file with a slash behind", tryOpen(name+"/", unix.O_RDONLY, 0), unix.ENOTDIR)
	ok(t, os.Symlink("target", filepath.Join(dir, "dangling")))
	put(t, filepath.Join(dir, "dangling"), "through")
	equal(t, "create through a dangling symlink", content(t, filepath.Join(dir, "target")), "through")
}

func openExcl(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	const excl = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY
	ok(t, tryOpen(name, excl, 0o644))
	refused(t, "O_EXCL on a file", tryOpen(name, excl, 0o644), unix.EEXIST)
	refused(t, "O_EXCL on a directory", tryOpen(dir, excl, 0o644), unix.EEXIST)
	ok(t, os.Symlink("nowhere", filepath.Join(dir, "l")))
	refused(t, "O_EXCL on a dangling symlink", tryOpen(filepath.Join(dir, "l"), excl, 0o644), unix.EEXIST)

	// Of many who try at once exactly one makes it.
	const tries = 16
	won := make(chan bool, tries)
	for range tries {
		go func() { won <- tryOpen(filepath.Join(dir, "race"), excl, 0o644) == nil }()
	}
	n := 0
	for range tries {
		if <-won {
			n++
		}
	}
	equal(t, "winners of O_EXCL", n, 1)
}

func openTrunc(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "0123456789")
	before := fstat(t, open(t, name, os.O_RDONLY, 0))
	f := open(t, name, os.O_WRONLY|os.O_TRUNC, 0)
	equal(t, "size", fstat(t, f).Size, 0)
	equal(t, "same inode", fstat(t, f).Ino, before.Ino)
	_, err := f.WriteAt([]byte("x"), 4)
	ok(t, err)
	equal(t, "nothing of the old shows", content(t, name), "\x00\x00\x00\x00x")
}

func openAppend(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "head")
	f, err := unix.Open(name, unix.O_RDWR|unix.O_APPEND, 0)
	ok(t, err)
	defer unix.Close(f)
	_, err = unix.Write(f, []byte("-one"))
	ok(t, err)
	// The file grows behind the descriptor's back; its position must not count.
	ok(t, unix.Truncate(name, 20))
	_, err = unix.Seek(f, 0, io.SeekStart)
	ok(t, err)
	_, err = unix.Write(f, []byte("end"))
	ok(t, err)
	equal(t, "content", content(t, name), "head-one"+string(make([]byte, 12))+"end")
	pos, err := unix.Seek(f, 0, io.SeekCurrent)
	ok(t, err)
	equal(t, "position after an append", pos, 23)
	// pwrite(2), BUGS: with O_APPEND Linux appends whatever the offset.
	_, err = unix.Pwrite(f, []byte("P"), 0)
	ok(t, err)
	equal(t, "size after pwrite", stat(t, name).Size, 24)
	b := make([]byte, 4)
	_, err = unix.Pread(f, b, 0)
	ok(t, err)
	equal(t, "pread at 0", string(b), "head")
}

func openAccess(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	put(t, name, "abc")
	b := make([]byte, 1)
	r := open(t, name, os.O_RDONLY, 0)
	_, err := unix.Write(int(r.Fd()), b)
	refused(t, "write on O_RDONLY", err, unix.EBADF)
	refused(t, "ftruncate on O_RDONLY", unix.Ftruncate(int(r.Fd()), 0), unix.EINVAL)
	w := open(t, name, os.O_WRONLY, 0)
	_, err = unix.Read(int(w.Fd()), b)
	refused(t, "read on O_WRONLY", err, unix.EBADF)
	p := open(t, name, unix.O_PATH, 0)
	_, err = unix.Read(int(p.Fd()), b)
	refused(t, "read on O_PATH", err, unix.EBADF)
	equal(t, "fstat on O_PATH", fstat(t, p).Size, 3)
}

func openKinds(t *testing.T, dir string) {
	name, link, sub := filepath.Join(dir, "f"), filepath.Join(dir, "l"), filepath.Join(dir, "d")
	put(t, name, "abc")
	ok(t, os.Symlink("f", link))
	ok(t, os.Mkdir(sub, 0o755))
	refused(t, "O_DIRECTORY on a file", tryOpen(name, unix.O_RDONLY|unix.O_DIRECTORY, 0), unix.ENOTDIR)
	refused(t, "O_NOFOLLOW on a symlink", tryOpen(link, unix.O_RDONLY|unix.O_NOFOLLOW, 0), unix.ELOOP)
	refused(t, "O_WRONLY on a directory", tryOpen(sub, unix.O_WRONLY, 0), unix.EISDIR)
	refused(t, "O_RDWR on a directory", tryOpen(sub, unix.O_RDWR, 0), unix.EISDIR)
	refused(t, "O_CREAT on a directory", tryOpen(sub, unix.O_CREAT|unix.O_RDONLY, 0o644), unix.EISDIR)
	refused(t, "O_TRUNC on a directory", tryOpen(sub, unix.O_WRONLY|unix.O_TRUNC, 0), unix.EISDIR)
	ok(t, tryOpen(sub, unix.O_RDONLY, 0))
	d := open(t, sub, os.O_RDONLY, 0)
	_, err := unix.Read(int(d.Fd()), make([]byte, 1))
	refused(t, "read of a directory", err, unix.EISDIR)
	equal(t, "content through a symlink", content(t, link), "abc")
}

// A mode that would forbid it does not hinder the open that makes the file.
func openModeless(t *testing.T, dir string) {
	as(t, alice, dir, func() {
		fd, err := unix.Open("f", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0)
		ok(t, err)
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("secret"))
		ok(t, err)
		b := make([]byte, 8)
		n, err := unix.Pread(fd, b, 0)
		ok(t, err)
		equal(t, "read back", string(b[:n]), "secret")
		ok(t, unix.Ftruncate(fd, 3))
		ok(t, unix.Fsync(fd))
		refused(t, "the second open", tryOpen("f", unix.O_RDONLY, 0), unix.EACCES)
	})
	equal(t, "mode", perm(t, filepath.Join(dir, "f")), 0)
	equal(t, "root reads it all the same", content(t, filepath.Join(dir, "f")), "sec")
}

func openSync(t *testing.T, dir string) {
	for name, flag := range map[string]int{"sync": unix.O_SYNC, "dsync": unix.O_DSYNC} {
		f := open(t, filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|flag, 0o644)
		for i := range 5 {
			_, err := f.WriteAt([]byte("0123456789"), int64(i*7))
			ok(t, err)
		}
		equal(t, "content", content(t, f.Name()), "0123456"+"0123456"+"0123456"+"0123456"+"0123456789")
	}
	f := open(t, filepath.Join(dir, "sync"), os.O_RDWR, 0)
	ok(t, unix.Fsync(int(f.Fd())))
	ok(t, unix.Fdatasync(int(f.Fd())))
	ok(t, unix.Fsync(int(open(t, dir, os.O_RDONLY, 0).Fd())))
	ok(t, unix.Syncfs(int(f.Fd())))
	ok(t, unix.Fsync(int(open(t, f.Name(), os.O_RDONLY, 0).Fd()))) // no right to write is needed
}
