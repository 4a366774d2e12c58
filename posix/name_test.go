package posix

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		want Errno
		name string
	}{
		{0, "a"}, {0, "..."}, {0, ".a"}, {0, "\xff\n "}, {0, strings.Repeat("n", NameMax)},
		{EINVAL, ""}, {EINVAL, "/"}, {EINVAL, "a/b"}, {EINVAL, "a\x00b"}, {EINVAL, "\x00"},
		{EEXIST, "."}, {EEXIST, ".."},
		{ENAMETOOLONG, strings.Repeat("n", NameMax+1)}, {ENAMETOOLONG, strings.Repeat("/", NameMax+1)},
	} {
		if got := CheckName(c.name); got != c.want {
			t.Errorf("%.20q: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	f.Add("a/b")
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != 0 {
			return
		}
		if name == "" || name == "." || name == ".." || len(name) > NameMax || strings.ContainsAny(name, "/\x00") {
			t.Errorf("%q is taken for good", name)
		}
	})
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`\`: `\`, `\0`: `\0`, `\999`: `\999`, `a\011`: "a\t", `\134040`: `\040`} {
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}
