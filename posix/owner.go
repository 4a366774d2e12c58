package posix

// Owners of a namespace are numbers in two parts. Those in [NamedFirst,
// NamedEnd) stand for names: the n-th entry of the namespace's table of users,
// or of that of groups, is NamedFirst + n. All others are bare numbers, which
// no name belongs to; 0 is root, whatever root is called.
const (
	NamedFirst = 0x7000_0000
	NamedEnd   = 0x7fff_fffe
)

// Named reports whether the owner is an entry of the table of users.
func (u UID) Named() bool { return u >= NamedFirst && u < NamedEnd }

// Named reports whether the group is an entry of the table of groups.
func (g GID) Named() bool { return g >= NamedFirst && g < NamedEnd }
