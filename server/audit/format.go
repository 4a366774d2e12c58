package audit

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wardfs/wardfs/posix"
)

// Format is how a line looks.
type Format uint8

// The formats.
const (
	HDFS Format = iota // fields between tabs, as HDFS and Alluxio have them
	JSON               // an object
)

// Line is a record as it is written: names and paths found, nothing left to
// ask. Its JSON form is the format of that name; the other says the same.
type Line struct {
	Time      time.Time `json:"time"`
	Succeeded bool      `json:"succeeded"`
	Allowed   bool      `json:"allowed"`
	User      string    `json:"user"`
	Via       string    `json:"via,omitempty"`
	Group     string    `json:"group"`
	Auth      string    `json:"auth"`
	IP        string    `json:"ip"`
	Cmd       string    `json:"cmd"`
	Src       string    `json:"src"`
	Dst       string    `json:"dst"`
	Owner     string    `json:"owner,omitempty"` // with OwnGroup and Mode: perm
	OwnGroup  string    `json:"owner_group,omitempty"`
	Mode      string    `json:"mode,omitempty"` // "rwxr-x---"
	TookUs    int64     `json:"duration_us"`
	Errno     string    `json:"errno"`
	Session   uint64    `json:"session,string"`
	Client    string    `json:"client"`
	UID       string    `json:"uid"` // of the caller that was checked
	Ino       posix.Ino `json:"ino"`
	Zone      string    `json:"zone"`
	KeyVer    uint64    `json:"key_version"`
	Lost      uint64    `json:"lost,omitempty"` // only in a line of its own: how many are missing before it
}

// none is a field of nothing, as HDFS writes it.
const none = "null"

// hdfsTime is the time as log4j writes it, in UTC.
const hdfsTime = "2006-01-02 15:04:05,000"

// hdfsMark is what stands between the time and the first field.
const hdfsMark = " INFO wardfs.audit: "

// append puts the line, with its newline, behind b. Texts in it are escaped
// already: see escape.
func (x *Line) append(b []byte, f Format) []byte {
	if f == JSON {
		text, err := json.Marshal(x)
		if err != nil {
			panic("audit: " + err.Error()) // a Line has nothing that can't be written
		}
		return append(append(b, text...), '\n')
	}
	b = append(x.Time.UTC().AppendFormat(b, hdfsTime), hdfsMark...)
	if x.Lost > 0 {
		return append(strconv.AppendUint(append(b, "lost="...), x.Lost, 10), '\n')
	}
	field := func(name, value string) {
		b = append(append(append(b, '\t'), name...), '=')
		if value == "" {
			value = none
		}
		b = append(b, value...)
	}
	number := func(name string, n uint64) {
		b = append(append(append(b, '\t'), name...), '=')
		b = strconv.AppendUint(b, n, 10)
	}
	b = strconv.AppendBool(append(b, "succeeded="...), x.Succeeded)
	b = strconv.AppendBool(append(b, "\tallowed="...), x.Allowed)
	field("ugi", x.ugi())
	field("ip", slash(x.IP))
	field("cmd", x.Cmd)
	field("src", x.Src)
	field("dst", x.Dst)
	field("perm", x.perm())
	number("executionTimeUs", uint64(max(x.TookUs, 0)))
	field("errno", x.Errno)
	number("session", x.Session)
	field("client", x.Client)
	field("uid", x.UID)
	number("ino", uint64(x.Ino))
	field("zone", x.Zone)
	number("keyVersion", x.KeyVer)
	return append(b, '\n')
}

// ugi is "user1 via service1,group1 (AUTH=KERBEROS)".
func (x *Line) ugi() string {
	if x.User == "" {
		return ""
	}
	s := x.User
	if x.Via != "" {
		s += " via " + x.Via
	}
	return s + "," + x.Group + " (AUTH=" + x.Auth + ")"
}

func slash(ip string) string {
	if ip == "" {
		return ""
	}
	return "/" + ip // as Java prints an address
}

func (x *Line) perm() string {
	if x.Mode == "" {
		return ""
	}
	return x.Owner + ":" + x.OwnGroup + ":" + x.Mode
}

// letters is the mode as Alluxio prints it.
func letters(m posix.Mode) string {
	b := []byte("rwxrwxrwx")
	for i := range b {
		if m&(0o400>>i) == 0 {
			b[i] = '-'
		}
	}
	for i, bit := range []posix.Mode{posix.SetUID, posix.SetGID, posix.Sticky} {
		at, with := 2+3*i, "sst"[i]
		if m&bit == 0 {
			continue
		}
		if b[at] != 'x' {
			with -= 'a' - 'A'
		}
		b[at] = with
	}
	return string(b)
}

// escape makes a text fit for a line: what would end a field or a line, change
// what a terminal shows, or is no UTF-8, is written \xNN, byte by byte, and so
// is a backslash. So no name can look like a field of its own.
func escape(s string) string {
	clean := 0
	for clean < len(s) {
		r, n := utf8.DecodeRuneInString(s[clean:])
		if odd(r, n) {
			break
		}
		clean += n
	}
	if clean == len(s) {
		return s
	}
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(s)+16), s[:clean]...)
	for rest := s[clean:]; len(rest) > 0; {
		r, n := utf8.DecodeRuneInString(rest)
		if odd(r, n) {
			for _, c := range []byte(rest[:n]) {
				b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
			}
		} else {
			b = append(b, rest[:n]...)
		}
		rest = rest[n:]
	}
	return string(b)
}

func odd(r rune, n int) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f || r == '\\'
	}
	return r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && !unicode.IsSpace(r) || r == 0x85 || r == 0x2028 || r == 0x2029
}

// Unescape is what was escaped; what is no escape stays as it is.
func Unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
