package fs

import (
	"errors"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// modeChange is what chmod(1) is told: octal digits, or clauses of symbols that
// are done in their order.
type modeChange struct {
	steps []modeStep
	umask posix.Mode // bits that a clause without a "who" leaves alone
}

// modeStep is one operator and what follows it.
type modeStep struct {
	who  posix.Mode // bits that it may touch; 0: all but those of the umask
	op   byte       // '+', '-' or '='
	bits posix.Mode
	exec bool // X: execute too, for a directory or if somebody may execute
	copy int  // 1 + the shift of the class whose rights are copied; 0 is none
	// keep are bits that a directory keeps unless they are asked for by name:
	// chmod 755 does not take set-group-ID away.
	keep posix.Mode
}

const setIDs = posix.SetUID | posix.SetGID

var errMode = errors.New("no mode: write octal digits, or symbols as u=rwx,g+w,o-rwx,a+X,+t")

// parseMode reads the MODE of chmod(1).
func parseMode(text string, umask posix.Mode) (modeChange, error) {
	c := modeChange{umask: umask}
	if text != "" && strings.Trim(text, "01234567") == "" {
		n, err := strconv.ParseUint(text, 8, 32)
		if err != nil || n > uint64(posix.PermMask) {
			return c, errMode
		}
		s := modeStep{who: posix.PermMask, op: '=', bits: posix.Mode(n)}
		if len(text) < 5 {
			s.keep = setIDs &^ s.bits
		}
		c.steps = []modeStep{s}
		return c, nil
	}
	for clause := range strings.SplitSeq(text, ",") {
		if err := c.clause(clause); err != nil {
			return c, err
		}
	}
	return c, nil
}

// clause reads "go+w-x": who, and steps.
func (c *modeChange) clause(text string) error {
	var who posix.Mode
	for text != "" && strings.IndexByte("ugoa", text[0]) >= 0 {
		who |= map[byte]posix.Mode{'u': posix.SetUID | 0o700, 'g': posix.SetGID | 0o070, 'o': posix.Sticky | 0o007, 'a': posix.PermMask}[text[0]]
		text = text[1:]
	}
	if text == "" {
		return errMode
	}
	for text != "" {
		s := modeStep{who: who, op: text[0]}
		if strings.IndexByte("+-=", s.op) < 0 {
			return errMode
		}
		text = s.read(text[1:])
		named := s.bits
		if who != 0 {
			named &= who
		}
		s.keep = setIDs &^ named
		c.steps = append(c.steps, s)
	}
	return nil
}

// read takes the letters behind an operator, and answers what is left.
func (s *modeStep) read(text string) string {
	if text != "" {
		if i := strings.IndexByte("ogu", text[0]); i >= 0 {
			s.copy = 1 + 3*i
			return text[1:]
		}
	}
	for text != "" {
		switch text[0] {
		case 'r':
			s.bits |= 0o444
		case 'w':
			s.bits |= 0o222
		case 'x':
			s.bits |= 0o111
		case 'X':
			s.exec = true
		case 's':
			s.bits |= setIDs
		case 't':
			s.bits |= posix.Sticky
		default:
			return text
		}
		text = text[1:]
	}
	return ""
}

// apply is the mode that a file of mode m gets; m has its type.
func (c modeChange) apply(m posix.Mode) posix.Mode {
	typ, m := m.Type(), m.Perm()
	for _, s := range c.steps {
		bits := s.bits
		if s.copy > 0 {
			bits |= m >> (s.copy - 1) & 7 * 0o111
		}
		if s.exec && (typ == posix.TypeDir || m&0o111 != 0) {
			bits |= 0o111
		}
		var keep posix.Mode
		if typ == posix.TypeDir {
			keep = s.keep
		}
		if s.who != 0 {
			bits &= s.who
		} else {
			bits &^= c.umask
		}
		bits &^= keep
		switch s.op {
		case '+':
			m |= bits
		case '-':
			m &^= bits
		case '=':
			if s.who != 0 {
				keep |= ^s.who
			}
			m = m&keep | bits
		}
	}
	return m & posix.PermMask
}
