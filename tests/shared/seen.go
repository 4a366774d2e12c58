package shared

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// closedThenOpened: what one mount has written and closed, the other reads
// whole when it opens the file after that, whatever it knew of it before. Size
// and mtime of the open file are the writer's to the nanosecond.
func closedThenOpened(t *testing.T, dirs [2]string) {
	r := rand.New(rand.NewPCG(1, 2))
	rounds := harness.Size(60, 1000)
	want := []byte{}
	for k := range rounds {
		here, there := filepath.Join(dirs[k%2], "f"), filepath.Join(dirs[(k+1)%2], "f")
		wrote, err := change(here, &want, r)
		if err != nil {
			t.Fatalf("round %d: %v", k, err)
		}
		if k == 0 {
			ok(t, harness.Until(func() error { _, err := os.Stat(there); return err }))
		}
		f, err := os.Open(there)
		ok(t, err)
		got, err := io.ReadAll(f)
		ok(t, err)
		st, err := f.Stat()
		ok(t, err)
		ok(t, f.Close())
		if !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes, want %d, the first wrong one at %d; fstat %d", k, len(got), len(want), differ(got, want), st.Size())
		}
		if st.Size() != wrote.Size() || !st.ModTime().Equal(wrote.ModTime()) {
			t.Fatalf("round %d: size %d, mtime %v, want %d, %v", k, st.Size(), st.ModTime(), wrote.Size(), wrote.ModTime())
		}
	}
}

// differ is where two strings differ first.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// change does one random thing to the file and to want, and answers the file's
// attributes afterwards.
func change(name string, want *[]byte, r *rand.Rand) (st fs.FileInfo, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 1+r.IntN(300_000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch off := r.IntN(len(*want) + 1); r.IntN(4) {
	case 0:
		_, err = f.WriteAt(b, int64(off))
		*want = append((*want)[:off:off], append(b, (*want)[min(off+len(b), len(*want)):]...)...)
	case 1:
		err = f.Truncate(int64(off))
		*want = (*want)[:off:off]
	case 2:
		_, err = f.WriteAt(b, int64(len(*want)))
		*want = append(*want, b...)
	default:
		err = mapped(f, want, b)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	return os.Stat(name)
}

// mapped writes through a shared mapping over what the file has.
func mapped(f *os.File, want *[]byte, b []byte) error {
	if len(*want) == 0 {
		return nil
	}
	m, err := unix.Mmap(int(f.Fd()), 0, len(*want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	n := copy(m, b)
	copy(*want, b[:n])
	return errors.Join(unix.Msync(m, unix.MS_SYNC), unix.Munmap(m))
}

// names: what is made, renamed, replaced and removed here comes to be so
// there, also where the other mount has just looked and found otherwise.
func names(t *testing.T, dirs [2]string) {
	for k := range harness.Size(10, 200) {
		here, there := dirs[k%2], dirs[(k+1)%2]
		at := func(dir, name string) string { return filepath.Join(dir, name) }
		see := func(what string, want ...string) {
			t.Helper()
			if err := harness.Until(func() error { return sees(there, want) }); err != nil {
				t.Fatalf("round %d, after %s: %v", k, what, err)
			}
		}
		see("nothing")
		ok(t, os.WriteFile(at(here, "a"), []byte("a"), 0o644))
		see("create", "a")
		ok(t, os.Link(at(here, "a"), at(here, "b")))
		see("link", "a", "b")
		ok(t, os.Rename(at(here, "a"), at(here, "c")))
		see("rename", "b", "c")
		ok(t, os.Mkdir(at(here, "d"), 0o755))
		ok(t, os.Rename(at(here, "c"), at(here, "d/e")))
		see("rename into a directory", "b", "d", "d/e")
		ok(t, os.WriteFile(at(here, "n"), []byte("new"), 0o644))
		ok(t, os.Rename(at(here, "n"), at(here, "b")))
		see("replacement", "b", "d", "d/e")
		ok(t, harness.Until(func() error {
			if got, err := os.ReadFile(at(there, "b")); err != nil || string(got) != "new" {
				return fmt.Errorf("read %q, %v", got, err)
			}
			return nil
		}))
		ok(t, os.RemoveAll(at(here, "d")))
		ok(t, os.Remove(at(here, "b")))
		see("removal")
	}
}

// sees answers how what is below dir differs from want, asking for each of the
// names that the test uses and listing the directory.
func sees(dir string, want []string) error {
	for _, name := range []string{"a", "b", "c", "d", "d/e", "n"} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if there := err == nil; there != slices.Contains(want, name) {
			return fmt.Errorf("%s: %v", name, err)
		}
	}
	var got []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("listed %q, want %q", got, want)
	}
	return nil
}
