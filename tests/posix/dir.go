package posix

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var dirChecks = []check{
	{"make", dirMake},
	{"remove", dirRemove},
	{"counts", dirCounts},
	{"list", dirList},
	{"types", dirTypes},
	{"seek", dirSeek},
	{"churn", dirChurn},
	{"rewind", dirRewind},
	{"empties", dirEmpties},
}

func dirMake(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, unix.Mkdir(d, 0o751))
	st := lstat(t, d)
	equal(t, "mode", st.Mode, unix.S_IFDIR|0o751)
	equal(t, "nlink", st.Nlink, 2)
	refused(t, "mkdir twice", unix.Mkdir(d, 0o755), unix.EEXIST)
	put(t, filepath.Join(dir, "f"), "")
	refused(t, "mkdir onto a file", unix.Mkdir(filepath.Join(dir, "f"), 0o755), unix.EEXIST)
	refused(t, "mkdir below a file", unix.Mkdir(filepath.Join(dir, "f", "x"), 0o755), unix.ENOTDIR)
	refused(t, "mkdir below nothing", unix.Mkdir(filepath.Join(dir, "no", "x"), 0o755), unix.ENOENT)
	refused(t, "mkdir of dot", unix.Mkdir(d+"/.", 0o755), unix.EEXIST)
	refused(t, "mkdir of dot-dot", unix.Mkdir(d+"/..", 0o755), unix.EEXIST)
	ok(t, unix.Mkdir(filepath.Join(dir, "slash")+"/", 0o755))
	ok(t, unix.Mkdir(filepath.Join(dir, "sticky"), 0o1777))
	equal(t, "the sticky bit counts, the umask too", perm(t, filepath.Join(dir, "sticky")), 0o1755)
}

func dirRemove(t *testing.T, dir string) {
	d, f := filepath.Join(dir, "d"), filepath.Join(dir, "f")
	ok(t, os.Mkdir(d, 0o755))
	put(t, f, "")
	put(t, filepath.Join(d, "child"), "")
	refused(t, "not empty", unix.Rmdir(d), unix.ENOTEMPTY, unix.EEXIST)
	refused(t, "a file", unix.Rmdir(f), unix.ENOTDIR)
	refused(t, "nothing", unix.Rmdir(filepath.Join(dir, "no")), unix.ENOENT)
	refused(t, "below a file", unix.Rmdir(f+"/x"), unix.ENOTDIR)
	ok(t, os.Symlink("d", filepath.Join(dir, "l")))
	refused(t, "a symlink to one", unix.Rmdir(filepath.Join(dir, "l")), unix.ENOTDIR)
	ok(t, os.Remove(filepath.Join(d, "child")))
	refused(t, "dot", unix.Rmdir(d+"/."), unix.EINVAL)
	refused(t, "dot-dot", unix.Rmdir(d+"/.."), unix.ENOTEMPTY, unix.EEXIST)
	ok(t, unix.Rmdir(d+"/"))
	refused(t, "stat afterwards", unix.Stat(d, new(unix.Stat_t)), unix.ENOENT)
}

// dirCounts: find(1) leaves out stats where the count says no directory is left.
func dirCounts(t *testing.T, dir string) {
	for i := range 5 {
		ok(t, os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o755))
		put(t, filepath.Join(dir, fmt.Sprint("f", i)), "")
		equal(t, "nlink", stat(t, dir).Nlink, uint64(3+i))
	}
	ok(t, os.Remove(filepath.Join(dir, "d2")))
	ok(t, os.Remove(filepath.Join(dir, "f2")))
	equal(t, "nlink after rmdir", stat(t, dir).Nlink, 6)
}

func dirList(t *testing.T, dir string) {
	const n = 3000
	want := map[string]bool{}
	for i := range n {
		name := fmt.Sprintf("entry-%d-%0*d", i, i%100, i)
		want[name] = true
		put(t, filepath.Join(dir, name), "")
	}
	for _, size := range []int{512, 4096, 1 << 20} { // of getdents64's buffer
		s := openStream(t, dir)
		seen := map[string]bool{}
		for {
			entries := s.next(size)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				if seen[e.name] {
					t.Errorf("buffer %d: %q is listed twice", size, e.name)
				}
				seen[e.name] = true
			}
		}
		equal(t, fmt.Sprintf("entries with a buffer of %d", size), len(seen), n+2)
		for name := range want {
			if !seen[name] {
				t.Fatalf("buffer %d: %q is missing", size, name)
			}
		}
	}
}

func dirTypes(t *testing.T, dir string) {
	put(t, filepath.Join(dir, "reg"), "")
	ok(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	ok(t, os.Symlink("x", filepath.Join(dir, "lnk")))
	ok(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	ok(t, unix.Mknod(filepath.Join(dir, "chr"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
	ok(t, unix.Mknod(filepath.Join(dir, "blk"), unix.S_IFBLK|0o644, int(unix.Mkdev(7, 200))))
	ok(t, unix.Mknod(filepath.Join(dir, "sock"), unix.S_IFSOCK|0o644, 0))
	want := map[string]byte{".": unix.DT_DIR, "..": unix.DT_DIR, "reg": unix.DT_REG, "dir": unix.DT_DIR, "lnk": unix.DT_LNK,
		"fifo": unix.DT_FIFO, "chr": unix.DT_CHR, "blk": unix.DT_BLK, "sock": unix.DT_SOCK}
	entries := openStream(t, dir).rest()
	equal(t, "entries", len(entries), len(want))
	for _, e := range entries {
		equal(t, e.name+": d_type", e.typ, want[e.name])
		equal(t, e.name+": d_ino is st_ino", e.ino, lstat(t, filepath.Join(dir, e.name)).Ino)
	}
}

// dirSeek goes back to every place that telldir(3) named.
func dirSeek(t *testing.T, dir string) {
	for i := range 200 {
		put(t, filepath.Join(dir, fmt.Sprint("e", i)), "")
	}
	all := openStream(t, dir).rest()
	s := openStream(t, dir)
	for i := 0; i < len(all)-1; i += 7 {
		s.seek(all[i].off)
		got := s.next(4096)
		if len(got) == 0 || got[0].name != all[i+1].name {
			t.Fatalf("after the offset of %q comes %v, want %q", all[i].name, got, all[i+1].name)
		}
	}
	s.seek(all[len(all)-1].off)
	equal(t, "entries behind the last", len(s.next(4096)), 0)
	// An offset outlives the entry it stands behind.
	s.seek(0)
	gone := 50
	for all[gone].name[0] == '.' { // . and .. stand anywhere
		gone++
	}
	ok(t, unix.Unlink(filepath.Join(dir, all[gone].name)))
	s.seek(all[gone].off)
	if got := s.next(4096); len(got) == 0 || got[0].name != all[gone+1].name {
		t.Errorf("after the offset of a removed entry comes %v, want %q", got, all[gone+1].name)
	}
}

// dirChurn: while names come and go, what stays is listed exactly once.
func dirChurn(t *testing.T, dir string) {
	const stay = 800
	for i := range stay {
		put(t, filepath.Join(dir, fmt.Sprint("stay", i)), "")
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			name := filepath.Join(dir, fmt.Sprint("come", i%50))
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				stopped <- err
				return
			}
			if i%3 == 0 {
				os.Rename(name, filepath.Join(dir, fmt.Sprint("moved", i%20)))
			} else {
				os.Remove(name)
			}
		}
	}()
	for range 10 {
		seen := map[string]int{}
		s := openStream(t, dir)
		for {
			entries := s.next(1024)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				seen[e.name]++
			}
		}
		for i := range stay {
			if n := seen[fmt.Sprint("stay", i)]; n != 1 {
				t.Errorf("stay%d is listed %d times", i, n)
			}
		}
	}
	close(stop)
	ok(t, <-stopped)
}

func dirRewind(t *testing.T, dir string) {
	put(t, filepath.Join(dir, "one"), "")
	s := openStream(t, dir)
	equal(t, "entries", len(s.rest()), 3)
	put(t, filepath.Join(dir, "two"), "")
	ok(t, os.Remove(filepath.Join(dir, "one")))
	s.seek(0)
	got := map[string]bool{}
	for _, e := range s.rest() {
		got[e.name] = true
	}
	equal(t, "after rewinddir the new is there", got["two"], true)
	equal(t, "and the old is not", got["one"], false)
}

func dirEmpties(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	ok(t, os.Mkdir(d, 0o755))
	s := openStream(t, d)
	entries := s.rest()
	equal(t, "entries of an empty directory", len(entries), 2)
	for _, e := range entries {
		want := stat(t, d).Ino
		if e.name == ".." {
			want = stat(t, dir).Ino
		}
		equal(t, "ino of "+e.name, e.ino, want)
	}
	ok(t, os.Remove(d))
	s.seek(0)
	n, err := unix.ReadDirent(s.fd, make([]byte, 4096))
	if n > 0 || (err != nil && err != unix.ENOENT) {
		t.Errorf("a removed directory lists %d bytes, %v", n, err)
	}
	put(t, d, "")
	_, err = unix.ReadDirent(int(open(t, d, os.O_RDONLY, 0).Fd()), make([]byte, 4096))
	refused(t, "getdents of a file", err, unix.ENOTDIR)
}
