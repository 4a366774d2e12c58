package fs

import (
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/wardfs/wardfs/posix"
)

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"plain":         "plain",
		"with space":    "with space",
		"größe":         "größe",
		"a\nb":          `$'a\nb'`,
		"tab\t":         `$'tab\t'`,
		"it's\x1b[31m":  `$'it\'s\033[31m'`,
		"\xff\xfe9":     `$'\377\3769'`,
		"a\u202eb":      `$'a\342\200\256b'`, // right to left: shows another name
		"$'x'":          `$'$\'x\''`,
		"back\\slash":   `back\slash`,
		"back\\slash\r": `$'back\\slash\015'`,
	} {
		if got := quote(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a\nb\x00\xff'\\\u202e0")
	f.Fuzz(func(t *testing.T, name string) {
		got := quote(name)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Fatalf("%q: %q can't be shown", name, got)
		}
		if back := unquote(t, got); back != name {
			t.Fatalf("%q: %s reads as %q", name, got, back)
		}
	})
}

// unquote reads a word as bash does.
func unquote(t *testing.T, s string) string {
	body, ok := strings.CutPrefix(s, "$'")
	if !ok {
		return s
	}
	body = strings.TrimSuffix(body, "'")
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b.WriteByte(body[i])
			continue
		}
		i++
		switch c := body[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '\\', '\'':
			b.WriteByte(c)
		default:
			n, err := strconv.ParseUint(body[i:i+3], 8, 8)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteByte(byte(n))
			i += 2
		}
	}
	return b.String()
}

func TestHuman(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 1023: "1023", 1024: "1.0K", 1025: "1.1K", 10239: "10K", 10240: "10K", 10241: "11K", 1023 << 10: "1023K",
		1<<20 - 1: "1.0M", 1 << 20: "1.0M", 9<<30 + 1: "9.1G", 1 << 62: "4.0E", 1<<64 - 1: "16E",
	} {
		if got := human(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestLetters(t *testing.T) {
	for mode, want := range map[posix.Mode]string{
		posix.TypeReg | 0o644:   "-rw-r--r--",
		posix.TypeDir | 0o1777:  "drwxrwxrwt",
		posix.TypeDir | 0o3770:  "drwxrws--T",
		posix.TypeReg | 0o6711:  "-rws--s--x",
		posix.TypeReg | 0o6600:  "-rwS--S---",
		posix.TypeLink | 0o777:  "lrwxrwxrwx",
		posix.TypeBlock | 0o660: "brw-rw----",
	} {
		if got := letters(mode); got != want {
			t.Errorf("%o: got %s, want %s", mode, got, want)
		}
	}
}
