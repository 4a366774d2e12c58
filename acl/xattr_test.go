package acl

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// unhex reads hexadecimal digits, blanks between them ignored.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// kernelBytes is what getfattr showed on ext4 after
// setfacl -m u:1000:rw-,g:50:r--,m::r-- on a file of mode 0640.
const kernelBytes = "02000000 01000600ffffffff 02000600e8030000 04000400ffffffff" +
	"08000400 32000000 10000400ffffffff 20000000ffffffff"

func TestXattrGolden(t *testing.T) {
	want := unhex(t, kernelBytes)
	l := parse1(t, "u::rw-,u:1000:rw-,g::r--,g:50:r--,m::r--,o::---")
	if got := EncodeXattr(l); !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
	if got, err := DecodeXattr(want); err != nil || !got.Equal(l) {
		t.Errorf("got %v, %v", got, err)
	}
	if EncodeXattr(nil) != nil || ACL(nil).Key() != "" {
		t.Error("none has bytes")
	}
}

func TestDecodeXattr(t *testing.T) {
	const v, u, g, m, o = "02000000 ", "01000600ffffffff ", "04000400ffffffff ", "10000700ffffffff ", "20000000ffffffff "
	const u5, u6 = "0200070005000000 ", "0200070006000000 "
	for _, c := range []struct {
		name  string
		want  string // the list, or nothing
		errno posix.Errno
		hex   string
	}{
		{"no bytes", "", 0, ""},
		{"a header alone", "", 0, v},
		{"minimal", "u::rw-,g::r--,o::---", 0, v + u + g + o},
		{"users in any order", "u::rw-,u:5:rwx,u:6:rwx,g::r--,m::rwx,o::---", 0, v + u + u6 + u5 + g + m + o},
		{"ids that mean nothing", "u::rw-,g::r--,o::---", 0, v + "0100060000000000" + "0400040007000000" + o},
		{"half a header", "", posix.EINVAL, "0200"},
		{"version 1", "", posix.EOPNOTSUPP, "01000000" + u + g + o},
		{"version 3 without entries", "", posix.EOPNOTSUPP, "03000000"},
		{"version in big endian", "", posix.EOPNOTSUPP, "00000002" + u + g + o},
		{"a byte short", "", posix.EINVAL, v + u + g + o[:14]},
		{"a byte long", "", posix.EINVAL, v + u + g + o + "00"},
		{"unknown tag", "", posix.EINVAL, v + u + g + o + "40000000ffffffff"},
		{"tag zero", "", posix.EINVAL, v + "00000000ffffffff" + u + g + o},
		{"permission 8", "", posix.EINVAL, v + "01000800ffffffff" + g + o},
		{"permission 0x106", "", posix.EINVAL, v + "01000601ffffffff" + g + o},
		{"tags out of order", "", posix.EINVAL, v + u + o + g},
		{"a user twice", "", posix.EINVAL, v + u + u5 + u5 + g + m + o},
		{"a user without id", "", posix.EINVAL, v + u + "02000700ffffffff" + g + m + o},
		{"no mask", "", posix.EINVAL, v + u + u5 + g + o},
		{"no base", "", posix.EINVAL, v + u + o},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := DecodeXattr(unhex(t, c.hex))
			if posix.ErrnoOf(err) != c.errno || l.String() != c.want {
				t.Errorf("got %v, %v", l, err)
			}
			if err != nil && l != nil {
				t.Errorf("an error and a list: %v", l)
			}
		})
	}
	if _, err := DecodeXattr(make([]byte, posix.XattrMax+1)); posix.ErrnoOf(err) != posix.E2BIG {
		t.Errorf("too many bytes: %v", err)
	}
}

// TestXattrRoundTrip, and equal lists have equal keys.
func TestXattrRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	keys := map[string]string{}
	for range 5000 {
		l := randomACL(rng, false)
		got, err := DecodeXattr(EncodeXattr(l))
		if err != nil || !got.Equal(l) {
			t.Fatalf("%v became %v, %v", l, got, err)
		}
		if s, ok := keys[l.Key()]; ok && s != l.String() {
			t.Fatalf("%v and %s share a key", l, s)
		}
		keys[l.Key()] = l.String()
		if l.Key() != got.Key() {
			t.Fatalf("%v has two keys", l)
		}
	}
}

// FuzzDecodeXattr: what decodes is valid and encodes to the same bytes, if the
// entries came in order and with the ids of EncodeXattr.
func FuzzDecodeXattr(f *testing.F) {
	f.Add(unhex(f, kernelBytes))
	f.Add(EncodeXattr(many(20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeXattr(b)
		if err != nil {
			if e := posix.ErrnoOf(err); l != nil || e != posix.EINVAL && e != posix.EOPNOTSUPP && e != posix.E2BIG {
				t.Fatalf("%v, %v", l, err)
			}
			return
		}
		if l == nil {
			if len(b) > headerSize {
				t.Fatalf("%x is none", b)
			}
			return
		}
		out := EncodeXattr(l)
		again, err := DecodeXattr(out)
		if err != nil || !again.Equal(l) {
			t.Fatalf("%v came back as %v, %v", l, again, err)
		}
		if canonical := EncodeXattr(again); !bytes.Equal(canonical, out) || len(out) != len(b) {
			t.Fatalf("%x became %x, then %x", b, out, canonical)
		}
		if raw, _ := decodeEntries(b[headerSize:]); idsPlain(raw) && raw.Sort().Equal(sansIDs(raw)) && !bytes.Equal(out, b) {
			t.Fatalf("%x became %x", b, out)
		}
	})
}

// idsPlain reports whether every entry without an id says so.
func idsPlain(l ACL) bool {
	for _, e := range l {
		if !e.Tag.named() && e.ID != noID {
			return false
		}
	}
	return true
}

// sansIDs is the list in its order, ids of entries that have none set to zero.
func sansIDs(l ACL) ACL {
	n := l.clone()
	for i := range n {
		if !n[i].Tag.named() {
			n[i].ID = 0
		}
	}
	return n
}
