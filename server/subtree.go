package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
	"github.com/wardfs/wardfs/server/namespace"
)

// subtree confines a session to a directory and what is below it. The session
// knows that directory as inode 1, and its ".." is itself. Every other inode
// number it may state must be below at that moment, or be a file without a name
// that the session has open: else it is ESTALE, as a number that was never
// given. Handles are the session's own, and what is open stays open when it is
// moved away, as everywhere.
//
// Whether an inode is below is asked before the call is done. Who moves a
// directory out of the subtree at that moment may see one call that had begun
// before it land after.
type subtree struct {
	tree *namespace.Tree
	sess namespace.SessionID
	root posix.Ino
}

// newSubtree answers nil for a session that has the whole tree.
func newSubtree(t *talk) *subtree {
	if t.sess.Root == posix.RootIno {
		return nil
	}
	return &subtree{t.s.tree, namespace.SessionID(t.sess.ID), t.sess.Root}
}

// resolve finds the directory that a mount asks for. It asks no permission, for
// the rules have been asked, and follows no symbolic link: a path of the rules
// means one place. path is one that the rules took.
func (s *Server) resolve(ctx context.Context, path string) (posix.Ino, error) {
	ns := s.tree.As(posix.Cred{Super: true})
	at := posix.RootIno
	names := export.Names(path)
	for i, name := range names {
		shown := "/" + strings.Join(names[:i+1], "/")
		a, err := ns.Lookup(ctx, at, name)
		switch {
		case errors.Is(err, posix.ENOENT):
			return 0, posix.E("hello", posix.ENOENT, fmt.Errorf("%s is not there on the server", shown))
		case err != nil:
			return 0, posix.E("hello", posix.ErrnoOf(err), err)
		case a.Mode.IsLink():
			return 0, posix.E("hello", posix.ENOTDIR, fmt.Errorf("%s is a symbolic link on the server, and a mount follows none: name the directory itself", shown))
		case !a.Mode.IsDir():
			return 0, posix.E("hello", posix.ENOTDIR, fmt.Errorf("%s is no directory on the server", shown))
		}
		at = a.Ino
	}
	return at, nil
}

// enter turns the session's inode numbers into the tree's.
func (s *subtree) enter(ctx context.Context, c *proto.Call) error {
	inos, ok := stated(c)
	if !ok {
		return posix.E("subtree", posix.EACCES, errors.New("the call is not known to mounts of a subtree"))
	}
	for _, ino := range inos {
		switch *ino {
		case uint64(posix.RootIno):
			*ino = uint64(s.root)
		case uint64(s.root):
			return posix.ESTALE // it is known as 1
		default:
			if err := s.below(ctx, posix.Ino(*ino)); err != nil {
				return err
			}
		}
	}
	if m := c.GetLookup(); m != nil && posix.Ino(m.Dir) == s.root && string(m.Name) == ".." {
		m.Name = []byte(".")
	}
	return nil
}

// below answers ESTALE for an inode that is not the session's to name.
func (s *subtree) below(ctx context.Context, ino posix.Ino) error {
	under, err := s.tree.Under(ctx, ino, s.root)
	switch {
	case err != nil:
		return err
	case under:
		return nil
	case !s.tree.Has(s.sess, ino):
		return posix.ESTALE
	}
	a, err := s.tree.As(posix.Cred{Super: true}).Getattr(ctx, ino)
	if err == nil && a.Nlink > 0 {
		err = posix.ESTALE // moved away
	}
	return err
}

// stated are the fields of a call that name inodes. ok is false for a call that
// is not known here: none gets past a subtree unseen.
func stated(c *proto.Call) (inos []*uint64, ok bool) {
	switch op := c.Op.(type) {
	case *proto.Call_Lookup:
		return []*uint64{&op.Lookup.Dir}, true
	case *proto.Call_Getattr:
		return []*uint64{&op.Getattr.Ino}, true
	case *proto.Call_Setattr:
		return []*uint64{&op.Setattr.Ino}, true
	case *proto.Call_Access:
		return []*uint64{&op.Access.Ino}, true
	case *proto.Call_Readlink:
		return []*uint64{&op.Readlink.Ino}, true
	case *proto.Call_Mkdir:
		return []*uint64{&op.Mkdir.Dir}, true
	case *proto.Call_Mknod:
		return []*uint64{&op.Mknod.Dir}, true
	case *proto.Call_Symlink:
		return []*uint64{&op.Symlink.Dir}, true
	case *proto.Call_Link:
		return []*uint64{&op.Link.Ino, &op.Link.Dir}, true
	case *proto.Call_Unlink:
		return []*uint64{&op.Unlink.Dir}, true
	case *proto.Call_Rmdir:
		return []*uint64{&op.Rmdir.Dir}, true
	case *proto.Call_Rename:
		return []*uint64{&op.Rename.From, &op.Rename.To}, true
	case *proto.Call_Readdir:
		return []*uint64{&op.Readdir.Dir}, true
	case *proto.Call_Create:
		return []*uint64{&op.Create.Dir}, true
	case *proto.Call_Tmpfile:
		return []*uint64{&op.Tmpfile.Dir}, true
	case *proto.Call_Open:
		return []*uint64{&op.Open.Ino}, true
	case *proto.Call_Getxattr:
		return []*uint64{&op.Getxattr.Ino}, true
	case *proto.Call_Setxattr:
		return []*uint64{&op.Setxattr.Ino}, true
	case *proto.Call_Listxattr:
		return []*uint64{&op.Listxattr.Ino}, true
	case *proto.Call_Removexattr:
		return []*uint64{&op.Removexattr.Ino}, true
	case *proto.Call_Statfs:
		return []*uint64{&op.Statfs.Ino}, true
	case *proto.Call_Getlk:
		return []*uint64{&op.Getlk.Ino}, true
	case *proto.Call_Setlk:
		return []*uint64{&op.Setlk.Ino}, true
	case *proto.Call_Unlock:
		return []*uint64{&op.Unlock.Ino}, true
	case *proto.Call_ReclaimLock:
		return []*uint64{&op.ReclaimLock.Ino}, true
	case *proto.Call_Close, *proto.Call_Reopened, *proto.Call_Layout, *proto.Call_Commit, *proto.Call_Allocate, *proto.Call_CopyRange, *proto.Call_Reclaim,
		*proto.Call_Reclaimed, *proto.Call_Ids, *proto.Call_Names, *proto.Call_Whoami:
		return nil, true // handles and tickets are the session's own, and owners are everybody's
	}
	return nil, false
}

// leave turns the tree's inode numbers into the session's, and what is above
// the subtree into its top.
func (s *subtree) leave(ctx context.Context, c *proto.Call, r *proto.Reply) error {
	if m := c.GetLookup(); m != nil && string(m.Name) == ".." && r.Attr.GetIno() != uint64(s.root) {
		if err := s.below(ctx, posix.Ino(r.Attr.GetIno())); err != nil {
			return err // the directory was moved away meanwhile
		}
	}
	for _, e := range r.Entries {
		if string(e.Name) != ".." {
			continue
		}
		if err := s.dotdot(ctx, c.GetReaddir(), e); err != nil {
			return err
		}
	}
	s.rename(r.Attr)
	s.rename(r.Opened.GetAttr())
	for _, d := range r.Dirs {
		s.rename(d)
	}
	for _, e := range r.Entries {
		s.rename(e.Attr)
	}
	return nil
}

// dotdot sees to the entry ".." of a listing.
func (s *subtree) dotdot(ctx context.Context, m *proto.Readdir, e *proto.Dirent) error {
	switch {
	case posix.Ino(m.GetDir()) == s.root:
		a, err := s.tree.As(posix.Cred{Super: true}).Getattr(ctx, s.root)
		if err != nil {
			return err
		}
		if !m.Plus { // as every other entry then
			a = posix.Attr{Ino: a.Ino, Mode: a.Mode.Type()}
		}
		e.Attr = proto.ToAttr(a)
	case e.Attr.GetIno() != uint64(s.root):
		return s.below(ctx, posix.Ino(e.Attr.GetIno()))
	}
	return nil
}

func (s *subtree) rename(a *proto.Attr) {
	if a != nil && a.Ino == uint64(s.root) {
		a.Ino = uint64(posix.RootIno)
	}
}

// seen adds to a recall what the session may be told of c.
func (t *talk) seen(r *proto.Recall, c namespace.Change) {
	if g := t.gate.Load(); g != nil && g.in != nil {
		told, everything := g.in.seen(t.ctx, c)
		c = told
		if everything {
			r.Everything = true
		}
		if c == (namespace.Change{}) {
			return
		}
	}
	r.Changes = append(r.Changes, &proto.Change{Ino: uint64(c.Ino), Dir: uint64(c.Dir), Name: []byte(c.Name)})
}

// seen is what the session is told of c: the name where its directory is below,
// the inode where that is; the zero Change is nothing. Of an inode that is gone
// nobody can say where it was: its bare number is told.
//
// What changes in a directory while it is elsewhere is not told, and a cache may
// hold it from before. So when a directory crosses the border, either way, the
// session is told to forget everything. A crossing is a name inside for what is
// now outside, or the other way round: this is looked at after the fact, but a
// directory that has gone and come back has lost a name outside too.
func (s *subtree) seen(ctx context.Context, c namespace.Change) (told namespace.Change, everything bool) {
	below := func(ino posix.Ino) bool { return ino == s.root || s.below(ctx, ino) == nil }
	inside, named := below(c.Ino), c.Dir != 0 && below(c.Dir)
	a, err := s.tree.As(posix.Cred{Super: true}).Getattr(ctx, c.Ino)
	everything = err == nil && c.Dir != 0 && inside != named && a.Mode.IsDir() && c.Ino != s.root
	if !named {
		c.Dir, c.Name = 0, ""
	}
	if !named && !inside && err == nil {
		return namespace.Change{}, everything
	}
	for _, ino := range []*posix.Ino{&c.Ino, &c.Dir} {
		if *ino == s.root {
			*ino = posix.RootIno
		}
	}
	return c, everything
}
