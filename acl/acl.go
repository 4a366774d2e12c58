// Package acl is the one judge of who may do what: POSIX access control lists
// as acl(5) describes them and Linux decides them, without I/O.
//
// An [ACL] is a list of entries. Three of them are always there and are the
// nine permission bits of the mode by another name; the others name users and
// groups, and are all held down by one mask. Where there is a mask, the group
// bits of the mode show the mask. An access ACL of just the three base entries
// is minimal and never stored: the mode says it all, nil stands for it, and an
// inode without an ACL pays nothing. A default ACL belongs to a directory,
// decides nothing there, and is what new entries of it [Inherit].
//
//	l := acl.ACL{
//		{Tag: acl.UserObj, Perm: 6},
//		{Tag: acl.User, Perm: 4, ID: 1000},
//		{Tag: acl.GroupObj, Perm: 4},
//		{Tag: acl.Mask, Perm: 4},
//		{Tag: acl.Other, Perm: 0},
//	}
//	mode, l := acl.Apply(posix.TypeReg, l) // 0640, and l is kept
//	acl.Check(posix.Attr{Mode: mode}, l, posix.Cred{UID: 1000}, posix.MayRead) // true
//
// What comes from outside arrives as an xattr ([DecodeXattr]) or as text
// ([ParseText], [ParseChanges]) and is valid when it has arrived. Everything
// else in the package takes a valid list for granted and answers a fresh one.
//
// It refuses to know inodes, the wire, the kernel and the names of users: who
// may set an ACL is the tree's to say, and [Names] come from the caller.
package acl

import "github.com/wardfs/wardfs/posix"

// Tag says whom an [Entry] is about. The values are those of the kernel's
// linux/posix_acl.h; their order is the order of a list.
type Tag uint16

// The tags of acl(5).
const (
	UserObj  Tag = 0x01 // the owner
	User     Tag = 0x02 // the user Entry.ID
	GroupObj Tag = 0x04 // the owning group
	Group    Tag = 0x08 // the group Entry.ID
	Mask     Tag = 0x10 // the most that User, GroupObj and Group grant
	Other    Tag = 0x20 // everyone else
)

// named reports whether entries of the tag bear an id, and come any number of
// times.
func (t Tag) named() bool { return t == User || t == Group }

// masked reports whether entries of the tag are held down by the mask: the
// group class of acl(5).
func (t Tag) masked() bool { return t&(User|GroupObj|Group) != 0 }

// Entry is one line of an ACL.
type Entry struct {
	Tag  Tag
	Perm posix.Perm
	ID   uint32 // a posix.UID for User, a posix.GID for Group, else zero
}

// ACL is an access ACL or a default ACL in canonical order, see [ACL.Sort].
// Nil is none: the mode alone counts.
type ACL []Entry

// rwx is every right an entry can hold.
const rwx = posix.MayRead | posix.MayWrite | posix.MayExec

// The bits of the mode that have a part here.
const (
	permBits  posix.Mode = 0o777
	groupBits posix.Mode = 0o070
	execBits  posix.Mode = 0o111
)

// Check reports whether c may do all of want with an inode that has the mode
// and the owners of a and the access ACL l. It answers as Linux's
// generic_permission does for a filesystem with ACLs.
//
// The first class that fits the caller decides, even where a later one would
// grant more: the owner, a named user, the groups, everyone else. Of the groups,
// one entry that grants all of want is enough, but rights of two are not added.
//
// One thing Linux does and acl(5) does not say: with no group bit in the mode,
// an ACL isn't asked at all. So under an empty mask, named users and members of
// named groups get what everyone else gets, be it more than their entry says.
// We do the same, because the kernel of each host judges too, and two judges
// of one file must not differ.
func Check(a posix.Attr, l ACL, c posix.Cred, want posix.Perm) bool {
	want &= rwx
	if c.Super && overrides(a.Mode, want) {
		return true
	}
	if l == nil || c.UID == a.UID || a.Mode&groupBits == 0 {
		return byMode(a, c)&want == want
	}
	return l.grants(a.GID, c, want)
}

// overrides is what CAP_DAC_OVERRIDE allows: everything, except to execute what
// nobody may execute.
func overrides(m posix.Mode, want posix.Perm) bool {
	return want&posix.MayExec == 0 || m.IsDir() || m&execBits != 0
}

// byMode is what the mode alone grants c.
func byMode(a posix.Attr, c posix.Cred) posix.Perm {
	m := a.Mode
	switch {
	case c.UID == a.UID:
		m >>= 6
	case c.In(a.GID):
		m >>= 3
	}
	return posix.Perm(m) & rwx
}

// grants is Linux's posix_acl_permission for a caller who is not the owner. It
// leans on the order of the list: users, groups, mask, other.
func (l ACL) grants(owning posix.GID, c posix.Cred, want posix.Perm) bool {
	member := false
	for _, e := range l {
		switch e.Tag {
		case User:
			if e.ID == uint32(c.UID) {
				return e.Perm&l.mask()&want == want
			}
		case GroupObj, Group:
			gid := owning
			if e.Tag == Group {
				gid = posix.GID(e.ID)
			}
			if !c.In(gid) {
				continue
			}
			if e.Perm&want == want {
				return l.mask()&want == want
			}
			member = true
		case Other:
			return !member && e.Perm&want == want
		}
	}
	return false // not a valid list: nobody is let in by mistake
}

// mask is what the mask lets through: everything where there is none.
func (l ACL) mask() posix.Perm {
	if i := l.find(Mask, 0); i >= 0 {
		return l[i].Perm
	}
	return rwx
}

// find is the place of the entry for tag and id, or -1.
func (l ACL) find(t Tag, id uint32) int {
	for i := len(l) - 1; i >= 0; i-- { // the mask is near the end
		if l[i].Tag == t && l[i].ID == id {
			return i
		}
	}
	return -1
}
