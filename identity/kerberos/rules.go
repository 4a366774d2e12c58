package kerberos

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/identity"
)

// Name is a principal of Kerberos in its parts: "hdfs/host.example@REALM" has
// two components.
type Name struct {
	Components []string
	Realm      string
}

// String is the principal as kinit has it; slashes, at signs and backslashes
// within a part are escaped (RFC 1964, 2.1.1).
func (n Name) String() string {
	esc := strings.NewReplacer(`\`, `\\`, `/`, `\/`, `@`, `\@`)
	parts := make([]string, len(n.Components))
	for i, c := range n.Components {
		parts[i] = esc.Replace(c)
	}
	return strings.Join(parts, "/") + "@" + esc.Replace(n.Realm)
}

// errNoRule is the answer when no rule applies.
var errNoRule = errors.New("no rule of auth_to_local applies")

// Rules translate principals to names of users: auth_to_local of krb5.conf(5),
// as Hadoop has it. They are tried in order; the first that applies decides.
//
//	DEFAULT
//		the first component, of a principal of a default realm
//	RULE:[n:format](regex)s/from/to/g/L
//		of principals with n components: format, in which $0 is the realm and $1 the
//		first component, makes a string; if regex matches all of it (or there is
//		none), from is replaced by to, once or with g everywhere, and with L the
//		result is in lower case
//
// What comes out must be a simple name: with a slash or an at sign in it, it is
// an error and not a user.
type Rules struct {
	rules  []rule
	realms map[string]bool
}

// rule is one of them; a nil format is DEFAULT.
type rule struct {
	n      int
	format string
	match  *regexp.Regexp // nil matches everything
	from   *regexp.Regexp // nil replaces nothing
	to     string
	all    bool
	lower  bool
	normal bool // DEFAULT
}

// ParseRules reads rules, separated by white space. realms are the default
// ones.
func ParseRules(text string, realms ...string) (*Rules, error) {
	r := &Rules{realms: map[string]bool{}}
	for _, realm := range realms {
		r.realms[realm] = true
	}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		one, tail, err := parseRule(rest)
		if err != nil {
			return nil, fmt.Errorf("auth_to_local: rule %d: %w", len(r.rules)+1, err)
		}
		if tail != "" && !strings.ContainsRune(" \t\r\n", rune(tail[0])) {
			return nil, fmt.Errorf("auth_to_local: rule %d: %q follows it", len(r.rules)+1, tail)
		}
		r.rules, rest = append(r.rules, one), tail
	}
	if len(r.rules) == 0 {
		return nil, errors.New("auth_to_local: no rule; DEFAULT is the usual one")
	}
	return r, nil
}

func parseRule(s string) (r rule, rest string, err error) {
	if tail, ok := strings.CutPrefix(s, "DEFAULT"); ok {
		return rule{normal: true}, tail, nil
	}
	s, ok := strings.CutPrefix(s, "RULE:[")
	if !ok {
		return r, "", errors.New("neither DEFAULT nor RULE:[n:format](regex)s/from/to/")
	}
	head, s, ok := strings.Cut(s, "]")
	num, format, colon := strings.Cut(head, ":")
	if r.n, err = strconv.Atoi(num); !ok || !colon || err != nil || r.n < 1 || r.n > 100 {
		return r, "", errors.New("no [n:format] with n components, as [1:$1@$0]")
	}
	r.format = format
	if err := checkFormat(format, r.n); err != nil {
		return r, "", err
	}
	if strings.HasPrefix(s, "(") {
		var text string
		if text, s, err = cutParen(s); err != nil {
			return r, "", err
		}
		if r.match, err = regexp.Compile(`^(?:` + text + `)$`); err != nil {
			return r, "", err
		}
	}
	if strings.HasPrefix(s, "s/") {
		if s, err = r.parseSed(s[2:]); err != nil {
			return r, "", err
		}
	}
	if tail, ok := strings.CutPrefix(s, "/L"); ok {
		r.lower, s = true, tail
	}
	return r, s, nil
}

// parseSed reads from/to/ and an optional g.
func (r *rule) parseSed(s string) (rest string, err error) {
	from, s, ok := cutSlash(s)
	if !ok {
		return "", errors.New("s/from/to/ is cut short")
	}
	to, s, ok := cutSlash(s)
	if !ok {
		return "", errors.New("s/from/to/ is cut short")
	}
	if r.from, err = regexp.Compile(from); err != nil {
		return "", err
	}
	r.to = groupRef.ReplaceAllString(to, "$${$1}")
	if tail, ok := strings.CutPrefix(s, "g"); ok {
		r.all, s = true, tail
	}
	return s, nil
}

// groupRef is how Java has a group in a replacement: $1x is group 1 and an x,
// where Go would look for a group named 1x.
var groupRef = regexp.MustCompile(`\$(\d)`)

// cutSlash cuts at the first slash that is not escaped.
func cutSlash(s string) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '/':
			return strings.ReplaceAll(s[:i], `\/`, "/"), s[i+1:], true
		}
	}
	return "", "", false
}

// cutParen cuts what stands within the first pair of parentheses.
func cutParen(s string) (inside, rest string, err error) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], s[i+1:], nil
			}
		}
	}
	return "", "", errors.New("a parenthesis is not closed")
}

var formatRef = regexp.MustCompile(`\$(\d*)`)

func checkFormat(format string, n int) error {
	for _, m := range formatRef.FindAllStringSubmatch(format, -1) {
		if i, err := strconv.Atoi(m[1]); err != nil || i > n {
			return fmt.Errorf("%s in the format of a name with %d components", m[0], n)
		}
	}
	return nil
}

// User is the name that the rules give to a principal.
func (r *Rules) User(n Name) (string, error) {
	for _, one := range r.rules {
		user, applies := one.apply(n, r.realms)
		if !applies {
			continue
		}
		if strings.ContainsAny(user, "/@") {
			return "", fmt.Errorf("auth_to_local makes %q of %s, and that is no simple name", user, n)
		}
		if err := identity.CheckName(user); err != nil {
			return "", fmt.Errorf("auth_to_local makes %q of %s: %w", user, n, err)
		}
		return user, nil
	}
	return "", fmt.Errorf("%w to %s", errNoRule, n)
}

func (r rule) apply(n Name, realms map[string]bool) (user string, applies bool) {
	if r.normal {
		if len(n.Components) == 0 || !realms[n.Realm] {
			return "", false
		}
		return n.Components[0], true
	}
	if len(n.Components) != r.n {
		return "", false
	}
	s := formatRef.ReplaceAllStringFunc(r.format, func(ref string) string {
		i, _ := strconv.Atoi(ref[1:])
		if i == 0 {
			return n.Realm
		}
		return n.Components[i-1]
	})
	if r.match != nil && !r.match.MatchString(s) {
		return "", false
	}
	if r.from != nil {
		s = r.replace(s)
	}
	if r.lower {
		s = strings.ToLower(s)
	}
	return s, true
}

func (r rule) replace(s string) string {
	if r.all {
		return r.from.ReplaceAllString(s, r.to)
	}
	at := r.from.FindStringSubmatchIndex(s)
	if at == nil {
		return s
	}
	return s[:at[0]] + string(r.from.ExpandString(nil, r.to, s, at)) + s[at[1]:]
}
