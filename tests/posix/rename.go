package posix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

var renameChecks = []check{
	{"matrix", renameMatrix},
	{"file", renameFile},
	{"dir", renameDir},
	{"self", renameSelf},
	{"loop", renameLoop},
	{"noreplace", renameNoReplace},
	{"exchange", renameExchange},
	{"open", renameOpen},
	{"atomic", renameAtomic},
}

// renameMatrix renames every kind of thing onto every kind of thing.
func renameMatrix(t *testing.T, dir string) {
	kinds := map[string]func(path string){
		"nothing": func(string) {},
		"file":    func(p string) { put(t, p, "content of "+p) },
		"symlink": func(p string) { ok(t, os.Symlink("nowhere", p)) },
		"fifo":    func(p string) { ok(t, unix.Mkfifo(p, 0o644)) },
		"empty":   func(p string) { ok(t, os.Mkdir(p, 0o755)) },
		"full":    func(p string) { ok(t, os.Mkdir(p, 0o755)); put(t, filepath.Join(p, "child"), "") },
	}
	isDir := map[string]bool{"empty": true, "full": true}
	for from, makeFrom := range kinds {
		for to, makeTo := range kinds {
			t.Run(from+" onto "+to, func(t *testing.T) {
				d, err := os.MkdirTemp(dir, "")
				ok(t, err)
				a, b := filepath.Join(d, "a"), filepath.Join(d, "b")
				makeFrom(a)
				makeTo(b)
				var before unix.Stat_t
				if from != "nothing" {
					before = lstat(t, a)
				}
				err = unix.Rename(a, b)
				switch {
				case from == "nothing":
					refused(t, "rename", err, unix.ENOENT)
				case to == "nothing":
					ok(t, err)
				case isDir[from] && !isDir[to]:
					refused(t, "rename", err, unix.ENOTDIR)
				case !isDir[from] && isDir[to]:
					refused(t, "rename", err, unix.EISDIR)
				case to == "full":
					refused(t, "rename", err, unix.ENOTEMPTY, unix.EEXIST)
				default:
					ok(t, err)
				}
				if err == nil {
					equal(t, "inode of the new name", lstat(t, b).Ino, before.Ino)
					refused(t, "lstat of the old name", unix.Lstat(a, &before), unix.ENOENT)
				} else if from != "nothing" {
					equal(t, "inode of the old name", lstat(t, a).Ino, before.Ino)
				}
			})
		}
	}
}

func renameFile(t *testing.T, dir string) {
	a, b, sub := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub")
	put(t, a, "new")
	put(t, b, "old")
	ok(t, os.Link(b, filepath.Join(dir, "keep")))
	ok(t, os.Rename(a, b))
	equal(t, "content of the target", content(t, b), "new")
	equal(t, "content of the replaced", content(t, filepath.Join(dir, "keep")), "old")
	equal(t, "nlink of the replaced", stat(t, filepath.Join(dir, "keep")).Nlink, 1)
	ok(t, os.Mkdir(sub, 0o755))
	ok(t, os.Rename(b, filepath.Join(sub, "b")))
	equal(t, "content in another directory", content(t, filepath.Join(sub, "b")), "new")
	refused(t, "into nowhere", unix.Rename(filepath.Join(sub, "b"), filepath.Join(dir, "no", "b")), unix.ENOENT)
	refused(t, "below a file", unix.Rename(sub, filepath.Join(sub, "b", "x")), unix.ENOTDIR, unix.EINVAL)
	refused(t, "a file with a slash behind", unix.Rename(filepath.Join(sub, "b")+"/", a), unix.ENOTDIR)
	refused(t, "to a name with a slash behind", unix.Rename(filepath.Join(sub, "b"), a+"/"), unix.ENOTDIR)
	refused(t, "of dot", unix.Rename(sub+"/.", a), unix.EBUSY, unix.EINVAL)
	refused(t, "of dot-dot", unix.Rename(sub+"/..", a), unix.EBUSY, unix.EINVAL, unix.ENOTEMPTY)
}

func renameDir(t *testing.T, dir string) {
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	ok(t, os.MkdirAll(filepath.Join(from, "d", "inner"), 0o755))
	ok(t, os.Mkdir(to, 0o755))
	equal(t, "nlink of the old parent before", stat(t, from).Nlink, 3)
	ok(t, os.Rename(filepath.Join(from, "d"), filepath.Join(to, "d")))
	equal(t, "nlink of the old parent", stat(t, from).Nlink, 2)
	equal(t, "nlink of the new parent", stat(t, to).Nlink, 3)
	equal(t, "dot-dot leads to the new parent", stat(t, filepath.Join(to, "d", "..")).Ino, stat(t, to).Ino)
	equal(t, "the tree below came along", stat(t, filepath.Join(to, "d", "inner")).Nlink, 2)
	ok(t, os.Mkdir(filepath.Join(from, "d"), 0o755))
	ok(t, unix.Rename(filepath.Join(from, "d"), filepath.Join(to, "d", "inner"))) // onto an empty one
	equal(t, "nlink after replacing a directory", stat(t, filepath.Join(to, "d")).Nlink, 3)
	ok(t, unix.Rename(to+"/", filepath.Join(dir, "slash")+"/"))
	equal(t, "a directory with slashes behind", stat(t, filepath.Join(dir, "slash", "d")).Nlink, 3)
}

// renameSelf: two names of one inode, and a name onto itself, are left alone.
func renameSelf(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, a, "x")
	ok(t, os.Link(a, b))
	ok(t, unix.Rename(a, b))
	equal(t, "nlink", stat(t, a).Nlink, 2)
	equal(t, "both names stay", len(list(t, dir)), 2)
	ok(t, unix.Rename(a, a))
	equal(t, "content", content(t, a), "x")
}

func renameLoop(t *testing.T, dir string) {
	a := filepath.Join(dir, "a")
	ok(t, os.MkdirAll(filepath.Join(a, "b", "c"), 0o755))
	refused(t, "into itself", unix.Rename(a, filepath.Join(a, "x")), unix.EINVAL)
	refused(t, "into its child", unix.Rename(a, filepath.Join(a, "b", "c", "x")), unix.EINVAL)
	refused(t, "onto its parent", unix.Rename(filepath.Join(a, "b"), a), unix.ENOTEMPTY, unix.EEXIST)
	refused(t, "onto its parent's parent", unix.Rename(filepath.Join(a, "b", "c"), a), unix.ENOTEMPTY, unix.EEXIST)

	// Two renames that together would make a loop: one of them must lose.
	for range 20 {
		x, y := filepath.Join(dir, "x"), filepath.Join(dir, "y")
		ok(t, os.Mkdir(x, 0o755))
		ok(t, os.Mkdir(y, 0o755))
		errs := make(chan error, 2)
		go func() { errs <- unix.Rename(x, filepath.Join(y, "x")) }()
		go func() { errs <- unix.Rename(y, filepath.Join(x, "y")) }()
		one, two := <-errs, <-errs
		if one == nil && two == nil {
			t.Fatal("x moved into y and y into x: both are lost")
		}
		ok(t, errors.Join(os.RemoveAll(x), os.RemoveAll(y)))
	}
}

func rename2(a, b string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags)
}

func renameNoReplace(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, a, "a")
	put(t, b, "b")
	refused(t, "onto a file", rename2(a, b, unix.RENAME_NOREPLACE), unix.EEXIST)
	ok(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	refused(t, "onto a directory", rename2(a, filepath.Join(dir, "d"), unix.RENAME_NOREPLACE), unix.EEXIST)
	refused(t, "onto itself", rename2(a, a, unix.RENAME_NOREPLACE), unix.EEXIST)
	refused(t, "together with EXCHANGE", rename2(a, b, unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), unix.EINVAL)
	refused(t, "an unknown flag", rename2(a, b, 1<<20), unix.EINVAL)
	ok(t, rename2(a, filepath.Join(dir, "c"), unix.RENAME_NOREPLACE))
	equal(t, "content", content(t, filepath.Join(dir, "c")), "a")

	// Of many that move to one free name exactly one arrives.
	const tries = 8
	won := make(chan bool, tries)
	for i := range tries {
		name := filepath.Join(dir, string(rune('p'+i)))
		put(t, name, "")
		go func() { won <- rename2(name, filepath.Join(dir, "goal"), unix.RENAME_NOREPLACE) == nil }()
	}
	n := 0
	for range tries {
		if <-won {
			n++
		}
	}
	equal(t, "winners", n, 1)
}

func renameExchange(t *testing.T, dir string) {
	f, d, l := filepath.Join(dir, "f"), filepath.Join(dir, "d"), filepath.Join(dir, "l")
	put(t, f, "file")
	ok(t, os.Mkdir(d, 0o755))
	put(t, filepath.Join(d, "child"), "c")
	ok(t, os.Symlink("x", l))
	inoF, inoD := lstat(t, f).Ino, lstat(t, d).Ino
	ok(t, rename2(f, d, unix.RENAME_EXCHANGE))
	equal(t, "the file is where the directory was", lstat(t, d).Ino, inoF)
	equal(t, "the directory is where the file was", lstat(t, f).Ino, inoD)
	equal(t, "with its child", content(t, filepath.Join(f, "child")), "c")
	ok(t, rename2(d, l, unix.RENAME_EXCHANGE))
	equal(t, "a symlink is exchanged, not followed", lstat(t, d).Mode&unix.S_IFMT, unix.S_IFLNK)
	refused(t, "with nothing", rename2(f, filepath.Join(dir, "none"), unix.RENAME_EXCHANGE), unix.ENOENT)
	refused(t, "of nothing", rename2(filepath.Join(dir, "none"), f, unix.RENAME_EXCHANGE), unix.ENOENT)
	refused(t, "with what is below", rename2(f, filepath.Join(f, "child"), unix.RENAME_EXCHANGE), unix.EINVAL)

	// Across directories the parents' link counts and dot-dot follow.
	p, q := filepath.Join(dir, "p"), filepath.Join(dir, "q")
	ok(t, os.MkdirAll(filepath.Join(p, "sub"), 0o755))
	ok(t, os.Mkdir(q, 0o755))
	put(t, filepath.Join(q, "file"), "")
	ok(t, rename2(filepath.Join(p, "sub"), filepath.Join(q, "file"), unix.RENAME_EXCHANGE))
	equal(t, "nlink of the parent that lost a directory", stat(t, p).Nlink, 2)
	equal(t, "nlink of the parent that got one", stat(t, q).Nlink, 3)
	equal(t, "dot-dot", stat(t, filepath.Join(q, "file", "..")).Ino, stat(t, q).Ino)
}

// renameOpen: descriptors follow the inode, not the name.
func renameOpen(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, a, "aaaa")
	put(t, b, "bbbb")
	fa, fb := open(t, a, os.O_RDWR, 0), open(t, b, os.O_RDWR, 0)
	ok(t, os.Rename(a, b))
	_, err := fa.WriteAt([]byte("X"), 0)
	ok(t, err)
	equal(t, "written through the old descriptor", content(t, b), "Xaaa")
	_, err = fb.WriteAt([]byte("Y"), 0)
	ok(t, err)
	buf := make([]byte, 4)
	_, err = fb.ReadAt(buf, 0)
	ok(t, err)
	equal(t, "the replaced file lives on", string(buf), "Ybbb")
	equal(t, "without a name", fstat(t, fb).Nlink, 0)
	equal(t, "and does not show in the new", content(t, b), "Xaaa")
}

// renameAtomic: while a name is replaced again and again, it is always there,
// for many at once, and each sees a whole file: a lookup holds what it found.
func renameAtomic(t *testing.T, dir string) {
	name := filepath.Join(dir, "name")
	put(t, name, "0")
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	const readers = 4
	reads := make(chan error, readers)
	for range readers {
		go func() { reads <- readOn(name, stop) }()
	}
	for i := range 400 {
		tmp := filepath.Join(dir, "tmp")
		ok(t, os.WriteFile(tmp, []byte{'0' + byte(i%10)}, 0o644))
		ok(t, os.Rename(tmp, name))
	}
	end()
	for range readers {
		ok(t, <-reads)
	}
}

// readOn reads and stats a file of one byte until stop.
func readOn(name string, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			if n == 0 {
				return errors.New("nothing was read meanwhile")
			}
			return nil
		default:
		}
		var st unix.Stat_t
		b, err := os.ReadFile(name)
		if err := errors.Join(err, wrap("stat", unix.Stat(name, &st))); err != nil || len(b) != 1 || st.Size != 1 {
			return fmt.Errorf("read %d: %q, %w", n, b, err)
		}
	}
}
