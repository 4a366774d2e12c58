package acl

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/tests/harness"
)

// What one mount makes of an ACL, the kernel of the other goes by, though it
// has cached the ACL and may believe it for an hour.
func TestRecalled(t *testing.T) {
	w := harness.Start(t, "-o", "attr_timeout=1h,entry_timeout=1h")
	here, there := w.Mount(), w.SecondMount(t)
	bob := users[2]
	must(t, os.WriteFile(filepath.Join(there, "f"), []byte("x"), 0o640))
	must(t, os.Mkdir(filepath.Join(there, "d"), 0o755))
	set := func(name, attr, text string) {
		t.Helper()
		l, _, err := acl.ParseText(text, acl.Names{})
		must(t, err)
		must(t, unix.Setxattr(filepath.Join(there, name), attr, acl.EncodeXattr(l), 0))
	}
	read := func() (err error) {
		harness.As(bob, func() { err = open(filepath.Join(here, "f"), unix.O_RDONLY, 0) })
		return err
	}
	for _, c := range []struct {
		list string
		want error
	}{
		{"u::rw-,g::r--,m::r--,o::---", unix.EACCES},
		{"u::rw-,u:5102:r--,g::r--,m::r--,o::---", nil},
		{"u::rw-,u:5102:---,g::r--,m::r--,o::r--", unix.EACCES},
		{"u::rw-,u:5103:rw-,g::r--,g:5204:r--,m::rw-,o::---", nil},
		{"u::rw-,u:5103:rw-,g::r--,g:5204:r--,m::-w-,o::---", unix.EACCES},
		{"u::rw-,g::---,o::r--", nil},
		{"u::rw-,g::r--,o::---", unix.EACCES},
	} {
		set("f", acl.XattrAccess, c.list)
		eventually(t, "bob reads under "+c.list, func() bool { return errors.Is(read(), c.want) })
		eventually(t, "both show "+c.list, func() bool {
			return state(filepath.Join(here, "f")) == state(filepath.Join(there, "f"))
		})
	}
	set("d", acl.XattrDefault, "u::rwx,u:5102:r-x,g::r-x,m::rwx,o::---")
	must(t, os.Mkdir(filepath.Join(here, "d", "e"), 0o755)) // at once: the server makes it
	if got, want := list1(filepath.Join(here, "d", "e"), acl.XattrDefault), list1(filepath.Join(there, "d"), acl.XattrDefault); got != want {
		t.Errorf("inherited %s, want %s", got, want)
	}
}

// list1 is an ACL of a path, in words.
func list1(path, name string) string {
	return list(func(name string, b []byte) (int, error) { return unix.Lgetxattr(path, name, b) }, name)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually asks until it is so; a recall is on its way for a moment.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not after a minute", what)
		}
	}
}
