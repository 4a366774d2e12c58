package file

import (
	"context"
	"math"

	"github.com/wardfs/wardfs/posix"
)

// over is a namespace in which what is buffered here shows.
type over struct {
	posix.Namespace
	f *Files
}

// Over answers ns with what is buffered here showing in the attributes, and
// with changes of size and times in their right order among buffered writes.
func (f *Files) Over(ns posix.Namespace) posix.Namespace { return over{ns, f} }

// show answers a as this client sees it.
func (f *Files) show(a posix.Attr) posix.Attr {
	if !a.Mode.IsReg() {
		return a
	}
	i := f.find(a.Ino)
	if i == nil {
		return a
	}
	defer f.release(i)
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.show(i.adopt(a))
}

func (v over) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	defer v.f.enter()()
	a, err := v.Namespace.Lookup(ctx, dir, name)
	if err != nil {
		return a, err
	}
	return v.f.show(a), nil
}

func (v over) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	defer v.f.enter()()
	a, err := v.Namespace.Getattr(ctx, ino)
	if err != nil {
		return a, err
	}
	return v.f.show(a), nil
}

func (v over) Link(ctx context.Context, ino, dir posix.Ino, name string) (posix.Attr, error) {
	defer v.f.enter()()
	a, err := v.Namespace.Link(ctx, ino, dir, name)
	if err != nil {
		return a, err
	}
	return v.f.show(a), nil
}

func (v over) Readdir(ctx context.Context, dir posix.Ino, h posix.Handle, from posix.Cookie, max int, plus bool) ([]posix.Dirent, error) {
	defer v.f.enter()()
	entries, err := v.Namespace.Readdir(ctx, dir, h, from, max, plus)
	return v.f.showAll(entries, plus), err
}

// showAll shows entries that bear attributes as this client sees them.
func (f *Files) showAll(entries []posix.Dirent, plus bool) []posix.Dirent {
	if plus {
		for k := range entries {
			entries[k].Attr = f.show(entries[k].Attr)
		}
	}
	return entries
}

// Open and Create here are for those who need no data path; see Files.Open. So
// is Tmpfile, whose file nobody has anything buffered of.
func (v over) Open(ctx context.Context, ino posix.Ino, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	defer v.f.enter()()
	o, err := v.Namespace.Open(ctx, ino, h, flags)
	if err == nil {
		o.Attr = v.f.show(o.Attr)
	}
	return o, err
}

func (v over) Create(ctx context.Context, dir posix.Ino, name string, mode, umask posix.Mode, h posix.Handle, flags posix.OpenFlags) (posix.Opened, error) {
	defer v.f.enter()()
	o, err := v.Namespace.Create(ctx, dir, name, mode, umask, h, flags)
	if err == nil {
		o.Attr = v.f.show(o.Attr)
	}
	return o, err
}

// Setattr keeps three orders. A new size reaches the server between commits,
// and what is dirty beyond it goes when it is set. Times, modes and owners are
// set after what was written before is committed, for a commit sets mtime and
// may clear set-id bits. And what can't be committed now bears the time that
// was set, if it ever is.
func (v over) Setattr(ctx context.Context, ino posix.Ino, set posix.SetAttr) (posix.Attr, error) {
	i := v.f.find(ino)
	if i == nil {
		if set.Set&posix.SetSize == 0 {
			return v.Namespace.Setattr(ctx, ino, set)
		}
		i = v.f.hold(ino) // an open under way must notice
	}
	if afterWrites(set.Set) && i.unclean() {
		if err := i.kick(true, false).wait(ctx); err != nil && ctx.Err() != nil {
			v.f.release(i)
			return posix.Attr{}, as("setattr", err)
		}
	}
	return detach(ctx, v.f, "setattr", func(ctx context.Context) (posix.Attr, error) {
		defer v.f.release(i)
		return i.setattr(ctx, v.Namespace, set)
	}, nil)
}

// afterWrites reports whether what was written before must be committed first.
func afterWrites(set posix.SetMask) bool {
	const always = posix.SetMode | posix.SetOwner | posix.SetGroup | posix.SetMtime
	return set&always != 0 || set&(posix.SetMtimeNow|posix.SetSize) == posix.SetMtimeNow
}

func (i *inode) setattr(ctx context.Context, ns posix.Namespace, set posix.SetAttr) (posix.Attr, error) {
	if err := i.order.lock(ctx); err != nil {
		return posix.Attr{}, as("setattr", err)
	}
	defer i.order.unlock()
	defer i.hears() // who may open it now?
	if set.Set&posix.SetSize != 0 {
		i.pin(ctx)
	}
	a, err := ns.Setattr(ctx, i.ino, set)
	if err != nil {
		if set.Set&posix.SetSize != 0 {
			i.doubt()
		}
		return a, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if set.Set&posix.SetSize != 0 {
		i.cut(set.Size, math.MaxUint64)
	}
	i.adoptOwn(a, func(l *layout) {
		if set.Set&posix.SetSize != 0 {
			l.truncate(set.Size)
		}
	})
	if set.Set&(posix.SetSize|posix.SetMtime|posix.SetMtimeNow) != 0 {
		i.wrote = a.Mtime
	}
	return i.show(i.attr), nil
}

// Setxattr and Removexattr may change the ACL, and who may open the file.
func (v over) Setxattr(ctx context.Context, ino posix.Ino, name string, value []byte, flags posix.XattrFlags) error {
	defer v.f.hears(ino)
	return v.Namespace.Setxattr(ctx, ino, name, value, flags)
}

func (v over) Removexattr(ctx context.Context, ino posix.Ino, name string) error {
	defer v.f.hears(ino)
	return v.Namespace.Removexattr(ctx, ino, name)
}
