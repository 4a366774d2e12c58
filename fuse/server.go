package fuse

import (
	"context"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/client/cache"
	"github.com/wardfs/wardfs/posix"
)

// server answers the kernel. What it does not implement is answered ENOSYS by
// the embedded default, after which the kernel does it by itself or refuses it
// for good: ioctl with ENOTTY.
type server struct {
	raw.RawFileSystem
	Config

	files table[*openFile]
	dirs  table[*openDir]

	setid inoSet // may have a set-id bit; see the method see
	bare  inoSet // made here, still open, and without any xattr
	held  holders

	grants   grants
	listings listings
	doubts   cache.Doubts

	// settle returns when what the kernel was told to forget until now is
	// forgotten. Set before the first request.
	settle func()
	// outdated makes the kernel forget what it has of a file's bytes and size.
	// Set before the first request; never blocks.
	outdated func(posix.Ino)
	// mapsDirect says that the kernel can map a file that is open without its
	// page cache. Set before the first request.
	mapsDirect bool
}

func newServer(c Config) *server {
	s := &server{RawFileSystem: raw.NewDefaultRawFileSystem(), Config: c.fill(), settle: func() {}, outdated: func(posix.Ino) {}}
	s.grants.now, s.listings.now = time.Now, time.Now
	s.grants.period = max(s.Options.AttrTimeout, s.Options.EntryTimeout, s.Options.NegativeTimeout)
	s.listings.period = min(s.Options.AttrTimeout, s.Options.EntryTimeout)
	return s
}

func (s *server) String() string { return fsName }

// over is ns with what this mount has written and not yet committed showing.
func (s *server) over(ns posix.Namespace) posix.Namespace { return s.Files.Over(ns) }

// through is the namespace for an operation by ns's caller that names an open
// file: the opener's, where nobody else's knows it.
func (s *server) through(f *openFile, ns posix.Namespace) posix.Namespace {
	if s.PerCaller {
		return f.Namespace()
	}
	return ns
}

// meta is ask for an operation on metadata.
func (s *server) meta(op string, h *raw.InHeader, cancel <-chan struct{}, f func(context.Context, posix.Namespace) error) raw.Status {
	return s.ask(op, h, cancel, false, func(ctx context.Context, ns posix.Namespace) error { return f(ctx, s.over(ns)) })
}

// named is meta for an operation that makes or removes name. The kernel sends
// names up to 1024 bytes, and a hostile one sends anything.
func (s *server) named(op string, h *raw.InHeader, cancel <-chan struct{}, name string, groups bool, f func(context.Context, posix.Namespace) error) raw.Status {
	return s.ask(op, h, cancel, groups, func(ctx context.Context, ns posix.Namespace) error {
		if e := posix.CheckName(name); e != 0 {
			return posix.E(op, e, nil)
		}
		return f(ctx, s.over(ns))
	})
}

// Forget is the kernel dropping a node. Numbers are never reused, so there is
// nothing to count; only what is remembered of it is dropped.
func (s *server) Forget(node, _ uint64) {
	s.setid.remove(posix.Ino(node))
	s.bare.remove(posix.Ino(node))
	s.listings.forget(posix.Ino(node))
	s.Files.Forget(posix.Ino(node))
}

// OnUnmount closes what the kernel left open, as it does when the connection
// is cut. It is called after the last request.
func (s *server) OnUnmount() {
	for _, f := range s.files.drain() {
		if err := f.Close(context.Background()); err != nil {
			s.Log.Warn("close at unmount", "ino", f.Ino(), "err", err)
		}
	}
	s.dirs.drain()
}
