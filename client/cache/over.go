package cache

import (
	"context"
	"strings"
	"time"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// view is a namespace that is asked only what the cache does not know. What it
// answers and what it changes passes through here and is noted.
type view struct {
	posix.Namespace
	c *Cache
}

var (
	_ posix.Now       = view{}
	_ posix.Soon      = view{}
	_ posix.Promising = view{}
)

// lockingView is a view of a namespace that has locks.
type lockingView struct {
	view
	posix.Locks
}

// Over answers ns with the cache before it, ns itself if c is nil. It is cheap.
func (c *Cache) Over(ns posix.Namespace) posix.Namespace {
	if c == nil {
		return ns
	}
	v := view{ns, c}
	if l, ok := ns.(posix.Locks); ok {
		return lockingView{v, l}
	}
	return v
}

// gone forgets an inode that the server does not know: whoever looks for it by
// its name once more must not be led to it again.
func (v view) gone(err error, inos ...posix.Ino) {
	if err == nil || posix.ErrnoOf(err) != posix.ESTALE {
		return
	}
	for _, ino := range inos {
		v.c.doubt(ino)
	}
}

func (v view) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	if name == "." || name == ".." {
		return v.Namespace.Lookup(ctx, dir, name)
	}
	if a, ok := v.c.lookup(dir, name); ok && a.Ino != 0 {
		return a, nil
	} else if ok {
		return a, posix.E("lookup", posix.ENOENT, nil)
	}
	mark := v.c.doubts.Mark()
	a, err := v.Namespace.Lookup(ctx, dir, name)
	switch {
	case err == nil:
		v.c.keepName(mark, dir, name, a)
	case posix.ErrnoOf(err) == posix.ENOENT:
		v.c.keepName(mark, dir, name, posix.Attr{})
	}
	v.gone(err, dir)
	return a, err
}

func (v view) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	if a, ok := v.c.attr(ino); ok {
		return a, nil
	}
	return v.GetattrNow(ctx, ino)
}

// GetattrNow passes the cache by, for who has reason to doubt.
func (v view) GetattrNow(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	mark := v.c.doubts.Mark()
	a, err := v.Namespace.Getattr(ctx, ino)
	if err == nil {
		v.c.keep(mark, a)
	}
	v.gone(err, ino)
	return a, err
}

// after notes what a change of ino has made of it.
func (v view) after(m marks, ino posix.Ino, a posix.Attr, err error) {
	if err != nil {
		v.c.doubt(ino) // it may have happened
		return
	}
	v.c.changed(m, a)
}

func (v view) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	m := v.c.mark()
	a, err := v.Namespace.Setattr(ctx, ino, set)
	v.after(m, ino, a, err)
	return a, err
}

// change is one of the entries of directories, about to be made through ns,
// which then tells dirs.
type change struct {
	marks
	ns   posix.Namespace
	dirs []posix.Attr
}

// teller is a namespace that can tell which directories a change of entries has
// changed, and how they are after it.
type teller interface {
	Telling(dirs *[]posix.Attr) posix.Namespace
}

func (v view) change() *change {
	c := &change{marks: v.c.mark(), ns: v.Namespace}
	if t, ok := v.Namespace.(teller); ok {
		c.ns = t.Telling(&c.dirs)
	}
	return c
}

// named notes what came of giving an inode a name.
func (v view) named(c *change, dir posix.Ino, name string, a posix.Attr, err error) {
	if err != nil {
		v.c.unnamed(dir, name)
		v.gone(err, dir)
		return
	}
	v.c.made(c.marks, dir, name, a, c.dirs)
}

func (v view) Mkdir(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode) (posix.Attr, error) {
	c := v.change()
	a, err := c.ns.Mkdir(ctx, dir, name, mode, umask)
	v.named(c, dir, name, a, err)
	return a, err
}

func (v view) Mknod(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, rdev uint32) (posix.Attr, error) {
	c := v.change()
	a, err := c.ns.Mknod(ctx, dir, name, mode, umask, rdev)
	v.named(c, dir, name, a, err)
	return a, err
}

func (v view) Symlink(ctx context.Context, dir posix.Ino, name, target string) (posix.Attr, error) {
	c := v.change()
	a, err := c.ns.Symlink(ctx, dir, name, target)
	v.named(c, dir, name, a, err)
	return a, err
}

func (v view) Link(ctx context.Context, ino, dir posix.Ino, name string) (posix.Attr, error) {
	c := v.change()
	a, err := c.ns.Link(ctx, ino, dir, name)
	v.named(c, dir, name, a, err)
	if err != nil {
		v.c.doubt(ino)
	}
	return a, err
}

func (v view) Unlink(ctx context.Context, dir posix.Ino, name string) error {
	c := v.change()
	err := c.ns.Unlink(ctx, dir, name)
	v.c.unmade(c.marks, dir, name, c.dirs, err)
	return err
}

func (v view) Rmdir(ctx context.Context, dir posix.Ino, name string) error {
	c := v.change()
	err := c.ns.Rmdir(ctx, dir, name)
	v.c.unmade(c.marks, dir, name, c.dirs, err)
	return err
}

func (v view) Rename(ctx context.Context, from posix.Ino, name string, to posix.Ino, newName string, flags posix.RenameFlags) error {
	c := v.change()
	err := c.ns.Rename(ctx, from, name, to, newName, flags)
	v.c.renamed(c.marks, key{from, name}, key{to, newName}, flags, c.dirs, err)
	return err
}

// Readdir asks for attributes in any case: who lists names looks at them next,
// and each look would be a question.
func (v view) Readdir(ctx context.Context, dir posix.Ino, h posix.Handle, from posix.Cookie, limit int, _ bool) ([]posix.Dirent, error) {
	mark := v.c.doubts.Mark()
	entries, err := v.Namespace.Readdir(ctx, dir, h, from, limit, true)
	v.c.listed(mark, dir, entries)
	return entries, err
}

func (v view) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	c := v.change()
	o, err := c.ns.Create(ctx, dir, name, mode, umask, h, flags)
	v.named(c, dir, name, o.Attr, err)
	return o, err
}

func (v view) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	m := v.c.mark()
	o, err := v.Namespace.Open(ctx, ino, h, flags)
	switch {
	case flags&posix.OpenTrunc != 0:
		v.after(m, ino, o.Attr, err)
	case err == nil:
		v.c.keep(m.doubts, o.Attr)
	}
	v.gone(err, ino)
	return o, err
}

// Commit, Allocate and CopyRange name a handle: of which inode is in the
// answer. One that failed may have happened; whose it was is not known.
func (v view) Commit(ctx context.Context, h posix.Handle, c posix.Commit) (posix.Attr, error) {
	m := v.c.mark()
	a, err := v.Namespace.Commit(ctx, h, c)
	v.written(m, a, err)
	return a, err
}

func (v view) Allocate(ctx context.Context, h posix.Handle, mode posix.AllocMode, off, length uint64) (posix.Attr, error) {
	m := v.c.mark()
	a, err := v.Namespace.Allocate(ctx, h, mode, off, length)
	v.written(m, a, err)
	return a, err
}

func (v view) CopyRange(ctx context.Context, from posix.Handle, off uint64, to posix.Handle, toOff, length uint64) (uint64, posix.Attr, error) {
	m := v.c.mark()
	n, a, err := v.Namespace.CopyRange(ctx, from, off, to, toOff, length)
	v.written(m, a, err)
	return n, a, err
}

func (v view) written(m marks, a posix.Attr, err error) {
	if err != nil {
		v.c.doubtInodes()
		return
	}
	v.c.changed(m, a)
}

// Getxattr knows of most inodes that they have no ACL: ls -l asks for each, and
// the kernel before it judges for another than the owner. It remembers which
// attributes of class security, that everyone may read, are not there: ls -l
// asks of each inode for one, too.
func (v view) Getxattr(ctx context.Context, ino posix.Ino, name string) ([]byte, error) {
	if name == acl.XattrAccess || name == acl.XattrDefault {
		if a, ok := v.c.attr(ino); ok && a.NoACL && !a.Mode.IsLink() {
			return nil, posix.E("getxattr", posix.ENODATA, nil)
		}
	}
	if !strings.HasPrefix(name, "security.") {
		return v.Namespace.Getxattr(ctx, ino, name)
	}
	if v.c.lacksXattr(ino, name) {
		return nil, posix.E("getxattr", posix.ENODATA, nil)
	}
	mark := v.c.doubts.Mark()
	value, err := v.Namespace.Getxattr(ctx, ino, name)
	if err != nil && posix.ErrnoOf(err) == posix.ENODATA {
		v.c.keepLack(mark, ino, name)
	}
	return value, err
}

// Promised and Reopened pass it on.
func (v view) Promised(ctx context.Context) (caller any, age time.Duration) {
	return posix.Promised(ctx, v.Namespace)
}

func (v view) Reopened(ctx context.Context, h posix.Handle) { posix.Reopened(ctx, v.Namespace, h) }

// CloseSoon passes it on: there is nothing to note.
func (v view) CloseSoon(h posix.Handle) { _ = posix.CloseSoon(context.Background(), v.Namespace, h) }

func (v view) Setxattr(ctx context.Context, ino posix.Ino, name string, value []byte, flags posix.XattrFlags) error {
	err := v.Namespace.Setxattr(ctx, ino, name, value, flags)
	v.c.doubt(ino)
	return err
}

func (v view) Removexattr(ctx context.Context, ino posix.Ino, name string) error {
	err := v.Namespace.Removexattr(ctx, ino, name)
	v.c.doubt(ino)
	return err
}
