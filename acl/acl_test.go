package acl

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

const (
	r = posix.MayRead
	w = posix.MayWrite
	x = posix.MayExec
)

// parse1 reads an access ACL from short text.
func parse1(t testing.TB, text string) ACL {
	t.Helper()
	l, _, err := ParseText(text, Names{})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return l
}

// file is a regular file of owner 1 and group 10 that has the list and its mode.
func file(t testing.TB, text string) (posix.Attr, ACL) {
	t.Helper()
	m, l := Apply(posix.TypeReg, parse1(t, text))
	return posix.Attr{Mode: m, UID: 1, GID: 10}, l
}

func cred(uid posix.UID, groups ...posix.GID) posix.Cred {
	return posix.Cred{UID: uid, GID: groups[0], Groups: groups[1:]}
}

func TestCheck(t *testing.T) {
	root := posix.Cred{UID: 7, GID: 70, Super: true}
	const named = "u::---,u:2:rw-,u:3:---,g::r--,g:20:-wx,g:30:r-x,m::rwx,o::r--"
	for _, c := range []struct {
		name string
		want posix.Perm // all that is granted, one right asked at a time
		acl  string
		cred posix.Cred
	}{
		{"owner by mode", r | w, "u::rw-,g::---,o::rwx", cred(1, 10)},
		{"group by mode", r, "u::rwx,g::r--,o::rwx", cred(2, 10)},
		{"second group by mode", r, "u::rwx,g::r--,o::rwx", cred(2, 99, 98, 10)},
		{"other by mode", x, "u::rwx,g::rwx,o::--x", cred(2, 99)},
		{"the owner is first", 0, named, cred(1, 10, 20, 30)},
		{"a named user goes before groups", r | w, named, cred(2, 10, 20, 30)},
		{"a named user without rights", 0, named, cred(3, 10)},
		{"owning group", r, named, cred(4, 10)},
		{"named group", w | x, named, cred(4, 20)},
		{"each right by another group", r | w | x, named, cred(4, 99, 10, 20)},
		{"other", r, named, cred(4, 99)},
		{"mask holds a user", r, "u::rwx,u:2:rwx,g::rwx,m::r--,o::rwx", cred(2, 99)},
		{"mask holds the owning group", r, "u::rwx,u:2:rwx,g::rwx,m::r--,o::rwx", cred(3, 10)},
		{"mask holds a named group", x, "u::rwx,g::---,g:20:r-x,m::-wx,o::rwx", cred(3, 20)},
		{"mask leaves owner and other", r | w | x, "u::rwx,u:2:---,g::---,m::r--,o::rwx", cred(3, 99)},
		{"a mask alone", r, "u::rwx,g::rwx,m::r--,o::---", cred(3, 10)},
		{"under no mask a named user is other, as on Linux", r, "u::rwx,u:2:-w-,g::rwx,m::---,o::r--", cred(2, 99)},
		{"under no mask the owning group has nothing", 0, "u::rwx,u:2:-w-,g::rwx,m::---,o::r--", cred(2, 10)},
		{"superuser", r | w | x, "u::---,g::---,o::--x", root},
		{"superuser executes what no one may", r | w, "u::rw-,g::rw-,o::rw-", root},
		{"superuser executes by an entry", r | w | x, "u::---,u:2:--x,g::---,m::--x,o::---", root},
		{"superuser where the mask hides the x", r | w, "u::---,u:2:--x,g::---,m::r--,o::---", root},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, l := file(t, c.acl)
			var got posix.Perm
			for _, p := range []posix.Perm{r, w, x} {
				if Check(a, l, c.cred, p) {
					got |= p
				}
			}
			if got != c.want {
				t.Errorf("grants %s, want %s", letters(got), letters(c.want))
			}
			if !Check(a, l, c.cred, 0) {
				t.Error("nothing asked, yet denied")
			}
		})
	}
}

// TestCheckTogether asks several rights at once: groups do not add up.
func TestCheckTogether(t *testing.T) {
	a, l := file(t, "u::---,g::r--,g:20:-w-,g:30:r-x,m::rwx,o::rwx")
	for _, c := range []struct {
		want bool
		ask  posix.Perm
		cred posix.Cred
	}{
		{false, r | w, cred(4, 10, 20)},
		{true, r | x, cred(4, 10, 20, 30)},
		{false, w | x, cred(4, 20, 30)},
		{true, r | w | x, cred(4, 40)},
	} {
		if Check(a, l, c.cred, c.ask) != c.want {
			t.Errorf("%v asks %s: got %v", c.cred, letters(c.ask), !c.want)
		}
	}
}

func TestCheckSuperOnDirectory(t *testing.T) {
	a := posix.Attr{Mode: posix.TypeDir, UID: 1, GID: 10}
	if !Check(a, nil, posix.Cred{UID: 5, Super: true}, r|w|x) {
		t.Error("a superuser may search every directory")
	}
	if Check(a, nil, posix.Cred{UID: 0}, x) {
		t.Error("uid 0 is nobody special unless Super")
	}
}

// TestCheckBroken: a list that is not valid lets nobody in but the owner.
func TestCheckBroken(t *testing.T) {
	a := posix.Attr{Mode: posix.TypeReg | 0o770, UID: 1, GID: 10}
	for _, l := range []ACL{{}, {{Tag: UserObj, Perm: 7}}, {{Tag: 0x40, Perm: 7}}} {
		if Check(a, l, cred(2, 99), r) {
			t.Errorf("%v lets a stranger in", l)
		}
	}
}

// TestCheckSmallerMask: taking bits from the mask never grants what was denied,
// as long as a bit is left (see Check on the empty mask).
func TestCheckSmallerMask(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		l := randomACL(rng, false)
		i := l.find(Mask, 0)
		if i < 0 {
			continue
		}
		small := l.clone()
		small[i].Perm &= randomPerm(rng)
		c, want := randomCred(rng), randomPerm(rng)
		check := func(l ACL) bool {
			m, l := Apply(posix.TypeReg, l)
			return Check(posix.Attr{Mode: m, UID: 100, GID: 200}, l, c, want)
		}
		m := small.Mode()
		if m&groupBits == 0 {
			other := posix.Perm(m)&want == want
			if check(small) && !other && c.UID != 100 {
				t.Fatalf("%v under no mask grants %s to %v", small, letters(want), c)
			}
			continue
		}
		if check(small) && !check(l) {
			t.Fatalf("%v grants %s to %v, %v does not", small, letters(want), c, l)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	a, l := file(b, "u::rwx,u:2:rw-,u:3:---,g::r--,g:20:-wx,g:30:r-x,m::rwx,o::r--")
	c := cred(4, 99, 98, 97, 96, 30)
	for _, bc := range []struct {
		name string
		l    ACL
	}{{"mode", nil}, {"acl", l}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Check(a, bc.l, c, r)
			}
		})
	}
}

// The random worlds below have few users (100 to 107) and groups (200 to 207),
// so that entries and callers meet often.

func randomPerm(rng *rand.Rand) posix.Perm { return posix.Perm(rng.IntN(8)) }

// randomACL is a valid list, minimal every fourth time.
func randomACL(rng *rand.Rand, minimal bool) ACL {
	l := FromMode(posix.Mode(rng.IntN(0o1000)))
	if minimal || rng.IntN(4) == 0 {
		return l
	}
	for _, t := range []Tag{User, Group} {
		first := map[Tag]uint32{User: 100, Group: 200}[t]
		for _, id := range rng.Perm(8)[:rng.IntN(5)] {
			l = append(l, Entry{t, randomPerm(rng), first + uint32(id)})
		}
	}
	l = append(l, Entry{Tag: Mask, Perm: randomPerm(rng)})
	return l.Sort()
}

// randomCred is one of the users in up to five of the groups.
func randomCred(rng *rand.Rand) posix.Cred {
	c := posix.Cred{UID: posix.UID(100 + rng.IntN(8)), GID: posix.GID(200 + rng.IntN(8))}
	for range rng.IntN(5) {
		if g := posix.GID(200 + rng.IntN(8)); !slices.Contains(c.Groups, g) {
			c.Groups = append(c.Groups, g)
		}
	}
	return c
}
