package fs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quote makes a name fit to be shown: one that a terminal or a reader of lines
// could take for something else is written as $'...' with escapes, which a
// shell reads back to the same bytes.
func quote(name string) string {
	if plain(name) {
		return name
	}
	var b strings.Builder
	b.WriteString("$'")
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\\' || r == '\'':
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r) && !(r == utf8.RuneError && n == 1):
			b.WriteRune(r)
		default:
			for _, c := range []byte(name[:n]) {
				fmt.Fprintf(&b, `\%03o`, c) // three digits: what follows can't be taken for a fourth
			}
		}
		name = name[n:]
	}
	b.WriteByte('\'')
	return b.String()
}

// plain reports whether a name can be shown as it is.
func plain(name string) bool {
	if !utf8.ValidString(name) || strings.HasPrefix(name, "$'") {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
