package audit

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// errLine is what is no line of an audit log: the end that a crash cut off, or
// something else in the file.
var errLine = errors.New("audit: no line of an audit log")

// Parse reads a line of either format, without its newline. Texts stay
// escaped: see [Unescape].
func Parse(text string) (x Line, err error) {
	if strings.HasPrefix(text, "{") {
		if json.Unmarshal([]byte(text), &x) != nil || x.Cmd == "" {
			return Line{}, errLine
		}
		return x, nil
	}
	when, rest, ok := strings.Cut(text, hdfsMark)
	if x.Time, err = time.Parse(hdfsTime, when); err != nil || !ok {
		return Line{}, errLine
	}
	for _, f := range strings.Split(rest, "\t") {
		name, value, ok := strings.Cut(f, "=")
		if !ok || !x.set(name, value) {
			return Line{}, errLine
		}
	}
	if x.Cmd == "" {
		return Line{}, errLine
	}
	return x, nil
}

// set sets a field of the HDFS form. One of a later version is passed over.
func (x *Line) set(name, value string) bool {
	if value == none {
		value = ""
	}
	var err error
	switch name {
	case "succeeded":
		x.Succeeded, err = strconv.ParseBool(value)
	case "allowed":
		x.Allowed, err = strconv.ParseBool(value)
	case "ugi":
		return value == "" || x.setUgi(value)
	case "ip":
		x.IP = strings.TrimPrefix(value, "/")
	case "cmd":
		x.Cmd = value
	case "src":
		x.Src = value
	case "dst":
		x.Dst = value
	case "perm":
		return value == "" || x.setPerm(value)
	case "executionTimeUs":
		x.TookUs, err = strconv.ParseInt(value, 10, 64)
	case "errno":
		x.Errno = value
	case "session":
		x.Session, err = strconv.ParseUint(value, 10, 64)
	case "client":
		x.Client = value
	case "uid":
		x.UID = value
	case "ino":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 64)
		x.Ino = posix.Ino(n)
	case "zone":
		x.Zone = value
	case "keyVersion":
		x.KeyVer, err = strconv.ParseUint(value, 10, 64)
	case "lost":
		x.Cmd = name
		x.Lost, err = strconv.ParseUint(value, 10, 64)
	}
	return err == nil
}

func (x *Line) setUgi(s string) bool {
	who, auth, ok := strings.Cut(s, " (AUTH=")
	auth, closed := strings.CutSuffix(auth, ")")
	user, group, comma := strings.Cut(who, ",")
	x.Auth, x.Group = auth, group
	x.User, x.Via, _ = strings.Cut(user, " via ")
	return ok && closed && comma
}

// setPerm reads from the end: names may have a colon in them, modes have none.
func (x *Line) setPerm(s string) bool {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return false
	}
	x.Mode = s[i+1:]
	x.Owner, x.OwnGroup, _ = strings.Cut(s[:i], ":")
	return true
}
