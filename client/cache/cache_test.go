package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/namespace"
)

var root = posix.Cred{Super: true}

// server counts what it is asked.
type server struct {
	posix.Namespace
	asked int
	// between, if not nil, is run once after the next answer is made and
	// before it is given: the wire is slow.
	between func()
}

func (s *server) late() {
	s.asked++
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
}

func (s *server) Lookup(ctx context.Context, dir posix.Ino, name string) (posix.Attr, error) {
	defer s.late()
	return s.Namespace.Lookup(ctx, dir, name)
}

func (s *server) Getattr(ctx context.Context, ino posix.Ino) (posix.Attr, error) {
	defer s.late()
	return s.Namespace.Getattr(ctx, ino)
}

// Telling answers ns telling, and s no longer counts what it does.
func (s *server) Telling(dirs *[]posix.Attr) posix.Namespace {
	return s.Namespace.(namespace.View).Telling(dirs)
}

// world is a tree with a mount that has a cache, and another that has none.
type world struct {
	*server
	cache *Cache
	here  posix.Namespace
	there posix.Namespace
	now   time.Time
}

const here, there = 1, 2

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Unix(1e9, 0)}
	w.cache = New(Config{Now: func() time.Time { return w.now }})
	tree, err := namespace.Open(t.Context(), namespace.Config{Engine: mem.New(), Changed: func(c namespace.Change) {
		if c.By != here {
			w.cache.Forget([]posix.Change{{Ino: c.Ino, Dir: c.Dir, Name: c.Name}}, false)
		}
	}})
	must(t, err)
	w.server = &server{Namespace: tree.As(root).In(here)}
	w.here, w.there = w.cache.Over(w.server), tree.As(root).In(there)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asks wants f to ask the server n times.
func (w *world) asks(t *testing.T, what string, n int, f func()) {
	t.Helper()
	before := w.asked
	if f(); w.asked-before != n {
		t.Errorf("%s asked the server %d times, want %d", what, w.asked-before, n)
	}
}

func (w *world) lookup(t *testing.T, name string, want posix.Errno) posix.Attr {
	t.Helper()
	a, err := w.here.Lookup(t.Context(), posix.RootIno, name)
	if posix.ErrnoOf(err) != want {
		t.Errorf("lookup of %s: %v, want %v", name, err, want)
	}
	return a
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	made, err := w.here.Mkdir(ctx, posix.RootIno, "a", 0o755, 0)
	must(t, err)
	w.asks(t, "looking for what was made here", 0, func() {
		if a := w.lookup(t, "a", 0); a != made {
			t.Errorf("%+v, want %+v", a, made)
		}
	})
	w.asks(t, "what is not there", 1, func() { w.lookup(t, "b", posix.ENOENT) })
	w.asks(t, "what is still not there", 0, func() { w.lookup(t, "b", posix.ENOENT) })
	_, err = w.there.Mkdir(ctx, posix.RootIno, "b", 0o755, 0)
	must(t, err)
	w.asks(t, "what came from elsewhere", 1, func() { w.lookup(t, "b", 0) })
	_, err = w.there.Setattr(ctx, made.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o700})
	must(t, err)
	w.asks(t, "what was changed elsewhere", 1, func() {
		if a, err := w.here.Getattr(ctx, made.Ino); err != nil || a.Mode.Perm() != 0o700 {
			t.Errorf("mode %o, %v", a.Mode, err)
		}
	})
	w.asks(t, "the name of what was changed", 0, func() { w.lookup(t, "a", 0) })
	must(t, w.there.Rename(ctx, posix.RootIno, "a", posix.RootIno, "c", 0))
	w.asks(t, "what was renamed elsewhere", 2, func() { w.lookup(t, "a", posix.ENOENT); w.lookup(t, "c", 0) })
	must(t, w.here.Rmdir(ctx, posix.RootIno, "c"))
	w.asks(t, "what was removed here", 1, func() { w.lookup(t, "c", posix.ENOENT) })
	w.now = w.now.Add(time.Hour)
	w.asks(t, "after an hour", 1, func() { w.lookup(t, "c", posix.ENOENT) })
	w.cache.Forget(nil, true)
	w.asks(t, "after all was in doubt", 1, func() { w.lookup(t, "c", posix.ENOENT) })
}

// TestListing sees that who lists names has their attributes too.
func TestListing(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		_, err := w.there.Mkdir(t.Context(), posix.RootIno, fmt.Sprint(i), 0o755, 0)
		must(t, err)
	}
	entries, err := w.here.Readdir(t.Context(), posix.RootIno, 0, 0, 100, false)
	must(t, err)
	if len(entries) != 12 {
		t.Fatalf("%d entries", len(entries))
	}
	w.asks(t, "looking at what was listed", 0, func() {
		for i := range 10 {
			w.lookup(t, fmt.Sprint(i), 0)
		}
	})
}

// TestLateAnswer gives the answer after the word that it is not true any more.
func TestLateAnswer(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a, err := w.there.Mkdir(ctx, posix.RootIno, "a", 0o755, 0)
	must(t, err)
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"elsewhere", func() error {
			_, err := w.there.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o700})
			return err
		}},
		{"here", func() error {
			_, err := w.here.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o711})
			return err
		}},
	} {
		w.cache.Forget(nil, true)
		w.between = func() { must(t, c.change()) }
		w.lookup(t, "a", 0)
		now, err := w.there.Getattr(ctx, a.Ino)
		must(t, err)
		if got := w.lookup(t, "a", 0); got != now {
			t.Errorf("after a change %s: %+v, want %+v", c.what, got, now)
		}
	}
	w.cache.Forget(nil, true)
	w.between = func() { must(t, w.there.Rmdir(ctx, posix.RootIno, "a")) }
	w.lookup(t, "a", 0) // it was there when the question was asked
	w.lookup(t, "a", posix.ENOENT)
}

// TestStale sees that a name which leads nowhere is not followed twice.
func TestStale(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a, err := w.here.Mkdir(ctx, posix.RootIno, "a", 0o755, 0)
	must(t, err)
	forgotten := w.cache
	w.cache = New(Config{}) // the word of the change does not arrive
	must(t, w.there.Rmdir(ctx, posix.RootIno, "a"))
	w.cache = forgotten
	if _, err := w.here.Open(ctx, a.Ino, 1, posix.OpenRead|posix.OpenDir); posix.ErrnoOf(err) != posix.ESTALE {
		t.Fatalf("open of what is gone: %v", err)
	}
	w.lookup(t, "a", posix.ENOENT)
}

// agree wants the mount to answer what the tree does, of a directory and of a
// name in it.
func (w *world) agree(t *testing.T, dir posix.Ino, name string) {
	t.Helper()
	got, gotErr := w.here.Lookup(t.Context(), dir, name)
	want, wantErr := w.there.Lookup(t.Context(), dir, name)
	if a := w.attr(t, dir); a.Nlink > 0 && (posix.ErrnoOf(gotErr) != posix.ErrnoOf(wantErr) || got != want) {
		t.Fatalf("%s in %d: %+v %v, want %+v %v", name, dir, got, gotErr, want, wantErr)
	}
	a, err := w.here.Getattr(t.Context(), dir)
	if b := w.attr(t, dir); err == nil && a != b {
		t.Fatalf("directory %d: %+v, want %+v", dir, a, b)
	}
}

// attr is what the tree says; of what is gone, nothing.
func (w *world) attr(t *testing.T, ino posix.Ino) posix.Attr {
	a, _ := w.there.Getattr(t.Context(), ino)
	return a
}

// TestModel does at random what two mounts do, and compares each answer with
// the tree's.
func TestModel(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(1, 2))
	name := func() string { return fmt.Sprint(rng.IntN(6)) }
	whole := 0
	for range 10_000 {
		fs := w.here
		if rng.IntN(6) == 0 {
			fs = w.there
		}
		ino := func() posix.Ino {
			a, err := w.there.Lookup(ctx, posix.RootIno, name())
			if err != nil {
				return posix.RootIno
			}
			return a.Ino
		}
		dir := func() posix.Ino { // the root, or what may be a directory
			if rng.IntN(3) == 0 {
				return posix.RootIno
			}
			return ino()
		}
		at := dir()
		switch rng.IntN(10) {
		case 0:
			fs.Mkdir(ctx, at, name(), 0o755, 0)
		case 1:
			fs.Mknod(ctx, at, name(), posix.TypeFIFO|0o644, 0, 0)
		case 2:
			fs.Rename(ctx, dir(), name(), at, name(), posix.RenameFlags(rng.IntN(3)))
		case 3:
			fs.Unlink(ctx, at, name())
		case 4:
			fs.Rmdir(ctx, at, name())
		case 5:
			fs.Link(ctx, ino(), at, name())
		case 6:
			fs.Setattr(ctx, ino(), posix.SetAttr{Set: posix.SetMode, Mode: posix.Mode(rng.IntN(0o1000))})
		case 7:
			fs.Setxattr(ctx, ino(), "user.a", []byte(name()), 0)
			if at := ino(); rng.IntN(2) == 0 {
				fs.Setxattr(ctx, at, "security.a", []byte(name()), 0)
			} else {
				fs.Removexattr(ctx, at, "security.a")
			}
		case 8:
			l := acl.FromMode(0o640) // says no more than the mode
			if rng.IntN(2) == 0 {
				l = append(l[:2:2], acl.Entry{Tag: acl.Mask, Perm: posix.Perm(rng.IntN(8))}, l[2])
			}
			fs.Setxattr(ctx, ino(), acl.XattrAccess, acl.EncodeXattr(l), 0)
		case 9:
			fs.Readdir(ctx, at, 0, 0, 100, true)
		}
		w.sameXattr(t, ino(), acl.XattrAccess)
		for range 2 { // asked, and remembered
			w.sameXattr(t, ino(), "security.a")
		}
		for _, d := range []posix.Ino{posix.RootIno, at} {
			w.agree(t, d, name())
		}
		if w.cache.lacks(at) {
			whole++
		}
	}
	if whole == 0 {
		t.Error("of no directory was it known what is in it")
	}
	if s := w.cache.Stats(); s.Hits < s.Misses/10 {
		t.Errorf("%+v: nothing was tested", s)
	}
}

// sameXattr sees that this mount answers of an extended attribute what is so.
func (w *world) sameXattr(t *testing.T, ino posix.Ino, name string) {
	t.Helper()
	got, gotErr := w.here.Getxattr(t.Context(), ino, name)
	want, wantErr := w.there.Getxattr(t.Context(), ino, name)
	if posix.ErrnoOf(gotErr) != posix.ErrnoOf(wantErr) || !bytes.Equal(got, want) {
		t.Fatalf("%s of %d: %x %v, want %x %v", name, ino, got, gotErr, want, wantErr)
	}
}

// TestBound sees that the cache stays as small as it should.
func TestBound(t *testing.T) {
	c := New(Config{Most: 10})
	for i := range 1000 {
		c.keepName(c.doubts.Mark(), posix.RootIno, fmt.Sprint(i), posix.Attr{Ino: posix.Ino(i + 2), Nlink: 1})
		if s := c.Stats(); s.Inodes > 20 || s.Names > 20 {
			t.Fatalf("%+v after %d", s, i)
		}
		if _, ok := c.lookup(posix.RootIno, "0"); !ok {
			t.Fatalf("what is used always is gone after %d", i)
		}
	}
}

// TestDoubts has many who doubt and ask at once: what was doubted after the
// mark must be in doubt, and what nobody doubts soon is not.
func TestDoubts(t *testing.T) {
	var d Doubts
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 2000 {
				ino, mark := posix.Ino(i*2000+j), d.Mark()
				d.Inode(ino)
				d.Entry(ino, "a")
				if !d.InodeSince(mark, ino) || !d.EntrySince(mark, ino, "a") {
					t.Errorf("no doubt about %d", ino)
				}
			}
		})
	}
	work.Wait()
	mark := d.Mark()
	if d.InodeSince(mark, 7) || d.EntrySince(mark, 7, "a") {
		t.Error("a doubt from before the question")
	}
	d.All()
	if !d.InodeSince(mark, 7) || !d.EntrySince(mark, 7, "a") {
		t.Error("no doubt after a doubt of all")
	}
}

// TestWhole follows a directory that this mount made: what is not in it need
// not be asked, nor what it is after each change, until others touch it.
func TestWhole(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.here.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)
	lookup := func(name string, want posix.Errno) {
		t.Helper()
		if _, err := w.here.Lookup(ctx, d.Ino, name); posix.ErrnoOf(err) != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	w.asks(t, "making, moving and removing", 0, func() {
		for i := range 100 {
			name := fmt.Sprint(i)
			lookup(name, posix.ENOENT)
			_, err := w.here.Mknod(ctx, d.Ino, name, posix.TypeFIFO|0o600, 0, 0)
			must(t, err)
			lookup(name, 0)
			lookup(name+"r", posix.ENOENT)
			must(t, w.here.Rename(ctx, d.Ino, name, d.Ino, name+"r", 0))
			w.agree(t, d.Ino, name)
			must(t, w.here.Unlink(ctx, d.Ino, name+"r"))
			lookup(name+"r", posix.ENOENT)
			w.agree(t, d.Ino, name)
			w.now = w.now.Add(time.Second) // each answer says that the server is there
		}
	})
	_, err = w.there.Mknod(ctx, d.Ino, "theirs", posix.TypeFIFO|0o600, 0, 0)
	must(t, err)
	w.asks(t, "after another's change", 2, func() { lookup("theirs", 0); lookup("no", posix.ENOENT) })
	e, err := w.here.Mkdir(ctx, d.Ino, "e", 0o755, 0)
	must(t, err)
	d = e
	w.asks(t, "a fresh one", 0, func() { lookup("a", posix.ENOENT) })
	w.now = w.now.Add(time.Hour)
	w.asks(t, "after an hour", 1, func() { lookup("a", posix.ENOENT) })
}

// TestWholeWithoutRoom: names that had to go are not taken for absent.
func TestWholeWithoutRoom(t *testing.T) {
	w := newWorld(t)
	w.cache.names.most = 10
	ctx := t.Context()
	d, err := w.here.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
	must(t, err)
	for i := range 100 {
		_, err := w.here.Mknod(ctx, d.Ino, fmt.Sprint(i), posix.TypeFIFO|0o600, 0, 0)
		must(t, err)
	}
	for i := range 101 {
		w.agree(t, d.Ino, fmt.Sprint(i))
	}
}

// TestCrossing has many who change one directory through one mount at once.
// When all have their answers, what the mount believes is what is.
func TestCrossing(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(t)
		ctx := t.Context()
		d, err := w.here.Mkdir(ctx, posix.RootIno, "d", 0o755, 0)
		must(t, err)
		var hands sync.WaitGroup
		for hand := range uint64(4) {
			hands.Go(func() {
				rng := rand.New(rand.NewPCG(seed, hand))
				name := func() string { return fmt.Sprint(rng.IntN(3)) }
				for range 20 {
					switch rng.IntN(6) {
					case 0, 1:
						w.here.Mknod(ctx, d.Ino, name(), posix.TypeFIFO|0o600, 0, 0)
					case 2:
						w.here.Rename(ctx, d.Ino, name(), d.Ino, name(), 0)
					case 3, 4:
						w.here.Unlink(ctx, d.Ino, name())
					case 5:
						w.here.Setattr(ctx, d.Ino, posix.SetAttr{Set: posix.SetMode, Mode: posix.Mode(rng.IntN(0o1000))})
					}
				}
			})
		}
		hands.Wait()
		for i := range 3 {
			w.agree(t, d.Ino, fmt.Sprint(i))
		}
	}
}
