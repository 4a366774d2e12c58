package acl

import (
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/posix"
)

// MaskRule says what becomes of a mask when a list is edited.
type MaskRule uint8

// The zero value is what setfacl does by itself.
const (
	MaskUnlessGiven MaskRule = iota // the union, unless a change is about the mask
	MaskKeep                        // setfacl -n: only changes touch it; a first one is the owning group's rights
	MaskUnion                       // setfacl --mask: the union, whatever changes say
)

// Edit is what setfacl makes of the ACLs of an inode of mode m, changes taken in
// their order. An access ACL of nil starts as the mode; a default ACL, if any of
// it is left, gets the base entries it lacks from the access ACL as it is then.
// Taking away an entry that isn't there is no error; a list that is not
// valid in the end is EINVAL. Both answers are whole lists: [Apply] says what of
// the access ACL is stored.
func Edit(m posix.Mode, access, def ACL, changes []Change, rule MaskRule) (ACL, ACL, error) {
	if access == nil {
		access = FromMode(m)
	}
	access, err := access.edit(changes, false, m, rule, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("access ACL: %w", err)
	}
	def, err = def.edit(changes, true, m, rule, access)
	if err != nil {
		return nil, nil, fmt.Errorf("default ACL: %w", err)
	}
	return access, def, nil
}

// edit is the list after those changes that are about its kind. The default ACL
// gets the base entries that it lacks from base.
func (l ACL) edit(changes []Change, def bool, m posix.Mode, rule MaskRule, base ACL) (ACL, error) {
	n, edited, given := l.clone(), false, false
	for _, c := range changes {
		if c.Default != def {
			continue
		}
		edited = true
		given = given || c.Entry.Tag == Mask
		if n.apply(c, m); len(n) > MaxEntries+1 {
			break // more will not make it valid, and costs time
		}
	}
	switch {
	case !edited:
		return n, nil
	case def && len(n) == 0: // none is left: no default ACL
		return nil, nil
	}
	n = n.withBase(base).Sort()
	switch {
	case rule == MaskUnion || rule == MaskUnlessGiven && !given:
		n = n.WithMask()
	case !given:
		n = n.keepMask()
	}
	if err := n.Valid(); err != nil {
		return nil, err
	}
	return n, nil
}

// keepMask gives a list that needs a first mask the owning group's rights, so that
// the mode stays what it is.
func (l ACL) keepMask() ACL {
	if l.Minimal() || l.find(Mask, 0) >= 0 {
		return l
	}
	return append(l, Entry{Tag: Mask, Perm: *l.class(GroupObj)}).Sort()
}

// withBase adds the base entries of o that the list lacks.
func (l ACL) withBase(o ACL) ACL {
	for _, e := range o {
		if e.Tag&(UserObj|GroupObj|Other) != 0 && l.find(e.Tag, 0) < 0 {
			l = append(l, e)
		}
	}
	return l
}

// apply makes one change to the list in its place, and leaves it unsorted.
func (l *ACL) apply(c Change, m posix.Mode) {
	if c.CondExec && (m.IsDir() || l.execs()) {
		c.Entry.Perm |= posix.MayExec
	}
	i := l.find(c.Entry.Tag, c.Entry.ID)
	switch {
	case c.Remove && i >= 0:
		*l = slices.Delete(*l, i, i+1)
	case c.Remove:
	case i >= 0:
		(*l)[i] = c.Entry
	default:
		*l = append(*l, c.Entry)
	}
}

// execs reports whether some entry holds execute.
func (l ACL) execs() bool {
	for _, e := range l {
		if e.Perm&posix.MayExec != 0 {
			return true
		}
	}
	return false
}
