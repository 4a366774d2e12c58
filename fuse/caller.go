package fuse

import (
	"os"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Identity tells whom a request is done for from what the kernel says of the
// caller. pid is that of a thread, and 0 where the kernel asks for itself or
// for a process of a foreign namespace.
type Identity func(uid, gid, pid uint32) posix.Cred

// Trusted takes the kernel's word: the caller's own uid and gid, root being
// the superuser. The supplementary groups, which no request carries, are
// added only when Config.Identity is nil.
func Trusted(uid, gid, _ uint32) posix.Cred {
	return posix.Cred{UID: posix.UID(uid), GID: posix.GID(gid), Super: uid == 0}
}

// caller is whom one request is done for. Supplementary groups cost a read of
// /proc, so they are fetched late: most requests succeed by owner, primary
// group or other, and the kernel has refused the hopeless ones before.
type caller struct {
	cred posix.Cred
	pid  uint32
	// more is how to find the supplementary groups; nil when cred is final.
	more func(pid uint32, of posix.Cred) []posix.GID
}

func (s *server) caller(uid, gid, pid uint32) *caller {
	if s.Identity != nil {
		return &caller{cred: s.Identity(uid, gid, pid), pid: pid}
	}
	return &caller{cred: Trusted(uid, gid, pid), pid: pid, more: groupsOf}
}

// widen adds the supplementary groups and reports whether that made a
// difference. It works once.
func (c *caller) widen() bool {
	if c.more == nil || c.cred.Super {
		return false
	}
	more := c.more
	c.more = nil
	for _, g := range more(c.pid, c.cred) {
		if !c.cred.In(g) {
			c.cred.Groups = append(c.cred.Groups, g)
		}
	}
	return len(c.cred.Groups) > 0
}

// refused reports whether supplementary groups could turn err into a yes.
func refused(err error) bool {
	e := posix.ErrnoOf(err)
	return e == posix.EACCES || e == posix.EPERM
}

// as does f for the caller: with the primary group alone, and once more with
// all groups when that was refused. A refused operation changed nothing. With
// groups set the operation's result depends on the groups, not only its
// permission, so that all are there from the start. So they are where the
// kernel has not judged before: a group can be what keeps its members out.
func (s *server) as(c *caller, groups bool, f func(posix.Namespace) error) error {
	if groups || s.Options.NoDefaultPermissions {
		c.widen()
	}
	err := f(s.As(c.cred))
	if err != nil && refused(err) && c.widen() {
		err = f(s.As(c.cred))
	}
	return err
}

// groupsOf reads the supplementary groups of a thread from its status file;
// none for pid 0, for a thread that has gone, and for one that is somebody
// else by now: its number may have been given to another process.
func groupsOf(pid uint32, of posix.Cred) []posix.GID {
	if pid == 0 {
		return nil
	}
	st, err := readStatus(pid)
	if err != nil {
		return nil
	}
	return parseGroups(st, of)
}

// parseGroups reads the line "Groups:\t4 24 27 " of proc_pid_status(5), if
// the last ids of the lines Uid and Gid, which are those for filesystems, are
// the caller's.
func parseGroups(status string, of posix.Cred) []posix.GID {
	uids, gids := statusIDs(status, "Uid"), statusIDs(status, "Gid")
	if len(uids) != 4 || len(gids) != 4 || posix.UID(uids[3]) != of.UID || posix.GID(gids[3]) != of.GID {
		return nil
	}
	var out []posix.GID
	for _, g := range statusIDs(status, "Groups") {
		out = append(out, posix.GID(g))
	}
	return out
}

// statusIDs are the numbers of a line; what is none is left out.
func statusIDs(status, name string) (ids []uint32) {
	for _, w := range strings.Fields(statusField(status, name)) {
		if n, err := strconv.ParseUint(w, 10, 32); err == nil {
			ids = append(ids, uint32(n))
		}
	}
	return ids
}

// readStatus reads the status file of a thread. Nothing here may read environ,
// maps or whatever else takes the thread's memory, which can be locked by a
// page fault that waits for us.
func readStatus(tid uint32) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	return string(b), err
}

// statusField is what follows "name:" on its line, without the space around.
// A thread can choose its name, which stands on the first line, but no line
// break in it.
func statusField(status, name string) string {
	_, rest, _ := strings.Cut("\n"+status, "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
