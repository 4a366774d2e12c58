package acl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// MaxText is how many bytes of text are read: enough for two lists of
// [MaxEntries] with long names.
const MaxText = 4 << 20

// ParseText reads whole lists, as getfacl prints and setfacl --set-file takes
// them: entries as in [ParseChanges], each on a line of its own or with commas
// between, in any order, those of the default ACL marked "default:", remarks
// from a # on. A mask that is needed and not given becomes the [ACL.Union]. A
// list that has no entries is nil; the minimal access ACL isn't. EINVAL.
func ParseText(text string, n Names) (access, def ACL, err error) {
	changes, err := ParseChanges(text, n)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		switch {
		case c.CondExec:
			return nil, nil, invalid("entry %v: X needs a file to change", c.Entry)
		case c.Default:
			def = append(def, c.Entry)
		default:
			access = append(access, c.Entry)
		}
	}
	if access, err = whole(access); err != nil {
		return nil, nil, fmt.Errorf("access ACL: %w", err)
	}
	if def, err = whole(def); err != nil {
		return nil, nil, fmt.Errorf("default ACL: %w", err)
	}
	return access, def, nil
}

// whole brings entries in order, gives them the mask they lack, and checks them.
func whole(l ACL) (ACL, error) {
	l = l.Sort()
	if l.find(Mask, 0) < 0 {
		l = l.WithMask()
	}
	if err := l.Valid(); err != nil {
		return nil, err
	}
	return l, nil
}

// Change is one argument of setfacl: an entry to set, or to remove.
type Change struct {
	Default bool // of the default ACL
	Remove  bool // Entry.Perm means nothing
	Entry   Entry
	// CondExec is the X of setfacl: execute too, if the file is a directory or
	// somebody may execute it already.
	CondExec bool
}

// ParseChanges reads what setfacl -m takes:
//
//	[d[efault]:] u[ser]:[USER]:PERM
//	[d[efault]:] g[roup]:[GROUP]:PERM
//	[d[efault]:] m[ask]:[:]PERM
//	[d[efault]:] o[ther]:[:]PERM
//
// PERM is letters of "rwxX-" or one octal digit. USER and GROUP are numbers
// or names, in names any byte can be written as \ooo. EINVAL.
func ParseChanges(text string, n Names) ([]Change, error) {
	return parse(text, func(f []string) (Change, error) {
		if len(f) < 2 {
			return Change{}, invalid("no permissions")
		}
		last := len(f) - 1
		c, err := parseEntry(f[:last], n)
		if err == nil {
			c.Entry.Perm, c.CondExec, err = parsePerm(f[last])
		}
		return c, err
	})
}

// ParseRemovals reads what setfacl -x takes: the entries of [ParseChanges]
// without their permissions. EINVAL.
func ParseRemovals(text string, n Names) ([]Change, error) {
	return parse(text, func(f []string) (Change, error) {
		if last := len(f) - 1; last == 2 && f[last] == "" {
			f = f[:last] // "u:alice:"
		}
		c, err := parseEntry(f, n)
		c.Remove = true
		return c, err
	})
}

// parse cuts text into entries, these into the fields between colons, takes
// "default" off, and lets one read the rest.
func parse(text string, one func(fields []string) (Change, error)) ([]Change, error) {
	if len(text) > MaxText {
		return nil, invalid("%d bytes of text", len(text))
	}
	var out []Change
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSpace(uncomment(line)), ",")
		if line == "" {
			continue
		}
		for entry := range strings.SplitSeq(line, ",") {
			f := strings.Split(entry, ":")
			for i := range f {
				f[i] = strings.TrimSpace(f[i])
			}
			def := len(f) > 1 && is(f[0], wordDefault)
			if def {
				f = f[1:]
			}
			c, err := one(f)
			if err != nil {
				return nil, fmt.Errorf("entry %q: %w", strings.TrimSpace(entry), err)
			}
			c.Default = def
			out = append(out, c)
		}
	}
	return out, nil
}

// uncomment cuts the remark off a line: from a # that begins it or follows white
// space.
func uncomment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || strings.IndexByte(" \t,", line[i-1]) >= 0) {
			return line[:i]
		}
	}
	return line
}

// is reports whether s is the word or its first letter.
func is(s, word string) bool { return s == word || s == word[:1] }

// parseEntry reads the fields that say whom: a word, and in some a name.
func parseEntry(f []string, n Names) (Change, error) {
	who := ""
	switch len(f) {
	case 1:
	case 2:
		who = f[1]
	default:
		return Change{}, invalid("%d fields are not understood", len(f))
	}
	var c Change
	var err error
	switch word := f[0]; {
	case is(word, wordUser) && len(f) == 2:
		c.Entry.Tag, c.Entry.ID, err = qualify(UserObj, User, who, n.userID)
	case is(word, wordGroup) && len(f) == 2:
		c.Entry.Tag, c.Entry.ID, err = qualify(GroupObj, Group, who, n.groupID)
	case is(word, wordMask) && who == "":
		c.Entry.Tag = Mask
	case is(word, wordOther) && who == "":
		c.Entry.Tag = Other
	default:
		err = invalid("not an entry for a user, a group, the mask or others")
	}
	return c, err
}

// qualify is the tag and the id of an entry: base for nobody by name, else named.
func qualify(base, named Tag, who string, id func(string) (uint32, error)) (Tag, uint32, error) {
	if who == "" {
		return base, 0, nil
	}
	n, err := id(posix.Unescape(who)) // as printable has written it
	return named, n, err
}

// userID reads a number, or a name that n knows.
func (n Names) userID(who string) (uint32, error) {
	return lookup(who, "user", func() (uint32, bool) {
		if n.UserID == nil {
			return 0, false
		}
		id, ok := n.UserID(who)
		return uint32(id), ok
	})
}

// groupID reads a number, or a name that n knows.
func (n Names) groupID(who string) (uint32, error) {
	return lookup(who, "group", func() (uint32, bool) {
		if n.GroupID == nil {
			return 0, false
		}
		id, ok := n.GroupID(who)
		return uint32(id), ok
	})
}

// lookup reads a number first, as setfacl does, so that an id without a name
// comes back as itself whatever names there are.
func lookup(who, kind string, byName func() (uint32, bool)) (uint32, error) {
	if strings.Trim(who, "0123456789") == "" {
		id, err := strconv.ParseUint(who, 10, 32)
		if err != nil || id == noID {
			return 0, invalid("%s id %s is out of range", kind, who)
		}
		return uint32(id), nil
	}
	if id, ok := byName(); ok && id != noID {
		return id, nil
	}
	return 0, invalid("no %s named %q", kind, who)
}

// parsePerm reads "r-x", "rX" or "5"; cond reports an X.
func parsePerm(s string) (p posix.Perm, cond bool, err error) {
	if len(s) == 1 && s[0] >= '0' && s[0] <= '7' {
		return posix.Perm(s[0] - '0'), false, nil
	}
	if s == "" || len(s) > len("rwxX") {
		return 0, false, invalid("permissions %q", s)
	}
	for i := 0; i < len(s); i++ {
		var bit posix.Perm
		switch s[i] {
		case 'r':
			bit = posix.MayRead
		case 'w':
			bit = posix.MayWrite
		case 'x':
			bit = posix.MayExec
		case 'X':
			cond = true
		case '-':
		default:
			return 0, false, invalid("permissions %q", s)
		}
		if bit != 0 && p&bit != 0 {
			return 0, false, invalid("permissions %q", s)
		}
		p |= bit
	}
	return p, cond, nil
}
