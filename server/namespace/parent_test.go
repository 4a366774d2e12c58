package namespace

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

func TestUnderAndPath(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	dir := func(d posix.Ino, name string) posix.Ino {
		a, err := v.Mkdir(ctx, d, name, 0o755, 0)
		ok(t, err)
		return a.Ino
	}
	a := dir(1, "a")
	b := dir(a, "b")
	c := dir(1, "c")
	o, err := v.Create(ctx, b, "f", 0o644, 0, 1, posix.OpenWrite)
	ok(t, err)
	f := o.Attr.Ino
	o, err = v.Tmpfile(ctx, c, 0o644, 0, 2, posix.OpenWrite)
	ok(t, err)
	tmp := o.Attr.Ino
	under := func(what string, ino posix.Ino, dirs ...posix.Ino) {
		t.Helper()
		for _, d := range []posix.Ino{1, a, b, c} {
			for range 2 { // from the engine, and from what is remembered
				got, err := tr.Under(ctx, ino, d)
				ok(t, err)
				if got != slices.Contains(dirs, d) {
					t.Errorf("%s: inode %d below %d: %v", what, ino, d, got)
				}
			}
		}
	}
	path := func(ino posix.Ino, want ...string) {
		t.Helper()
		for range 2 {
			got, err := tr.Path(ctx, ino)
			if err != nil || !slices.Contains(want, got) {
				t.Errorf("inode %d is %q %v, want one of %q", ino, got, err, want)
			}
		}
	}
	under("root", 1, 1)
	under("directory", b, 1, a, b)
	under("file", f, 1, a, b)
	under("nameless", tmp)
	path(1, "/")
	path(b, "/a/b")
	path(f, "/a/b/f")
	_, err = tr.Path(ctx, tmp)
	no(t, posix.ENOENT, err)

	_, err = v.Link(ctx, f, c, "g")
	ok(t, err)
	_, err = v.Link(ctx, f, c, "h")
	ok(t, err)
	under("linked", f, 1, a, b, c)
	path(f, "/a/b/f", "/c/g", "/c/h")
	ok(t, v.Unlink(ctx, b, "f"))
	under("two names in one directory", f, 1, c)
	path(f, "/c/g", "/c/h")
	ok(t, v.Unlink(ctx, c, "g"))
	path(f, "/c/h")
	ok(t, v.Rename(ctx, c, "h", b, "f", posix.RenameNoReplace))
	under("moved", f, 1, a, b)

	ok(t, v.Rename(ctx, a, "b", c, "b2", 0))
	under("below what was moved", f, 1, b, c)
	path(f, "/c/b2/f")
	ok(t, v.Rename(ctx, 1, "a", c, "b2", posix.RenameExchange))
	under("below what was exchanged", f, 1, b)
	path(a, "/c/b2")
	path(f, "/a/f")
	_, err = v.Link(ctx, tmp, a, "named")
	ok(t, err)
	under("nameless no more", tmp, 1, a, c)

	ok(t, v.Unlink(ctx, b, "f"))
	under("unlinked and open", f)
	path(b, "/a")
	_, err = v.Open(ctx, b, 3, posix.OpenDir)
	ok(t, err)
	ok(t, v.Rmdir(ctx, 1, "a"))
	under("removed and open", b, b)
	_, err = tr.Path(ctx, b)
	no(t, posix.ENOENT, err)
	_, err = tr.Under(ctx, 999, 1)
	no(t, posix.ESTALE, err)
	settled(t, tr)
}

// Names come and go at random, and each inode knows where it is: Fsck compares.
func TestPlacesAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		tr := open(t, twice{mem.New()}, Config{})
		tr.step = 3
		v, ctx := tr.As(super).In(1), t.Context()
		r := rand.New(rand.NewPCG(seed, 7))
		dirs := []posix.Ino{1}
		var inos []posix.Ino
		for i := range 300 {
			d, e := dirs[r.IntN(len(dirs))], dirs[r.IntN(len(dirs))]
			n, m := string(rune('a'+r.IntN(6))), string(rune('a'+r.IntN(6)))
			switch r.IntN(9) {
			case 0:
				if a, err := v.Mkdir(ctx, d, n, 0o755, 0); err == nil {
					dirs = append(dirs, a.Ino)
				}
			case 1, 2:
				if a, err := v.Mknod(ctx, d, n, 0o644, 0, 0); err == nil {
					inos = append(inos, a.Ino)
				}
			case 3, 4:
				if len(inos) > 0 {
					_, _ = v.Link(ctx, inos[r.IntN(len(inos))], d, n)
				}
			case 5:
				_ = v.Unlink(ctx, d, n)
			case 6:
				_ = v.Rmdir(ctx, d, n)
			default:
				_ = v.Rename(ctx, d, n, e, m, posix.RenameFlags(r.IntN(3)))
			}
			if i%20 == 0 {
				well(t, tr)
				comparePaths(t, tr)
			}
		}
		settled(t, tr)
	}
}

// comparePaths walks the tree and compares each path with what Path answers.
func comparePaths(t *testing.T, tr *Tree) {
	t.Helper()
	v, ctx := tr.As(super), t.Context()
	names := map[posix.Ino][]string{}
	var walk func(d posix.Ino, at string)
	walk = func(d posix.Ino, at string) {
		list, err := v.Readdir(ctx, d, 0, 0, 100, true)
		ok(t, err)
		for _, e := range list {
			if dots(e.Name) {
				continue
			}
			names[e.Attr.Ino] = append(names[e.Attr.Ino], at+"/"+e.Name)
			if e.Attr.Mode.IsDir() {
				walk(e.Attr.Ino, at+"/"+e.Name)
			}
		}
	}
	walk(1, "")
	inos := append(slices.Collect(maps.Keys(names)), 1<<40) // and one that is not there
	for i, got := range tr.Paths(ctx, inos) {
		if paths := names[inos[i]]; paths == nil && got != "" || paths != nil && !slices.Contains(paths, got) {
			t.Fatalf("inode %d is %q among others, want one of %q", inos[i], got, paths)
		}
	}
	for ino, paths := range names {
		if got, err := tr.Path(ctx, ino); err != nil || !slices.Contains(paths, got) {
			t.Fatalf("inode %d is %q %v, want one of %q", ino, got, err, paths)
		}
		for dir, above := range names {
			want := slices.ContainsFunc(paths, func(p string) bool {
				return p == above[0] || strings.HasPrefix(p, above[0]+"/")
			})
			if got, err := tr.Under(ctx, ino, dir); err != nil || got != (want || ino == dir) {
				t.Fatalf("inode %d, %q, below %q: %v %v", ino, paths, above, got, err)
			}
		}
	}
}

// late gives others a chance between a commit and the return of Update.
type late struct{ engine.Engine }

func (e late) Update(ctx context.Context, f func(engine.Tx) error) error {
	defer func() {
		for range 10 {
			runtime.Gosched()
		}
	}()
	return e.Engine.Update(ctx, f)
}

// No mixture of old and new is ever answered: b is never below d, though it is
// in a before, and a in d afterwards; q never leaves d.
func TestUnderWhileMoving(t *testing.T) {
	tr := open(t, late{mem.New()}, Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	dir := func(d posix.Ino, name string) posix.Ino {
		a, err := v.Mkdir(ctx, d, name, 0o755, 0)
		ok(t, err)
		return a.Ino
	}
	d, a, e := dir(1, "d"), dir(1, "a"), dir(1, "e")
	b := dir(a, "b")
	x, err := v.Mknod(ctx, b, "x", 0o644, 0, 0)
	ok(t, err)
	s, s2 := dir(d, "s"), dir(d, "s2")
	q := dir(s, "q")
	y := dir(dir(q, "deep"), "y")

	var over atomic.Bool
	var movers, readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !over.Load() {
				if under, err := tr.Under(ctx, x.Ino, d); under || err != nil {
					t.Errorf("x below d: %v %v", under, err)
				}
				if under, err := tr.Under(ctx, y, d); !under || err != nil {
					t.Errorf("y below d: %v %v", under, err)
				}
				if p, err := tr.Path(ctx, x.Ino); err != nil || p != "/a/b/x" && p != "/e/b/x" {
					t.Errorf("x is %q %v", p, err)
				}
				if p, err := tr.Path(ctx, y); err != nil || p != "/d/s/q/deep/y" && p != "/d/s2/q/deep/y" {
					t.Errorf("y is %q %v", p, err)
				}
			}
		})
	}
	rounds := 300
	movers.Go(func() {
		for range rounds {
			ok(t, v.Rename(ctx, a, "b", e, "b", 0))
			ok(t, v.Rename(ctx, 1, "a", d, "a", 0))
			ok(t, v.Rename(ctx, d, "a", 1, "a", 0))
			ok(t, v.Rename(ctx, e, "b", a, "b", 0))
		}
	})
	movers.Go(func() {
		for range rounds {
			ok(t, v.Rename(ctx, s, "q", s2, "q", 0))
			ok(t, v.Rename(ctx, s2, "q", s, "q", 0))
		}
	})
	movers.Wait()
	over.Store(true)
	readers.Wait()
	if len(tr.dirs.moves) != 0 {
		t.Errorf("moves under way: %v", tr.dirs.moves)
	}
	well(t, tr)
}

// What is remembered stays within its bounds, and what is used stays.
func TestDirsBound(t *testing.T) {
	d := newDirs()
	for i := range posix.Ino(3 * dirsMost) {
		d.put(i+2, edge{1, "n"}, d.now())
		if _, ok := d.get(2, d.now()); !ok {
			t.Fatal("forgot what is in use")
		}
		if n := len(d.young) + len(d.old); n > dirsMost {
			t.Fatalf("remembers %d", n)
		}
	}
}

// downgrade makes of a namespace what format 1 had.
func downgrade(t *testing.T, e engine.Engine) {
	t.Helper()
	ok(t, e.Update(t.Context(), func(tx engine.Tx) error {
		put := map[string][]byte{string(metaFormat): {1}}
		err := tx.Scan([]byte{keyInode}, []byte{keyInode + 1}, func(k, v []byte) bool {
			n, err := decodeInode(posix.Ino(first(k)), v)
			ok(t, err)
			n.place = 0
			if !n.Mode.IsDir() {
				n.parent = 0
			}
			put[string(k)] = n.encode()
			return true
		})
		ok(t, err)
		for k, v := range put {
			tx.Put([]byte(k), v)
		}
		var links [][]byte
		err = tx.Scan([]byte{keyLink}, []byte{keyLink + 1}, func(k, _ []byte) bool {
			links = append(links, slices.Clone(k))
			return true
		})
		for _, k := range links {
			tx.Delete(k)
		}
		return err
	}))
}

// A namespace of format 1 gets its places, also when the upgrade is cut short
// after any step.
func TestUpgradePlacesNames(t *testing.T) {
	for stop := range 13 {
		e := mem.New()
		tr := open(t, e, Config{})
		v, ctx := tr.As(super).In(1), t.Context()
		want := map[posix.Ino]string{}
		for i := range 5 {
			d, err := v.Mkdir(ctx, 1, fmt.Sprint("d", i), 0o755, 0)
			ok(t, err)
			f, err := v.Mknod(ctx, d.Ino, "f", 0o644, 0, 0)
			ok(t, err)
			want[d.Ino], want[f.Ino] = fmt.Sprint("/d", i), fmt.Sprint("/d", i, "/f")
			_, err = v.Link(ctx, create(t, v, fmt.Sprint("l", i), posix.Handle(i+1)), d.Ino, "l")
			ok(t, err)
		}
		downgrade(t, e)
		half := &Tree{cfg: Config{}.withDefaults(), eng: e, step: 2}
		for range stop {
			ok(t, e.Update(ctx, func(tx engine.Tx) error {
				was, err := formatOf(tx)
				ok(t, err)
				_, err = half.upgradeStep(tx, was)
				return err
			}))
		}
		tr = open(t, e, Config{})
		well(t, tr)
		for ino, path := range want {
			if got, err := tr.Path(ctx, ino); err != nil || got != path {
				t.Errorf("stopped after %d steps: inode %d is %q %v, want %q", stop, ino, got, err, path)
			}
		}
		settled(t, tr)
	}
}

// Damage is found and not followed for ever.
func TestPathOfDamage(t *testing.T) {
	tr := open(t, mem.New(), Config{})
	v, ctx := tr.As(super).In(1), t.Context()
	a, err := v.Mkdir(ctx, 1, "a", 0o755, 0)
	ok(t, err)
	b, err := v.Mkdir(ctx, a.Ino, "b", 0o755, 0)
	ok(t, err)
	ok(t, tr.eng.Update(ctx, func(tx engine.Tx) error { // a in b
		n := &inode{Attr: a, parent: b.Ino, place: tr.hash("a")}
		n.Nlink = 3
		tx.Put(inodeKey(a.Ino), n.encode())
		tx.Put(entryKey(b.Ino, n.place, "a"), entry{a.Ino, posix.TypeDir}.encode())
		return nil
	}))
	for range 3 {
		_, err = tr.Path(ctx, b.Ino)
		no(t, posix.EIO, err)
		_, err = tr.Under(ctx, b.Ino, 999)
		no(t, posix.EIO, err)
	}
}
