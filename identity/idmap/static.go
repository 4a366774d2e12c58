package idmap

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// maxMap bounds a map file, in lines.
const maxMap = 1 << 20

// Static is a table of names and numbers that somebody has written down.
type Static struct {
	names   [2]map[uint32]string
	numbers [2]map[string]uint32
}

// ParseStatic reads a map file. Each line is a kind, a number and a name, which
// goes to the end of the line; what begins with # is a comment:
//
//	user  5000 alice
//	group 5001 domain users
//
// A number and a name may stand there once for each kind. Neither root nor a
// number that is root's or reserved for names can be mapped.
func ParseStatic(r io.Reader) (*Static, error) {
	s := new(Static)
	for _, k := range []Kind{User, Group} {
		s.names[k], s.numbers[k] = map[uint32]string{}, map[string]uint32{}
	}
	if err := (Lines{Most: maxMap, Bound: "a map has at most"}).Each(r, s.add); err != nil {
		return nil, err
	}
	return s, nil
}

// add reads one line.
func (s *Static) add(text string) error {
	word, rest := cutWord(text)
	k := User
	switch word {
	case "user":
	case "group":
		k = Group
	default:
		return fmt.Errorf("%q is neither user nor group: a line reads: user NUMBER NAME", word)
	}
	word, name := cutWord(rest)
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is no number: a line reads: %s NUMBER NAME", word, k)
	}
	number := uint32(n)
	switch {
	case number == 0 || name == "root":
		return fmt.Errorf("root is 0 everywhere and can't be mapped")
	case number == NoID || posix.UID(number).Named():
		return fmt.Errorf("the number %d is reserved", number)
	}
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%s %q: %w", k, name, err)
	}
	if other, ok := s.names[k][number]; ok {
		return fmt.Errorf("the %s %d has the name %q already", k, number, other)
	}
	if other, ok := s.numbers[k][name]; ok {
		return fmt.Errorf("the %s %q has the number %d already", k, name, other)
	}
	s.names[k][number], s.numbers[k][name] = name, number
	return nil
}

// cutWord splits at the first white space.
func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

// Over answers h with s laid over it: what s names counts, for numbers as for
// names, and h is asked for the rest.
func (s *Static) Over(h Host) Host { return overlaid{s, h} }

type overlaid struct {
	s *Static
	h Host
}

func (o overlaid) Name(ctx context.Context, k Kind, n uint32) (string, error) {
	if name, ok := o.s.names[k][n]; ok {
		return name, nil
	}
	name, err := o.h.Name(ctx, k, n)
	if _, taken := o.s.numbers[k][name]; err == nil && taken {
		return "", ErrUnknown // the map has the name for another number
	}
	return name, err
}

func (o overlaid) Number(ctx context.Context, k Kind, name string) (uint32, error) {
	if n, ok := o.s.numbers[k][name]; ok {
		return n, nil
	}
	n, err := o.h.Number(ctx, k, name)
	if _, taken := o.s.names[k][n]; err == nil && taken {
		return 0, ErrUnknown // the map has the number for another name
	}
	return n, err
}
