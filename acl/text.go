package acl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Names translates between ids and names. A function that is nil knows none:
// the zero value prints and reads numbers alone, as getfacl -n does.
type Names struct {
	User  func(posix.UID) string // "" if it has no name
	Group func(posix.GID) string

	UserID  func(name string) (posix.UID, bool)
	GroupID func(name string) (posix.GID, bool)
}

// Effective says behind which entries of the group class [ACL.Text] remarks
// what the mask leaves of them, as "#effective:r--".
type Effective uint8

// The zero value is what getfacl does by itself.
const (
	EffectiveSome Effective = iota // where the mask takes something away
	EffectiveAll                   // getfacl -e
	EffectiveNone                  // getfacl -E
)

// Style is how a list is written.
type Style struct {
	Names   Names
	Default bool // it is a default ACL: "default:" before every entry
	// Short is one line, "u::rw-,u:alice:r--", without remarks; else each entry
	// has a line of its own that ends in a newline, as getfacl writes them.
	Short     bool
	Effective Effective
}

// Text is the list as getfacl prints it and [ParseText] reads it back. Nil is
// no text.
func (l ACL) Text(s Style) string {
	var b strings.Builder
	mask, sep := l.mask(), ""
	for _, e := range l {
		if s.Short {
			b.WriteString(sep + s.entry(e))
			sep = ","
			continue
		}
		b.WriteString(s.entry(e))
		if left := e.Perm & mask; e.Tag.masked() && l.find(Mask, 0) >= 0 && s.remarks(left != e.Perm) {
			b.WriteString("\t#effective:" + letters(left))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// String is the short text with numbers, for logs and tests.
func (l ACL) String() string { return l.Text(Style{Short: true}) }

// String is the entry as in ACL.String.
func (e Entry) String() string { return Style{Short: true}.entry(e) }

// remarks reports whether to remark an effective right; differs says that the
// mask takes something away.
func (s Style) remarks(differs bool) bool {
	return s.Effective == EffectiveAll || s.Effective == EffectiveSome && differs
}

// The words of the text form; each can be cut down to its first letter.
const (
	wordDefault = "default"
	wordUser    = "user"
	wordGroup   = "group"
	wordMask    = "mask"
	wordOther   = "other"
)

// entry is one entry without its remark.
func (s Style) entry(e Entry) string {
	word, who := wordUser, ""
	switch e.Tag {
	case User:
		who = s.Names.user(e.ID)
	case GroupObj:
		word = wordGroup
	case Group:
		word, who = wordGroup, s.Names.group(e.ID)
	case Mask:
		word = wordMask
	case Other:
		word = wordOther
	}
	def := ""
	if s.Default {
		def = wordDefault + ":"
	}
	if s.Short {
		word = word[:1]
		def = strings.Replace(def, wordDefault, wordDefault[:1], 1)
	}
	return def + word + ":" + who + ":" + letters(e.Perm)
}

// letters is "r-x".
func letters(p posix.Perm) string {
	b := []byte("rwx")
	for i, bit := range [3]posix.Perm{posix.MayRead, posix.MayWrite, posix.MayExec} {
		if p&bit == 0 {
			b[i] = '-'
		}
	}
	return string(b)
}

// user is the name to print for a user, or the number.
func (n Names) user(id uint32) string {
	if n.User == nil {
		return number(id)
	}
	return printable(n.User(posix.UID(id)), id)
}

// group is the name to print for a group, or the number.
func (n Names) group(id uint32) string {
	if n.Group == nil {
		return number(id)
	}
	return printable(n.Group(posix.GID(id)), id)
}

// printable is the name with the bytes that have a meaning in the text as \ooo,
// or the number, if there is no name or it could be read as a number.
func printable(name string, id uint32) string {
	if strings.Trim(name, "0123456789") == "" {
		return number(id)
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || strings.IndexByte(`:,\#`, c) >= 0 || c >= 0x7f {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
