package audit

import (
	"net"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// paths are those of directories and inodes of records that are written together.
type paths map[posix.Ino]string

// find asks for all that the records name.
func (l *Log) find(all []Record) paths {
	if l.c.Where == nil {
		return nil
	}
	p := paths{}
	var inos []posix.Ino
	note := func(ino posix.Ino) {
		if _, ok := p[ino]; !ok && ino != 0 && ino != posix.RootIno {
			p[ino] = ""
			inos = append(inos, ino)
		}
	}
	for i := range all {
		note(all[i].Src.at())
		note(all[i].Dst.at())
	}
	if len(inos) > 0 {
		for i, path := range l.c.Where(inos) {
			p[inos[i]] = path
		}
	}
	return p
}

// at is the inode whose path is that of r, or the beginning of it; 0 is none.
func (r Ref) at() posix.Ino {
	if r.Dir != 0 {
		return r.Dir
	}
	return r.Ino
}

// line finds what a record leaves open: names, and paths among those given.
func (l *Log) line(r *Record, p paths) Line {
	x := Line{
		Time: r.Time, Succeeded: r.Errno == 0, Allowed: !Denied(r.Errno), Cmd: r.Op, TookUs: r.Took.Microseconds(),
		Auth: escape(r.Who.Auth), IP: host(r.Who.Peer), Session: r.Who.Session, Client: escape(r.Who.Client),
		Src: escape(p.of(r.Src)), Dst: escape(p.of(r.Dst)), Ino: r.Ino, Zone: escape(r.Zone), KeyVer: r.KeyVer,
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

// of is the path of a Ref, "" of none. Where no path can be told it is "ino:N"
// or "ino:N/name".
func (p paths) of(r Ref) string {
	switch {
	case r.Dir != 0:
		dir := p.where(r.Dir)
		if dir == "/" {
			dir = ""
		}
		return dir + "/" + string(r.Name)
	case r.Ino != 0:
		return p.where(r.Ino)
	}
	return string(r.Text)
}

func (p paths) where(ino posix.Ino) string {
	if ino == posix.RootIno {
		return "/"
	}
	if path := p[ino]; path != "" {
		return path
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
