package acl

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// people has alice (5) and a name that needs quoting (6); staff is group 50, and
// group 51 is called like a number.
func people() Names {
	users := map[posix.UID]string{5: "alice", 6: `EX\a: ü,#1`}
	groups := map[posix.GID]string{50: "staff", 51: "5"}
	return Names{
		User:    func(id posix.UID) string { return users[id] },
		Group:   func(id posix.GID) string { return groups[id] },
		UserID:  func(s string) (posix.UID, bool) { return reverse(users, s) },
		GroupID: func(s string) (posix.GID, bool) { return reverse(groups, s) },
	}
}

func reverse[K comparable](m map[K]string, name string) (K, bool) {
	for id, s := range m {
		if s == name {
			return id, true
		}
	}
	var none K
	return none, false
}

func TestText(t *testing.T) {
	l := parse1(t, "u::rwx,u:5:rwx,u:7:r--,g::r-x,g:50:-w-,g:51:---,m::r--,o::--x")
	for _, c := range []struct {
		name  string
		want  string
		acl   ACL
		style Style
	}{
		{"long, as getfacl", "user::rwx\nuser:alice:rwx\t#effective:r--\nuser:7:r--\ngroup::r-x\t#effective:r--\n" +
			"group:staff:-w-\t#effective:---\ngroup:51:---\nmask::r--\nother::--x\n", l, Style{Names: people()}},
		{"all effective", "user::rwx\nuser:5:rwx\t#effective:r--\nuser:7:r--\t#effective:r--\ngroup::r-x\t#effective:r--\n" +
			"group:50:-w-\t#effective:---\ngroup:51:---\t#effective:---\nmask::r--\nother::--x\n", l, Style{Effective: EffectiveAll}},
		{"none effective", "user::rwx\nuser:5:rwx\nuser:7:r--\ngroup::r-x\ngroup:50:-w-\ngroup:51:---\nmask::r--\nother::--x\n",
			l, Style{Effective: EffectiveNone}},
		{"no mask, no remark", "user::rw-\ngroup::r--\nother::---\n", FromMode(0o640), Style{Effective: EffectiveAll}},
		{"default", "default:user::rw-\ndefault:group::r--\ndefault:other::---\n", FromMode(0o640), Style{Default: true}},
		{"short default", "d:u::rw-,d:g::r--,d:o::---", FromMode(0o640), Style{Default: true, Short: true}},
		{"none", "", nil, Style{}},
		{"quoted", `u:EX\134a\072\040\303\274\054\0431:---`, ACL{{User, 0, 6}}, Style{Names: people(), Short: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.acl.Text(c.style); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	if got := (Entry{Group, 5, 9}).String(); got != "g:9:r-x" {
		t.Errorf("an entry: %q", got)
	}
}

func TestParseText(t *testing.T) {
	for _, c := range []struct {
		name    string
		access  string
		def     string
		problem string
		text    string
	}{
		{"nothing", "", "", "", " \n# only a remark\n\n"},
		{"long", "u::rw-,u:5:rwx,g::r--,m::rwx,o::---", "", "",
			"# file: x\nuser::rw-\nuser:alice:rwx\t#effective:r--\ngroup::r--\nmask::rwx\nother::---\n"},
		{"both, mixed and out of order", "u::rwx,g::r-x,o::---", "u::rwx,g::r-x,g:50:rwx,m::rwx,o::---", "",
			"d:o:-,default:g:staff:7, o:0 ,\td:g::5,u: :rwx,d:user::rwx,group::xr,d:m:rwx,"},
		{"a mask that was not given", "u::rw-,u:5:-wx,g::r--,m::rwx,o::---", "", "", "u::6,u:5:3,g::4,o:0"},
		{"a default ACL alone", "", "u::rwx,g::---,o::---", "", "d:u::rwx,d:g::-,d:o::-"},
		{"quoted name", "u::---,u:6:r--,g::---,m::r--,o::---", "", "", `u::-,u:EX\a\072\040ü\054#1:r,g::-,o::-`},
		{"numbers go first", "u::---,g::---,g:5:r--,m::r--,o::---", "", "", "u::-,g::-,g:5:r,o::-"},
		{"crlf", "u::---,g::---,o::---", "", "", "u::-\r\ng::-\r\no::-\r\n"},
		{"missing base", "", "", "access ACL: acl: invalid argument: no entry OTHER", "u::rwx,g::rwx"},
		{"missing base of default", "", "", "default ACL: acl: invalid argument: no entry USER_OBJ", "d:g::rwx"},
		{"twice", "", "", "user 5 twice", "u::rwx,u:5:r,u:alice:w,g::rwx,o::rwx"},
		{"X", "", "", "X needs a file", "u::rwX"},
		{"unknown user", "", "", `no user named "bob"`, "u::rwx,u:bob:r"},
		{"unknown group", "", "", `no group named "alice"`, "g:alice:r"},
		{"id too large", "", "", "out of range", "u:4294967296:r"},
		{"the id that is none", "", "", "out of range", "u:4294967295:r"},
		{"negative", "", "", "no user named", "u:-1:r"},
		{"empty entry", "", "", "no permissions", "u::rwx,,g::rwx"},
		{"no permissions", "", "", "no permissions", "u"},
		{"no permissions but a name", "", "", `permissions "alice"`, "o:alice"},
		{"a mask with a name", "", "", "not an entry", "m:alice:rwx"},
		{"others with a name", "", "", "not an entry", "other:5:rwx"},
		{"user without a colon too few", "", "", "not an entry", "user:rwx"},
		{"unknown word", "", "", "not an entry", "usr::rwx"},
		{"default alone", "", "", "no permissions", "default:"},
		{"too many fields", "", "", "3 fields", "u:5:r:w"},
		{"letter twice", "", "", `permissions "rr"`, "u::rr"},
		{"unknown letter", "", "", `permissions "rwz"`, "u::rwz"},
		{"empty", "", "", `permissions ""`, "u::"},
		{"eight", "", "", `permissions "8"`, "u::8"},
		{"too long", "", "", `permissions "-----"`, "u::-----"},
		{"a remark needs room", "", "", `permissions "r#x"`, "u::r#x"},
		{"huge", "", "", "bytes of text", strings.Repeat("#", MaxText+1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, d, err := ParseText(c.text, people())
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Fatalf("error %v, want %q", err, c.problem)
			}
			if err != nil && (!errors.Is(err, posix.EINVAL) || a != nil || d != nil) {
				t.Errorf("%v, %v, %v", a, d, err)
			}
			if a.String() != c.access || d.String() != c.def {
				t.Errorf("got %v and %v", a, d)
			}
		})
	}
}

// TestParseNumbersOnly: without Names a name is nobody's.
func TestParseNumbersOnly(t *testing.T) {
	for _, text := range []string{"u:alice:r", "g:staff:r"} {
		if _, err := ParseChanges(text, Names{}); posix.ErrnoOf(err) != posix.EINVAL {
			t.Errorf("%s: %v", text, err)
		}
	}
	liar := Names{UserID: func(string) (posix.UID, bool) { return noID, true }}
	if _, err := ParseChanges("u:alice:r", liar); posix.ErrnoOf(err) != posix.EINVAL {
		t.Errorf("the id that is none: %v", err)
	}
}

func TestParseRemovals(t *testing.T) {
	for _, c := range []struct {
		want string
		text string
	}{
		{"u:5:---", "u:alice"},
		{"u:5:---", "user:5:"},
		{"d:g:50:---", "default:group:staff"},
		{"m::---", "mask"},
		{"d:m::---", "d:m:"},
		{"o::---", "o"},
		{"", "u:alice:r"},
		{"", "u"},
		{"", "mask:5"},
		{"", "u:5:r:"},
	} {
		cs, err := ParseRemovals(c.text, people())
		if c.want == "" {
			if posix.ErrnoOf(err) != posix.EINVAL {
				t.Errorf("%q: %v, %v", c.text, cs, err)
			}
			continue
		}
		if err != nil || len(cs) != 1 || !cs[0].Remove || (Style{Short: true, Default: cs[0].Default}).entry(cs[0].Entry) != c.want {
			t.Errorf("%q: %v, %v", c.text, cs, err)
		}
	}
}

// TestTextRoundTrip in every style.
func TestTextRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range 3000 {
		a, d := randomACL(rng, false), randomACL(rng, false)
		s := Style{Names: people(), Short: i%2 == 0, Effective: Effective(i % 3)}
		sd := s
		sd.Default = true
		text := a.Text(s) + "\n" + d.Text(sd)
		a2, d2, err := ParseText(text, people())
		if err != nil || !a2.Equal(a) || !d2.Equal(d) {
			t.Fatalf("%s became %v and %v, %v", text, a2, d2, err)
		}
	}
}

// FuzzParseText: what is read is valid, and prints to a text that reads the same.
func FuzzParseText(f *testing.F) {
	f.Add("user::rw-\nuser:alice:rwx\t#effective:r--\ngroup::r--\nmask::rwx\nother::---\n")
	f.Add("u::7,g:staff:5,g::r-x,o:-,d:u::rwx,d:g::-,d:o:0")
	f.Fuzz(func(t *testing.T, text string) {
		a, d, err := ParseText(text, people())
		if err != nil {
			if posix.ErrnoOf(err) != posix.EINVAL {
				t.Fatal(err)
			}
			return
		}
		if a.Valid() != nil || d.Valid() != nil {
			t.Fatalf("%q: %v, %v", text, a, d)
		}
		s := Style{Names: people()}
		out := a.Text(s)
		s.Default = true
		out += d.Text(s)
		a2, d2, err := ParseText(out, people())
		if err != nil || !a2.Equal(a) || !d2.Equal(d) {
			t.Fatalf("%q reads as %v, %v, %v", out, a2, d2, err)
		}
	})
}

// FuzzUnquote: what printable wrote comes back.
func FuzzUnquote(f *testing.F) {
	f.Add(`EX\a: ü,#1`)
	f.Add(`\101`)
	f.Fuzz(func(t *testing.T, name string) {
		s := printable(name, 77)
		if s == "77" {
			return
		}
		if posix.Unescape(s) != name || bytes.ContainsAny([]byte(s), " ,:#\n\t\r") {
			t.Fatalf("%q printed as %q", name, s)
		}
	})
}
