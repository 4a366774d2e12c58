// Package remote is the namespace over the wire: a body of [posix.Namespace]
// whose every method is one call of a session. It caches nothing and decides
// nothing.
package remote

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Calls is what carries the calls: one of package session, or what finds the
// right one of several, and then is a posix.Bound too.
type Calls interface {
	Call(ctx context.Context, op string, cred posix.Cred, m *proto.Call, change bool) (*proto.Reply, error)
	CloseSoon(cred posix.Cred, h posix.Handle)
}

// promised is Calls of one session, which knows what it is promised. Where the
// callers have sessions of their own each open asks, and so whether the caller's
// credential is still good.
type promised interface {
	Promised() (age time.Duration, ok bool)
	Reopened(cred posix.Cred, h posix.Handle)
}

// Namespace is the server's tree as one caller of the session sees it.
type Namespace struct {
	s    Calls
	cred posix.Cred
	dirs *[]posix.Attr
}

var (
	_ posix.Namespace = Namespace{}
	_ posix.Locks     = Namespace{}
	_ posix.Soon      = Namespace{}
	_ posix.Bound     = Namespace{}
	_ posix.Promising = Namespace{}
)

// As binds the session's namespace to a caller, which a session that is not
// trusted ignores: there every caller is the principal.
func As(s Calls, c posix.Cred) Namespace { return Namespace{s: s, cred: c} }

// ask does a call that changes nothing, tell one that does.
func (n Namespace) ask(ctx context.Context, op string, m *proto.Call) (*proto.Reply, error) {
	return n.s.Call(ctx, op, n.cred, m, false)
}

func (n Namespace) tell(ctx context.Context, op string, m *proto.Call) (*proto.Reply, error) {
	r, err := n.s.Call(ctx, op, n.cred, m, true)
	if n.dirs != nil {
		for _, a := range r.GetDirs() {
			*n.dirs = append(*n.dirs, proto.FromAttr(a))
		}
	}
	return r, err
}

// Telling is the namespace for one call that changes entries: it adds to dirs
// the directories in which, as they are after that.
func (n Namespace) Telling(dirs *[]posix.Attr) posix.Namespace { n.dirs = dirs; return n }

// Life passes on which session it is.
func (n Namespace) Life() (*posix.Life, uint64) {
	if b, ok := n.s.(posix.Bound); ok {
		return b.Life()
	}
	return nil, 0
}

func attr(r *proto.Reply, err error) (posix.Attr, error) {
	if err != nil {
		return posix.Attr{}, err
	}
	return proto.FromAttr(r.GetAttr()), nil
}

func opened(op string, r *proto.Reply, err error) (posix.Opened, error) {
	if err != nil {
		return posix.Opened{}, err
	}
	o, errno := proto.FromOpened(r.GetOpened())
	if errno != 0 {
		return posix.Opened{}, posix.E(op, posix.EPROTO, errno)
	}
	return o, nil
}

func (n Namespace) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	return attr(n.ask(ctx, "lookup", &proto.Call{Op: &proto.Call_Lookup{Lookup: &proto.Lookup{Dir: uint64(dir), Name: []byte(name)}}}))
}

func (n Namespace) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	return attr(n.ask(ctx, "getattr", &proto.Call{Op: &proto.Call_Getattr{Getattr: &proto.Getattr{Ino: uint64(ino)}}}))
}

func (n Namespace) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	return attr(n.tell(ctx, "setattr", &proto.Call{Op: &proto.Call_Setattr{Setattr: proto.ToSetattr(ino, set)}}))
}

func (n Namespace) Access(ctx context.Context, ino posix.Ino, want posix.Perm) error {
	_, err := n.ask(ctx, "access", &proto.Call{Op: &proto.Call_Access{Access: &proto.Access{Ino: uint64(ino), Want: uint32(want)}}})
	return err
}

func (n Namespace) Readlink(ctx context.Context, ino posix.Ino) (string, error) {
	r, err := n.ask(ctx, "readlink", &proto.Call{Op: &proto.Call_Readlink{Readlink: &proto.Readlink{Ino: uint64(ino)}}})
	return string(r.GetValue()), err
}

func (n Namespace) Mkdir(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode) (posix.Attr, error) {
	m := &proto.Make{Dir: uint64(dir), Name: []byte(name), Mode: uint32(mode), Umask: uint32(umask)}
	return attr(n.tell(ctx, "mkdir", &proto.Call{Op: &proto.Call_Mkdir{Mkdir: m}}))
}

func (n Namespace) Mknod(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, rdev uint32) (posix.Attr, error) {
	m := &proto.Make{Dir: uint64(dir), Name: []byte(name), Mode: uint32(mode), Umask: uint32(umask), Rdev: rdev}
	return attr(n.tell(ctx, "mknod", &proto.Call{Op: &proto.Call_Mknod{Mknod: m}}))
}

func (n Namespace) Symlink(ctx context.Context, dir posix.Ino, name, target string) (posix.Attr, error) {
	m := &proto.Symlink{Dir: uint64(dir), Name: []byte(name), Target: []byte(target)}
	return attr(n.tell(ctx, "symlink", &proto.Call{Op: &proto.Call_Symlink{Symlink: m}}))
}

func (n Namespace) Link(ctx context.Context, ino, dir posix.Ino, name string) (posix.Attr, error) {
	m := &proto.Link{Ino: uint64(ino), Dir: uint64(dir), Name: []byte(name)}
	return attr(n.tell(ctx, "link", &proto.Call{Op: &proto.Call_Link{Link: m}}))
}

func (n Namespace) Unlink(ctx context.Context, dir posix.Ino, name string) error {
	_, err := n.tell(ctx, "unlink", &proto.Call{Op: &proto.Call_Unlink{Unlink: &proto.Remove{Dir: uint64(dir), Name: []byte(name)}}})
	return err
}

func (n Namespace) Rmdir(ctx context.Context, dir posix.Ino, name string) error {
	_, err := n.tell(ctx, "rmdir", &proto.Call{Op: &proto.Call_Rmdir{Rmdir: &proto.Remove{Dir: uint64(dir), Name: []byte(name)}}})
	return err
}

func (n Namespace) Rename(ctx context.Context, from posix.Ino, name string, to posix.Ino, newName string, flags posix.RenameFlags) error {
	m := &proto.Rename{From: uint64(from), Name: []byte(name), To: uint64(to), NewName: []byte(newName), Flags: uint32(flags)}
	_, err := n.tell(ctx, "rename", &proto.Call{Op: &proto.Call_Rename{Rename: m}})
	return err
}

func (n Namespace) Readdir(ctx context.Context, dir posix.Ino, h posix.Handle, from posix.Cookie, limit int, plus bool) ([]posix.Dirent, error) {
	m := &proto.Readdir{Dir: uint64(dir), Handle: uint64(h), Cookie: uint64(from), Max: uint32(max(limit, 0)), Plus: plus}
	r, err := n.ask(ctx, "readdir", &proto.Call{Op: &proto.Call_Readdir{Readdir: m}})
	return proto.FromDirents(r.GetEntries()), err
}

func (n Namespace) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	m := &proto.Create{Dir: uint64(dir), Name: []byte(name), Mode: uint32(mode), Umask: uint32(umask), Handle: uint64(h), Flags: uint32(flags)}
	r, err := n.tell(ctx, "create", &proto.Call{Op: &proto.Call_Create{Create: m}})
	return opened("create", r, err)
}

func (n Namespace) Tmpfile(ctx context.Context, dir posix.Ino, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	m := &proto.Tmpfile{Dir: uint64(dir), Mode: uint32(mode), Umask: uint32(umask), Handle: uint64(h), Flags: uint32(flags)}
	r, err := n.tell(ctx, "tmpfile", &proto.Call{Op: &proto.Call_Tmpfile{Tmpfile: m}})
	return opened("tmpfile", r, err)
}

// Open changes something only with O_TRUNC; opening twice under one handle is
// the same open.
func (n Namespace) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	m := &proto.Open{Ino: uint64(ino), Handle: uint64(h), Flags: uint32(flags)}
	r, err := n.s.Call(ctx, "open", n.cred, &proto.Call{Op: &proto.Call_Open{Open: m}}, flags&posix.OpenTrunc != 0)
	return opened("open", r, err)
}

func (n Namespace) Close(ctx context.Context, h posix.Handle) error {
	_, err := n.ask(ctx, "close", &proto.Call{Op: &proto.Call_Close{Close: &proto.Close{Handle: uint64(h)}}})
	return err
}

// who is a caller of a session, as a value.
type who struct {
	s      Calls
	uid    posix.UID
	gid    posix.GID
	groups string // four bytes each
	super  bool
}

func (n Namespace) who() who {
	w := who{s: n.s, uid: n.cred.UID, gid: n.cred.GID, super: n.cred.Super}
	if len(n.cred.Groups) > 0 {
		b := make([]byte, 0, 4*len(n.cred.Groups))
		for _, g := range n.cred.Groups {
			b = binary.BigEndian.AppendUint32(b, uint32(g))
		}
		w.groups = string(b)
	}
	return w
}

// Promised is what the session is promised.
func (n Namespace) Promised(context.Context) (caller any, age time.Duration) {
	if p, ok := n.s.(promised); ok {
		if age, ok := p.Promised(); ok {
			return n.who(), age
		}
	}
	return nil, 0
}

// Reopened tells the server in a moment.
func (n Namespace) Reopened(_ context.Context, h posix.Handle) {
	if p, ok := n.s.(promised); ok {
		p.Reopened(n.cred, h)
	}
}

// CloseSoon is Close for who does not wait.
func (n Namespace) CloseSoon(h posix.Handle) { n.s.CloseSoon(n.cred, h) }

func (n Namespace) Layout(ctx context.Context, h posix.Handle, off, length uint64) ([]posix.Extent, uint64, error) {
	r, err := n.ask(ctx, "layout", &proto.Call{Op: &proto.Call_Layout{Layout: &proto.Layout{Handle: uint64(h), Off: off, Length: length}}})
	if err != nil {
		return nil, 0, err
	}
	es, errno := proto.FromExtents(r.GetExtents())
	if errno != 0 {
		return nil, 0, posix.E("layout", posix.EPROTO, errno)
	}
	return es, r.GetEnd(), nil
}

func (n Namespace) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	return attr(n.tell(ctx, "commit", &proto.Call{Op: &proto.Call_Commit{Commit: proto.ToCommit(h, c)}}))
}

func (n Namespace) Allocate(ctx context.Context, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	m := &proto.Allocate{Handle: uint64(h), Mode: uint32(mode), Off: off, Length: length}
	return attr(n.tell(ctx, "allocate", &proto.Call{Op: &proto.Call_Allocate{Allocate: m}}))
}

func (n Namespace) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, length uint64) (uint64, posix.Attr, error) {
	m := &proto.CopyRange{From: uint64(from), Off: off, To: uint64(to), ToOff: toOff, Length: length}
	r, err := n.tell(ctx, "copyrange", &proto.Call{Op: &proto.Call_CopyRange{CopyRange: m}})
	a, err := attr(r, err)
	return r.GetCount(), a, err
}

func (n Namespace) Getxattr(ctx context.Context, ino posix.Ino, name string) ([]byte, error) {
	r, err := n.ask(ctx, "getxattr", &proto.Call{Op: &proto.Call_Getxattr{Getxattr: &proto.Xattr{Ino: uint64(ino), Name: []byte(name)}}})
	return r.GetValue(), err
}

func (n Namespace) Setxattr(ctx context.Context, ino posix.Ino, name string, value []byte, flags posix.XattrFlags) error {
	m := &proto.Xattr{Ino: uint64(ino), Name: []byte(name), Value: value, Flags: uint32(flags)}
	_, err := n.tell(ctx, "setxattr", &proto.Call{Op: &proto.Call_Setxattr{Setxattr: m}})
	return err
}

func (n Namespace) Listxattr(ctx context.Context, ino posix.Ino) ([]string, error) {
	r, err := n.ask(ctx, "listxattr", &proto.Call{Op: &proto.Call_Listxattr{Listxattr: &proto.Xattr{Ino: uint64(ino)}}})
	var names []string
	for _, b := range r.GetNames() {
		names = append(names, string(b))
	}
	return names, err
}

func (n Namespace) Removexattr(ctx context.Context, ino posix.Ino, name string) error {
	_, err := n.tell(ctx, "removexattr", &proto.Call{Op: &proto.Call_Removexattr{Removexattr: &proto.Xattr{Ino: uint64(ino), Name: []byte(name)}}})
	return err
}

func (n Namespace) Statfs(ctx context.Context, ino posix.Ino) (posix.Statfs, error) {
	r, err := n.ask(ctx, "statfs", &proto.Call{Op: &proto.Call_Statfs{Statfs: &proto.Statfs{Ino: uint64(ino)}}})
	return proto.FromStatfs(r.GetStatfs()), err
}
