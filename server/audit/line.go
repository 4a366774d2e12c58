package audit

import (
	"net"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// line finds what a record leaves open: names and paths.
func (l *Log) line(r *Record) Line {
	x := Line{
		Time: r.Time, Succeeded: r.Errno == 0, Allowed: !Denied(r.Errno), Cmd: r.Op, TookUs: r.Took.Microseconds(),
		Auth: escape(r.Who.Auth), IP: host(r.Who.Peer), Session: r.Who.Session, Client: escape(r.Who.Client),
		Src: escape(l.path(r.Src)), Dst: escape(l.path(r.Dst)), Ino: r.Ino, Zone: escape(r.Zone), KeyVer: r.KeyVer,
	}
	if r.Errno != 0 {
		x.Errno = r.Errno.String()
	}
	x.User, x.Via = word(r.Who.User), word(r.Who.Via)
	if c := r.Who.Caller; c.Known {
		x.UID, x.Group = strconv.FormatUint(uint64(c.UID), 10), l.group(c.GID)
		if c.Stated {
			if x.Via == "" {
				x.Via = x.User
			}
			x.User = l.user(c.UID)
		}
	}
	if r.Perm.Known {
		x.Owner, x.OwnGroup, x.Mode = l.user(r.Perm.UID), l.group(r.Perm.GID), letters(r.Perm.Mode)
	}
	return x
}

// path is that of a Ref, "" of none. Where no path can be told it is "ino:N" or
// "ino:N/name".
func (l *Log) path(r Ref) string {
	switch {
	case r.Dir != 0:
		dir := l.where(r.Dir)
		if dir == "/" {
			dir = ""
		}
		return dir + "/" + string(r.Name)
	case r.Ino != 0:
		return l.where(r.Ino)
	}
	return string(r.Text)
}

func (l *Log) where(ino posix.Ino) string {
	if ino == posix.RootIno {
		return "/"
	}
	if l.c.Where != nil {
		if path, ok := l.c.Where(ino); ok {
			return path
		}
	}
	return "ino:" + strconv.FormatUint(uint64(ino), 10)
}

func (l *Log) user(id posix.UID) string {
	if l.c.Names.User != nil {
		if name := l.c.Names.User(id); name != "" {
			return word(name)
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (l *Log) group(id posix.GID) string {
	if l.c.Names.Group != nil {
		if name := l.c.Names.Group(id); name != "" {
			return word(name)
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

// word is a name that stands among others: no space or comma in it, so that no
// name can look like two.
func word(name string) string {
	name = escape(name)
	if strings.ContainsAny(name, " ,:(") {
		name = strings.NewReplacer(" ", `\x20`, ",", `\x2c`, ":", `\x3a`, "(", `\x28`).Replace(name)
	}
	return name
}

// host is an address without its port.
func host(peer string) string {
	if h, _, err := net.SplitHostPort(peer); err == nil {
		return escape(h)
	}
	return escape(peer)
}
