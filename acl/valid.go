package acl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// MaxEntries is how many entries a list may have: what fits into an extended
// attribute of [posix.XattrMax] bytes.
const MaxEntries = (posix.XattrMax - headerSize) / entrySize

// noID is the id that is none, (uid_t)-1.
const noID = 1<<32 - 1

// Sort is the list in canonical order: by tag, then by id, and the ids of
// entries that have none set to zero. It mends order alone: what is double,
// missing or unknown stays so, for [ACL.Valid] to find.
func (l ACL) Sort() ACL {
	n := l.clone()
	for i := range n {
		if !n[i].Tag.named() {
			n[i].ID = 0
		}
	}
	slices.SortStableFunc(n, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID))
	})
	return n
}

// Equal reports whether both say the same, entry for entry.
func (l ACL) Equal(o ACL) bool { return (l == nil) == (o == nil) && slices.Equal(l, o) }

// Valid answers nil for a list that may be stored, and for nil; else EINVAL.
// Valid are one UserObj, GroupObj and Other each, at most one Mask, a Mask where
// there are named entries, no user or group twice, canonical order, and at
// most [MaxEntries]. It is stricter than the kernel in one thing: the kernel
// takes a user or group twice, and lets the first entry of the user decide.
func (l ACL) Valid() error {
	if l == nil {
		return nil
	}
	if len(l) > MaxEntries {
		return invalid("%d entries are more than %d", len(l), MaxEntries)
	}
	var seen Tag
	for i, e := range l {
		if err := e.valid(); err != nil {
			return err
		}
		if i > 0 {
			if err := follows(l[i-1], e); err != nil {
				return err
			}
		}
		seen |= e.Tag
	}
	for _, t := range []Tag{UserObj, GroupObj, Other} {
		if seen&t == 0 {
			return invalid("no entry %s", name(t))
		}
	}
	if seen&(User|Group) != 0 && seen&Mask == 0 {
		return invalid("named entries without a mask")
	}
	return nil
}

// valid looks at one entry alone.
func (e Entry) valid() error {
	switch {
	case name(e.Tag) == "":
		return invalid("unknown tag %#x", uint16(e.Tag))
	case e.Perm&^rwx != 0:
		return invalid("unknown permission %#o of entry %s", uint8(e.Perm), name(e.Tag))
	case e.Tag.named() && e.ID == noID:
		return invalid("entry %s has no id", name(e.Tag))
	case !e.Tag.named() && e.ID != 0:
		return invalid("entry %s has id %d", name(e.Tag), e.ID)
	}
	return nil
}

// follows answers nil if e may stand behind p.
func follows(p, e Entry) error {
	switch {
	case p.Tag == e.Tag && p.ID == e.ID && e.Tag.named():
		return invalid("%s %d twice", strings.ToLower(name(e.Tag)), e.ID)
	case p.Tag == e.Tag && p.ID == e.ID:
		return invalid("entry %s twice", name(e.Tag))
	case p.Tag > e.Tag || p.Tag == e.Tag && p.ID > e.ID:
		return invalid("entry %s out of order", name(e.Tag))
	}
	return nil
}

// name is the tag's name in acl(5) without its prefix, or nothing.
func name(t Tag) string {
	switch t {
	case UserObj:
		return "USER_OBJ"
	case User:
		return "USER"
	case GroupObj:
		return "GROUP_OBJ"
	case Group:
		return "GROUP"
	case Mask:
		return "MASK"
	case Other:
		return "OTHER"
	}
	return ""
}

// invalid is EINVAL with its reason.
func invalid(format string, args ...any) error {
	return posix.E("acl", posix.EINVAL, fmt.Errorf(format, args...))
}
