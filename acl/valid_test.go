package acl

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

func TestValid(t *testing.T) {
	u, g, o := Entry{Tag: UserObj}, Entry{Tag: GroupObj}, Entry{Tag: Other}
	m := Entry{Tag: Mask}
	u5, u6, g5 := Entry{User, 7, 5}, Entry{User, 7, 6}, Entry{Group, 7, 5}
	for _, c := range []struct {
		want string // part of the error, or nothing
		acl  ACL
	}{
		{"", nil},
		{"", ACL{u, g, o}},
		{"", ACL{u, g, m, o}},
		{"", ACL{u, u5, u6, g, g5, m, o}},
		{"", ACL{u, {User, 0, 0}, {User, 7, noID - 1}, g, m, o}},
		{"no entry USER_OBJ", ACL{}},
		{"no entry USER_OBJ", ACL{g, o}},
		{"no entry GROUP_OBJ", ACL{u, o}},
		{"no entry OTHER", ACL{u, g}},
		{"without a mask", ACL{u, u5, g, o}},
		{"without a mask", ACL{u, g, g5, o}},
		{"user 5 twice", ACL{u, u5, u5, g, m, o}},
		{"group 5 twice", ACL{u, g, g5, {Group, 0, 5}, m, o}},
		{"USER_OBJ twice", ACL{u, u, g, o}},
		{"MASK twice", ACL{u, g, m, m, o}},
		{"USER out of order", ACL{u, u6, u5, g, m, o}},
		{"GROUP_OBJ out of order", ACL{u, o, g}},
		{"MASK out of order", ACL{u, g, o, m}},
		{"unknown tag 0x0", ACL{u, {}, g, o}},
		{"unknown tag 0x3", ACL{u, {3, 0, 0}, g, o}},
		{"unknown tag 0x40", ACL{u, g, o, {0x40, 0, 0}}},
		{"unknown permission 010", ACL{u, {GroupObj, 8, 0}, o}},
		{"has no id", ACL{u, {User, 0, noID}, g, m, o}},
		{"has id 4", ACL{u, g, {Mask, 0, 4}, o}},
	} {
		err := c.acl.Valid()
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", []Entry(c.acl), err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, posix.EINVAL) {
			t.Errorf("%v: %v, want %q", []Entry(c.acl), err, c.want)
		}
	}
}

// many is a valid list of n entries.
func many(n int) ACL {
	l := ACL{{Tag: UserObj}, {Tag: GroupObj}, {Tag: Mask}, {Tag: Other}}
	for i := range n - len(l) {
		l = append(l, Entry{User, 4, uint32(i)})
	}
	return l.Sort()
}

func TestLimits(t *testing.T) {
	if MaxEntries != 8191 {
		t.Errorf("MaxEntries is %d", MaxEntries)
	}
	if err := many(MaxEntries).Valid(); err != nil {
		t.Error(err)
	}
	if n := len(EncodeXattr(many(MaxEntries))); n > posix.XattrMax {
		t.Errorf("%d bytes", n)
	}
	if err := many(MaxEntries + 1).Valid(); posix.ErrnoOf(err) != posix.EINVAL {
		t.Error(err)
	}
}

// TestSort: any order of the entries of a valid list sorts to that list.
func TestSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		l := randomACL(rng, false)
		mixed := l.clone()
		rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		for i := range mixed {
			if !mixed[i].Tag.named() {
				mixed[i].ID = rng.Uint32()
			}
		}
		if got := mixed.Sort(); !got.Equal(l) || got.Valid() != nil {
			t.Fatalf("%v became %v", []Entry(mixed), got)
		}
	}
	if ACL(nil).Sort() != nil {
		t.Error("sorting none made a list")
	}
}

func TestEqual(t *testing.T) {
	l := FromMode(0o640)
	if !l.Equal(FromMode(0o640)) || l.Equal(FromMode(0o644)) || l.Equal(nil) || (ACL{}).Equal(nil) || !ACL(nil).Equal(nil) {
		t.Error("equality")
	}
}
