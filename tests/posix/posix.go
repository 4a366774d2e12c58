// Package posix says what a POSIX filesystem does, as Linux and ext4 do it, in
// functions over a directory. The same assertions run on a mount of wardfs and
// on the machine's own disk: where the disk fails one, the assertion is wrong.
//
// Run needs root: it acts as other users and makes devices.
package posix

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// A check is one group of assertions over an empty directory of mode 0777.
type check struct {
	name string
	run  func(t *testing.T, dir string)
}

// Run runs the whole suite below dir.
func Run(t *testing.T, dir string) {
	for _, group := range []struct {
		name   string
		checks []check
	}{
		{"open", openChecks}, {"data", dataChecks}, {"rename", renameChecks}, {"link", linkChecks},
		{"dir", dirChecks}, {"name", nameChecks}, {"time", timeChecks}, {"perm", permChecks},
		{"owner", ownerChecks}, {"xattr", xattrChecks}, {"mmap", mmapChecks}, {"special", specialChecks},
		{"many", manyChecks},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.checks {
				t.Run(c.name, func(t *testing.T) {
					d := filepath.Join(dir, group.name+"-"+c.name)
					ok(t, os.Mkdir(d, 0o777))
					ok(t, os.Chmod(d, 0o777))
					c.run(t, d)
					ok(t, os.RemoveAll(d))
				})
			}
		})
	}
}

// Children are the programs that the suite starts; TestMain hands them on.
func Children() map[string]func(args []string) error {
	return map[string]func([]string) error{
		"posix-append": appendChild,
		"posix-fsx":    fsxChild,
		"posix-lock":   lockChild,
		"posix-map":    mapChild,
	}
}

// ok fails the test at once if err is not nil.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused reports an error that is not one of want.
func refused(t testing.TB, what string, err error, want ...unix.Errno) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: got %v, want %v", what, err, want)
}

// equal reports two values that differ.
func equal[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte(content), 0o644))
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return string(b)
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return st
}

func lstat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func fstat(t testing.TB, f *os.File) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatalf("fstat %s: %v", f.Name(), err)
	}
	return st
}

func perm(t testing.TB, path string) uint32 {
	t.Helper()
	return lstat(t, path).Mode & 0o7777
}

// list is the sorted names in dir.
func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	ok(t, err)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names
}

func open(t testing.TB, path string, flags int, mode os.FileMode) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, mode)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// tryOpen opens with bare flags, closes again and answers the error.
func tryOpen(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// as runs f as another user, in dir.
func as(t testing.TB, c harness.Cred, dir string, f func()) {
	t.Helper()
	harness.As(c, func() {
		ok(t, unix.Chdir(dir))
		f()
	})
}
