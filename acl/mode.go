package acl

import "github.com/wardfs/wardfs/posix"

// FromMode is the minimal ACL that says what the nine bits of m say.
func FromMode(m posix.Mode) ACL {
	return ACL{
		{Tag: UserObj, Perm: posix.Perm(m>>6) & rwx},
		{Tag: GroupObj, Perm: posix.Perm(m>>3) & rwx},
		{Tag: Other, Perm: posix.Perm(m) & rwx},
	}
}

// Mode is the nine bits that stat(2) shows for the list: the mask, if there is
// one, stands in for the owning group.
func (l ACL) Mode() posix.Mode {
	var m posix.Mode
	for _, e := range l {
		switch p := posix.Mode(e.Perm & rwx); e.Tag {
		case UserObj:
			m |= p << 6
		case GroupObj:
			m |= p << 3
		case Mask: // comes after GroupObj
			m = m&^groupBits | p<<3
		case Other:
			m |= p
		}
	}
	return m
}

// Minimal reports whether the mode says all that the list says: it has neither
// named entries nor a mask (Linux's posix_acl_equiv_mode). So has nil.
func (l ACL) Minimal() bool {
	for _, e := range l {
		if e.Tag&(User|Group|Mask) != 0 {
			return false
		}
	}
	return true
}

// Apply is what setting the access ACL l makes of an inode of mode m: the new
// mode, and the ACL to store beside it, nil where the mode says it all. Setting
// nil takes an ACL away and leaves the mode, the mask's bits included. Whether
// the set-group-ID bit survives is the tree's to say.
func Apply(m posix.Mode, l ACL) (posix.Mode, ACL) {
	if l == nil {
		return m, nil
	}
	m = m&^permBits | l.Mode()
	if l.Minimal() {
		return m, nil
	}
	return m, l
}

// Chmod is the list after chmod(2) to m: the owner's, everyone's, and the
// mask's bits, or without a mask the owning group's. Named entries and, under a
// mask, the owning group stay as they are, so that widening the mask brings back
// what narrowing it took.
func (l ACL) Chmod(m posix.Mode) ACL {
	n := l.clone()
	*n.class(UserObj) = posix.Perm(m>>6) & rwx
	*n.class(GroupObj) = posix.Perm(m>>3) & rwx
	*n.class(Other) = posix.Perm(m) & rwx
	return n
}

// class is the entry that three bits of the mode stand for; a place of no
// meaning if the list has none.
func (l ACL) class(t Tag) *posix.Perm {
	if t == GroupObj && l.find(Mask, 0) >= 0 {
		t = Mask
	}
	if i := l.find(t, 0); i >= 0 {
		return &l[i].Perm
	}
	return new(posix.Perm)
}

// Inherit is what a new inode gets from its parent's default ACL def, when it is
// made with mode (its type included) and umask: its mode, its access ACL and, if
// it is a directory, its own default ACL (Linux's posix_acl_create).
//
// Without a default ACL the umask applies. With one it doesn't: the access ACL
// is the default ACL with the bits of mode ANDed into owner, mask or group, and
// other. That the parent's group and set-group-ID bit are inherited too is the
// tree's to do. A symbolic link gets nothing.
func Inherit(def ACL, mode, umask posix.Mode) (posix.Mode, ACL, ACL) {
	if mode.IsLink() {
		return mode, nil, nil
	}
	if def == nil {
		return mode &^ (umask & permBits), nil, nil
	}
	l := def.clone()
	*l.class(UserObj) &= posix.Perm(mode>>6) & rwx
	*l.class(GroupObj) &= posix.Perm(mode>>3) & rwx
	*l.class(Other) &= posix.Perm(mode) & rwx
	m, access := Apply(mode, l)
	if !mode.IsDir() {
		return m, access, nil
	}
	return m, access, def.clone()
}

// Union is the mask that takes nothing away: every right that some entry of the
// group class grants.
func (l ACL) Union() posix.Perm {
	var p posix.Perm
	for _, e := range l {
		if e.Tag.masked() {
			p |= e.Perm
		}
	}
	return p & rwx
}

// WithMask is the list with its mask set to [ACL.Union]. A minimal list needs
// none and gets none.
func (l ACL) WithMask() ACL {
	n := l.clone()
	if l.Minimal() {
		return n
	}
	if i := n.find(Mask, 0); i >= 0 {
		n[i].Perm = n.Union()
		return n
	}
	return append(n, Entry{Tag: Mask, Perm: n.Union()}).Sort()
}

// clone is a copy that shares nothing; nil stays nil.
func (l ACL) clone() ACL {
	if l == nil {
		return nil
	}
	return append(make(ACL, 0, len(l)+1), l...)
}
