package acl

import (
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// changes reads arguments of setfacl: each is "-m …" or "-x …".
func changes(t testing.TB, args ...string) []Change {
	t.Helper()
	var out []Change
	for _, a := range args {
		read := ParseChanges
		if strings.HasPrefix(a, "-x ") {
			read = ParseRemovals
		}
		cs, err := read(a[len("-x "):], people())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cs...)
	}
	return out
}

func TestEdit(t *testing.T) {
	const dir, reg = posix.TypeDir, posix.TypeReg
	const full = "u::rwx,u:5:rwx,g::r-x,m::r--,o::---"
	for _, c := range []struct {
		name    string
		access  string // "" is EINVAL
		def     string
		mode    posix.Mode
		a, d    string
		changes []string
		rule    MaskRule
	}{
		{"from a mode", "u::rw-,u:5:r-x,g::r--,m::r-x,o::---", "", reg | 0o640, "", "", []string{"-m u:alice:rx"}, 0},
		{"stays minimal", "u::rw-,g::rwx,o::---", "", reg | 0o640, "", "", []string{"-m g::rwx"}, 0},
		{"mask widens", "u::rwx,u:5:rwx,g::-w-,m::rwx,o::---", "", reg, full, "", []string{"-m g::w"}, 0},
		{"mask given", "u::rwx,u:5:rwx,g::r-x,m::-w-,o::---", "", reg, full, "", []string{"-m m::w,u:5:rwx"}, 0},
		{"mask kept", "u::rwx,u:5:rwx,u:7:r--,g::r-x,m::r--,o::---", "", reg, full, "", []string{"-m u:7:r"}, MaskKeep},
		{"mask forced", "u::rwx,u:5:rwx,g::r-x,m::rwx,o::---", "", reg, full, "", []string{"-m m::-"}, MaskUnion},
		{"a first mask keeps the mode", "u::rw-,u:5:rwx,g::r--,m::r--,o::---", "", reg | 0o640, "", "", []string{"-m u:5:7"}, MaskKeep},
		{"minimal needs no first mask", "u::rw-,g::rwx,o::---", "", reg | 0o640, "", "", []string{"-m g::7"}, MaskKeep},
		{"a needed mask kept away", "", "", reg | 0o640, "", "", []string{"-x m", "-m u:5:r"}, MaskKeep},
		{"remove a user", "u::rwx,g::r-x,m::r-x,o::---", "", reg, full, "", []string{"-x u:5"}, 0},
		{"remove user and mask", "u::rwx,g::r-x,o::---", "", reg, full, "", []string{"-x u:5,m"}, 0},
		{"remove a needed mask", "", "", reg, full, "", []string{"-x m"}, 0},
		{"remove a base entry", "", "", reg, full, "", []string{"-x o"}, 0},
		{"remove all", "", "", reg, "u::rwx,g::r-x,o::r--", "", []string{"-x u:,g:,o"}, 0},
		{"remove what is not there", "u::rwx,u:5:rwx,g::r-x,m::rwx,o::---", "", reg, full, "", []string{"-x g:9"}, 0},
		{"in their order", "u::rw-,u:5:-w-,g::r--,m::rw-,o::---", "", reg | 0o640, "", "", []string{"-m u:5:r", "-x u:5", "-m u:5:w"}, 0},
		{"X with no x", "u::rw-,g::r--,o::r--", "", reg | 0o640, "", "", []string{"-m o::rX"}, 0},
		{"X with an x", "u::rwx,g::r--,o::r-x", "", reg | 0o740, "", "", []string{"-m o::rX"}, 0},
		{"X of a directory", "u::rw-,g::r--,o::r-x", "", dir | 0o640, "", "", []string{"-m o::rX"}, 0},
		{"base of a new default ACL", "u::rwx,g::r-x,o::--x", "u::rwx,u:5:r--,g::r-x,m::r-x,o::--x", dir | 0o750, "", "", []string{"-m d:u:5:r,o:x"}, 0},
		{"base without the access mask", full, "u::r--,g::r-x,o::---", dir, full, "", []string{"-m d:u::r"}, 0},
		{"default alone changes", full, "u::rwx,g::---,o::rwx", dir, full, "u::rwx,g::---,o::---", []string{"-m d:o:7"}, 0},
		{"the last default entry", full, "", dir, full, "u::rwx,g::---,o::---", []string{"-x d:u:,d:g:,d:o"}, 0},
		{"default gets a base entry back", full, "u::rwx,g::---,o::---", dir, full, "u::rwx,g::---,o::rwx", []string{"-x d:o"}, 0},
		{"default loses a needed mask", "", "", dir, full, full, []string{"-x d:m"}, 0},
		{"removal makes no default", full, "", dir, full, "", []string{"-x d:u:5"}, 0},
		{"nothing", full, full, dir, full, full, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, d := parse1(t, c.a), parse1(t, c.d)
			ga, gd, err := Edit(c.mode, a, d, changes(t, c.changes...), c.rule)
			if c.access == "" && posix.ErrnoOf(err) != posix.EINVAL || c.access != "" && err != nil {
				t.Fatal(err)
			}
			if ga.String() != c.access || gd.String() != c.def {
				t.Errorf("got %v and %v", ga, gd)
			}
			if a.String() != c.a || d.String() != c.d {
				t.Errorf("the lists given became %v and %v", a, d)
			}
		})
	}
}

// TestEditMany: more entries than fit are refused, and soon.
func TestEditMany(t *testing.T) {
	var cs []Change
	for i := range 100_000 {
		cs = append(cs, Change{Entry: Entry{User, 4, uint32(i)}})
	}
	if _, _, err := Edit(0o640, nil, nil, cs, 0); posix.ErrnoOf(err) != posix.EINVAL {
		t.Error(err)
	}
}
