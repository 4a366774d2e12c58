package fuse

import (
	"context"
	"math"
	"sync"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// dirBatch is how many names are fetched ahead for a reader of names alone.
const dirBatch = 1024

// The bytes of one entry in a reply, beside its name and the padding to eight.
const (
	direntSize     = 24               // struct fuse_dirent
	direntPlusSize = 128 + direntSize // struct fuse_entry_out and fuse_dirent
	meanNameSize   = 16               // what a name takes, as long as nothing is known of a directory
	minPlusBatch   = 8
)

// openDir is a directory stream. Its place is the kernel's: each request
// comes with the cookie to go on from. The stream is the opener's.
type openDir struct {
	ino    posix.Ino
	handle posix.Handle

	mu     sync.Mutex
	caller *caller
	ns     posix.Namespace // the opener's, in whose session it is open
	// batch are names fetched ahead, the first of them following the cookie
	// from. Attributes are not kept: they would be older than the request
	// that answers them, and the kernel would believe them.
	from  posix.Cookie
	batch []posix.Dirent
	plus  int // the last plus batch's mean bytes for an entry; 0 before
	// end is the last entry's cookie if there was none behind it when it was
	// read. The kernel asks once more, to hear just that.
	end posix.Cookie
}

func (d *openDir) Ino() posix.Ino { return d.ino }

// dirHandles sets the handles of directories apart from those of files, whose
// numbers the file package counts up from one.
const dirHandles = 1 << 63

// OpenDir opens the directory on the server too, so that it is there for who
// has it open when its name is gone.
func (s *server) OpenDir(cancel <-chan struct{}, in *raw.OpenIn, out *raw.OpenOut) raw.Status {
	c := s.caller(in.Uid, in.Gid, in.Pid)
	return s.answer("opendir", &in.InHeader, cancel, func(ctx context.Context) error {
		d := &openDir{ino: posix.Ino(in.NodeId), caller: c}
		fh := s.dirs.add(d)
		d.handle = posix.Handle(dirHandles | fh)
		err := s.as(c, false, func(ns posix.Namespace) error {
			o, err := ns.Open(ctx, d.ino, d.handle, posix.OpenRead|posix.OpenDir)
			if err == nil {
				out.OpenFlags |= s.listings.open(d.ino, fh, o.Attr.Change)
			}
			d.ns = ns
			return err
		})
		if err != nil {
			s.dirs.remove(fh)
			return err
		}
		out.Fh = fh
		return nil
	})
}

func (s *server) ReleaseDir(in *raw.ReleaseIn) {
	s.answer("releasedir", &in.InHeader, nil, func(ctx context.Context) error {
		d, ok := s.dirs.remove(in.Fh)
		if !ok {
			return posix.E("releasedir", posix.EBADF, nil)
		}
		s.listings.release(d.ino, in.Fh)
		return posix.CloseSoon(ctx, d.ns, d.handle)
	})
}

// FsyncDir has nothing to do: a change of a directory is durable when it is
// answered.
func (s *server) FsyncDir(cancel <-chan struct{}, in *raw.FsyncIn) raw.Status {
	return s.answer("fsyncdir", &in.InHeader, cancel, func(context.Context) error {
		_, err := s.dirs.get(in.Fh, in.NodeId)
		return err
	})
}

// ReadDir answers names from the cookie on, as many as have room.
func (s *server) ReadDir(cancel <-chan struct{}, in *raw.ReadIn, out *raw.DirEntryList) raw.Status {
	return s.readDir("readdir", cancel, in, func(ctx context.Context, d *openDir) error {
		entries, err := d.names(ctx, s, posix.Cookie(in.Offset))
		if err != nil {
			return err
		}
		return pack(entries, func(e raw.DirEntry, _ posix.Attr) bool { return out.AddDirEntry(e) })
	})
}

// ReadDirPlus answers names and attributes, as Lookup would. The dots count
// for nothing there and carry none.
func (s *server) ReadDirPlus(cancel <-chan struct{}, in *raw.ReadIn, out *raw.DirEntryList) raw.Status {
	return s.readDir("readdirplus", cancel, in, func(ctx context.Context, d *openDir) error {
		q := s.question()
		entries, err := d.entries(ctx, s, posix.Cookie(in.Offset), int(in.Size))
		if err != nil {
			return err
		}
		return pack(entries, func(e raw.DirEntry, a posix.Attr) bool {
			entry := out.AddDirLookupEntry(e)
			if entry != nil && e.Name != "." && e.Name != ".." {
				q.entry(d.ino, e.Name, a, entry)
			}
			return entry != nil
		})
	})
}

func (s *server) readDir(op string, cancel <-chan struct{}, in *raw.ReadIn, f func(context.Context, *openDir) error) raw.Status {
	return s.answer(op, &in.InHeader, cancel, func(ctx context.Context) error {
		d, err := s.dirs.get(in.Fh, in.NodeId)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return f(ctx, d)
	})
}

// names answers what follows from, out of the batch if it is there. The
// beginning is always fetched: that is what rewinddir(3) promises.
func (d *openDir) names(ctx context.Context, s *server, from posix.Cookie) ([]posix.Dirent, error) {
	if rest := d.after(from); from != 0 && len(rest) > 0 {
		return rest, nil
	}
	if d.ended(from) {
		return nil, nil
	}
	entries, err := d.fetch(ctx, s, from, dirBatch, false)
	if err != nil {
		return nil, err
	}
	d.from, d.batch = from, entries
	return entries, nil
}

// after is the rest of the batch behind a cookie.
func (d *openDir) after(from posix.Cookie) []posix.Dirent {
	if from == d.from {
		return d.batch
	}
	for i := range d.batch {
		if d.batch[i].Next == from {
			return d.batch[i+1:]
		}
	}
	return nil
}

// entries answers what follows from with attributes: about as many as a reply
// of size bytes has room for, because what is left over is fetched again.
func (d *openDir) entries(ctx context.Context, s *server, from posix.Cookie, size int) ([]posix.Dirent, error) {
	d.batch = nil
	if d.ended(from) {
		return nil, nil
	}
	each := d.plus
	if each == 0 {
		each = direntPlusSize + meanNameSize
	}
	entries, err := d.fetch(ctx, s, from, max(size/each, minPlusBatch), true)
	if len(entries) == 0 {
		return nil, err
	}
	sum := 0
	for i := range entries {
		sum += direntPlusSize + (len(entries[i].Name)+7)&^7
	}
	d.plus = sum / len(entries)
	return entries, nil
}

// ended reports whether nothing follows from, as was found when that was read. It
// is for the next question alone: who asks again later wants to know anew.
func (d *openDir) ended(from posix.Cookie) bool {
	is := from != 0 && from == d.end
	d.end = 0
	return is
}

func (d *openDir) fetch(ctx context.Context, s *server, from posix.Cookie, n int, plus bool) (entries []posix.Dirent, err error) {
	n = min(n, posix.ReaddirMax)
	entries, err = s.over(d.ns).Readdir(ctx, d.ino, d.handle, from, n, plus)
	if err != nil && refused(err) && d.caller.widen() {
		d.ns = s.As(d.caller.cred)
		entries, err = s.over(d.ns).Readdir(ctx, d.ino, d.handle, from, n, plus)
	}
	if err == nil && len(entries) > 0 && len(entries) < n {
		d.end = entries[len(entries)-1].Next
	}
	return entries, err
}

// pack gives add the entries until it has no room. A reply without entries is
// the end of the directory, so that one entry without room is EINVAL.
func pack(entries []posix.Dirent, add func(raw.DirEntry, posix.Attr) bool) error {
	for i, e := range entries {
		if e.Next == 0 || e.Next > math.MaxInt64 { // d_off is signed, and 0 the beginning
			return posix.E("readdir", posix.EOVERFLOW, nil)
		}
		if !add(raw.DirEntry{Name: e.Name, Ino: uint64(e.Attr.Ino), Mode: uint32(e.Attr.Mode), Off: uint64(e.Next)}, e.Attr) {
			if i == 0 {
				return posix.E("readdir", posix.EINVAL, nil)
			}
			return nil
		}
	}
	return nil
}
