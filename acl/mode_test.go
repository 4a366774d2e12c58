package acl

import (
	"math/rand/v2"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

func TestMode(t *testing.T) {
	for _, c := range []struct {
		want    posix.Mode
		minimal bool
		acl     string
	}{
		{0o754, true, "u::rwx,g::r-x,o::r--"},
		{0o714, false, "u::rwx,g::r-x,m::--x,o::r--"},
		{0o770, false, "u::rwx,u:5:rwx,g::---,m::rwx,o::---"},
		{0o730, false, "u::rwx,g::---,g:5:rwx,m::-wx,o::---"},
	} {
		l := parse1(t, c.acl)
		if got := l.Mode(); got != c.want || l.Minimal() != c.minimal {
			t.Errorf("%v: mode %o, minimal %v", l, got, l.Minimal())
		}
	}
	for m := posix.Mode(0); m < 0o1000; m++ {
		if l := FromMode(posix.SetUID | m); l.Mode() != m || !l.Minimal() || l.Valid() != nil {
			t.Fatalf("mode %o became %v", m, l)
		}
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		want posix.Mode
		keep bool
		mode posix.Mode
		acl  string
	}{
		{posix.TypeReg | posix.SetGID | 0o640, false, posix.TypeReg | posix.SetGID | 0o777, "u::rw-,g::r--,o::---"},
		{posix.TypeDir | posix.Sticky | 0o770, true, posix.TypeDir | posix.Sticky, "u::rwx,u:5:r--,g::---,m::rwx,o::---"},
	} {
		l := parse1(t, c.acl)
		m, kept := Apply(c.mode, l)
		if m != c.want || (kept != nil) != c.keep {
			t.Errorf("%v on %o: %o, %v", l, c.mode, m, kept)
		}
	}
	if m, l := Apply(0o2670, nil); m != 0o2670 || l != nil {
		t.Errorf("taking an ACL away: %o, %v", m, l)
	}
}

func TestChmod(t *testing.T) {
	for _, c := range []struct {
		want string
		mode posix.Mode
		acl  string
	}{
		{"u::-w-,g::r-x,o::--x", 0o4251, "u::rwx,g::rwx,o::rwx"},
		{"u::rw-,u:5:rwx,g::rwx,m::r--,o::---", 0o640, "u::rwx,u:5:rwx,g::rwx,m::rwx,o::rwx"},
		{"u::rwx,g::r--,g:5:---,m::rwx,o::rwx", 0o777, "u::---,g::r--,g:5:---,m::---,o::---"},
	} {
		l := parse1(t, c.acl)
		if got := l.Chmod(c.mode); got.String() != c.want {
			t.Errorf("chmod %o of %v: %v, want %v", c.mode, l, got, c.want)
		}
		if l.String() != c.acl {
			t.Errorf("chmod changed its list to %v", l)
		}
	}
	if ACL(nil).Chmod(0o777) != nil {
		t.Error("chmod made an ACL of none")
	}
}

// TestChmodProperties: the mode comes back, twice is once, and chmod to the
// list's own mode changes nothing.
func TestChmodProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		l, m := randomACL(rng, false), posix.Mode(rng.IntN(0o10000))
		n := l.Chmod(m)
		switch {
		case n.Mode() != m&permBits:
			t.Fatalf("%v: chmod %o shows %o", l, m, n.Mode())
		case n.Valid() != nil:
			t.Fatalf("%v: chmod %o: %v", l, m, n.Valid())
		case !n.Chmod(m).Equal(n):
			t.Fatalf("%v: chmod %o twice: %v", l, m, n.Chmod(m))
		case !l.Chmod(l.Mode()).Equal(l):
			t.Fatalf("%v: chmod to its own mode: %v", l, l.Chmod(l.Mode()))
		}
	}
}

func TestInherit(t *testing.T) {
	const dir, reg = posix.TypeDir, posix.TypeReg
	const def = "u::rwx,u:5:rwx,g::r-x,m::rwx,o::r-x"
	for _, c := range []struct {
		name        string
		wantMode    posix.Mode
		wantAccess  string
		wantDefault string
		def         string
		mode, umask posix.Mode
	}{
		{"the umask without a default ACL", reg | 0o644, "", "", "", reg | 0o666, 0o022},
		{"the umask leaves special bits", dir | 0o2700, "", "", "", dir | 0o2777, 0o7077},
		{"no umask with one", reg | 0o664, "u::rw-,u:5:rwx,g::r-x,m::rw-,o::r--", "", def, reg | 0o666, 0o077},
		{"a directory", dir | 0o3775, def, def, def, dir | 0o3777, 0o077},
		{"a narrow create mode", reg | 0o400, "u::r--,u:5:rwx,g::r-x,m::---,o::---", "", def, reg | 0o400, 0},
		{"minimal stays in the mode", reg | 0o640, "", "", "u::rwx,g::r-x,o::---", reg | 0o666, 0},
		{"minimal is a default ACL still", dir | 0o750, "", "u::rwx,g::r-x,o::---", "u::rwx,g::r-x,o::---", dir | 0o777, 0},
		{"a symbolic link", posix.TypeLink | 0o777, "", "", def, posix.TypeLink | 0o777, 0o022},
		{"a symbolic link without", posix.TypeLink | 0o777, "", "", "", posix.TypeLink | 0o777, 0o022},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := parse1(t, c.def)
			m, a, nd := Inherit(d, c.mode, c.umask)
			if m != c.wantMode || a.String() != c.wantAccess || nd.String() != c.wantDefault {
				t.Errorf("got %o %v %v", m, a, nd)
			}
			if d.String() != c.def {
				t.Errorf("the parent's default ACL became %v", d)
			}
			if len(nd) > 0 && &nd[0] == &d[0] {
				t.Error("parent and child share a list")
			}
		})
	}
}

// TestInheritProperties: never more than the program asked, never more than the
// parent says, and mode and ACL agree.
func TestInheritProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		def, mode := randomACL(rng, false), posix.TypeReg|posix.Mode(rng.IntN(0o10000))
		m, l, _ := Inherit(def, mode, 0o777)
		if m&^mode != 0 || m&permBits&^def.Mode() != 0 || m&^permBits != mode&^permBits {
			t.Fatalf("%v: %o became %o", def, mode, m)
		}
		if l != nil && (l.Mode() != m&permBits || l.Valid() != nil) {
			t.Fatalf("%v: %o became %o and %v", def, mode, m, l)
		}
	}
}

func TestWithMask(t *testing.T) {
	for _, c := range []struct{ want, acl string }{
		{"u::rwx,g::r--,o::rwx", "u::rwx,g::r--,o::rwx"},
		{"u::rwx,g::r--,m::r--,o::rwx", "u::rwx,g::r--,m::-wx,o::rwx"},
		{"u::rwx,u:5:-w-,g::---,g:6:--x,m::-wx,o::rwx", "u::rwx,u:5:-w-,g::---,g:6:--x,m::---,o::rwx"},
	} {
		if got := parse1(t, c.acl).WithMask().String(); got != c.want {
			t.Errorf("%s: got %s", c.acl, got)
		}
	}
	lacks := ACL{{UserObj, 7, 0}, {User, 2, 5}, {GroupObj, 4, 0}, {Other, 1, 0}}
	if got := lacks.WithMask().String(); got != "u::rwx,u:5:-w-,g::r--,m::rw-,o::--x" {
		t.Errorf("a mask that was missing: %s", got)
	}
}
