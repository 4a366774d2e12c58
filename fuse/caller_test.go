package fuse

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

const someStatus = "Name:\tGroups: 9\nUmask:\t0022\nUid:\t0\t1\t2\t1000\nGid:\t0\t1\t2\t100\n" +
	"Groups:\t4 24 100 x 1000 \nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n" +
	"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"

func TestParseGroups(t *testing.T) {
	got := parseGroups(someStatus, posix.Cred{UID: 1000, GID: 100})
	if want := []posix.GID{4, 24, 100, 1000}; !reflect.DeepEqual(got, want) {
		t.Errorf("groups are %v, want %v", got, want)
	}
	for _, c := range []posix.Cred{{UID: 1001, GID: 100}, {UID: 1000, GID: 101}, {}} {
		if got := parseGroups(someStatus, c); got != nil {
			t.Errorf("%+v got the groups %v of another", c, got)
		}
	}
	if got := parseGroups("", posix.Cred{}); got != nil {
		t.Errorf("an empty status gave %v", got)
	}
}

func TestGroupsOf(t *testing.T) {
	me := posix.Cred{UID: posix.UID(os.Geteuid()), GID: posix.GID(os.Getegid())}
	want, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if got := groupsOf(uint32(os.Getpid()), me); len(got) != len(want) {
		t.Errorf("my groups are %v, want %v", got, want)
	}
	for _, pid := range []uint32{0, 1<<32 - 1} {
		if got := groupsOf(pid, me); got != nil {
			t.Errorf("pid %d has groups %v", pid, got)
		}
	}
}

// asker records the credentials that as tried.
type asker struct {
	tried []posix.Cred
	posix.Namespace
}

func TestAs(t *testing.T) {
	no, lost := posix.E("open", posix.EACCES, nil), posix.E("open", posix.ENOENT, nil)
	for _, c := range []struct {
		name    string
		want    int // how often it was tried
		groups  int // with how many groups the last time
		answers []error
		uid     uint32
		from    bool
		has     []posix.GID
	}{
		{"allowed at once", 1, 0, []error{nil}, 1, false, []posix.GID{7}},
		{"another error", 1, 0, []error{lost}, 1, false, []posix.GID{7}},
		{"refused without groups", 1, 0, []error{no}, 1, false, nil},
		{"refused with the primary alone", 1, 0, []error{no}, 1, false, []posix.GID{5}},
		{"allowed by a group", 2, 2, []error{no, nil}, 1, false, []posix.GID{5, 7, 8}},
		{"refused twice", 2, 1, []error{no, no}, 1, false, []posix.GID{7}},
		{"groups from the start", 1, 1, []error{no}, 1, true, []posix.GID{7}},
		{"root has no use for groups", 1, 0, []error{no}, 0, true, []posix.GID{7}},
	} {
		var a asker
		s := newServer(Config{As: func(c posix.Cred) posix.Namespace { a.tried = append(a.tried, c); return &a }})
		who := s.caller(c.uid, 5, 99)
		who.more = func(pid uint32, _ posix.Cred) []posix.GID { return c.has }
		err := s.as(who, c.from, func(posix.Namespace) error { return c.answers[len(a.tried)-1] })
		if n := len(a.tried); n != c.want || len(a.tried[n-1].Groups) != c.groups || !errors.Is(err, c.answers[n-1]) {
			t.Errorf("%s: tried %+v, answered %v", c.name, a.tried, err)
		}
	}
}

func TestIdentityIsFinal(t *testing.T) {
	var a asker
	s := newServer(Config{
		As:       func(c posix.Cred) posix.Namespace { a.tried = append(a.tried, c); return &a },
		Identity: func(_, _, _ uint32) posix.Cred { return posix.Cred{UID: 42, GID: 43} },
	})
	err := s.as(s.caller(uint32(os.Getuid()), uint32(os.Getgid()), uint32(os.Getpid())), true,
		func(posix.Namespace) error { return posix.E("open", posix.EPERM, nil) })
	if len(a.tried) != 1 || !reflect.DeepEqual(a.tried[0], posix.Cred{UID: 42, GID: 43}) || !errors.Is(err, posix.EPERM) {
		t.Errorf("tried %+v, answered %v", a.tried, err)
	}
}
