package posixtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/wardfs/wardfs/posix"
)

// all runs f n times at once and waits.
func all(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

// testRaceCreate: of many who make one name, one does.
func testRaceCreate(e *env) {
	for round := range 20 {
		name := fmt.Sprint(round)
		var made, failed atomic.Int32
		var inos sync.Map
		all(8, func(i int) {
			var err error
			switch i % 4 {
			case 0:
				_, err = e.root.Mkdir(e.ctx, 1, name, 0o755, 0)
			case 1:
				_, err = e.root.Symlink(e.ctx, 1, name, "x")
			default:
				_, err = e.root.Create(e.ctx, 1, name, 0o644, 0, e.handle(), rw|posix.OpenExcl)
			}
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, posix.EEXIST):
				failed.Add(1)
			default:
				e.Errorf("%d: %v", i, err)
			}
		})
		e.is("winners", made.Load(), int32(1))
		e.is("losers", failed.Load(), int32(7))

		// Without O_EXCL all of them open the same.
		all(8, func(int) {
			o, err := e.root.Create(e.ctx, 1, "same"+name, 0o644, 0, e.handle(), rw)
			if err != nil {
				e.Error(err)
			}
			inos.Store(o.Attr.Ino, true)
		})
		n := 0
		inos.Range(func(any, any) bool { n++; return true })
		e.is("inodes", n, 1)
	}
	dirs := uint32(0)
	for _, ino := range e.list(1, 100) {
		if e.attr(ino).Mode.IsDir() {
			dirs++
		}
	}
	e.is("links of root", e.attr(1).Nlink, 2+dirs)
}

// testRaceRename: renames of directories into each other never make a loop.
func testRaceRename(e *env) {
	const n = 4
	var d [n]posix.Ino
	names := [n]string{"a", "b", "c", "d"}
	for i, name := range names {
		d[i] = e.mkdir(1, name, 0o755)
	}
	all(n, func(i int) {
		for round := range 60 {
			j := (i + 1 + round%(n-1)) % n
			from := posix.Ino(1)
			if round%2 == 1 { // move it back to the top, wherever it is
				up, err := e.root.Lookup(e.ctx, d[i], "..")
				if err != nil {
					e.Error(err)
					return
				}
				if up.Ino != 1 {
					err = e.root.Rename(e.ctx, up.Ino, names[i], 1, names[i], 0)
				}
				if err != nil && !errors.Is(err, posix.ENOENT) && !errors.Is(err, posix.ENOTEMPTY) {
					e.Errorf("rename of %s to the top: %v", names[i], err)
				}
				continue
			}
			err := e.root.Rename(e.ctx, from, names[i], d[j], names[i], 0)
			if err != nil && !errors.Is(err, posix.ENOENT) && !errors.Is(err, posix.EINVAL) {
				e.Errorf("rename of %s into %s: %v", names[i], names[j], err)
			}
		}
	})
	for i := range d {
		ino, steps := d[i], 0
		for ; ino != 1; steps++ {
			up, err := e.root.Lookup(e.ctx, ino, "..")
			e.ok(err)
			if steps > n {
				e.Fatalf("directory %s is its own parent in the end", names[i])
			}
			ino = up.Ino
		}
	}
	// Each is to be found where its ".." says.
	for i := range d {
		up, err := e.root.Lookup(e.ctx, d[i], "..")
		e.ok(err)
		e.is(names[i], e.at(up.Ino, names[i]), d[i])
	}
}

// testRaceUnlinkOpen: an open that succeeded has a file, with its bytes, until
// it is closed.
func testRaceUnlinkOpen(e *env) {
	var opened atomic.Int32
	for round := range 50 {
		name := fmt.Sprint(round)
		f := e.mkfile(1, name, 0o644)
		if round%2 == 0 {
			h := e.open(f, wr)
			e.write(h, f, 0, 10)
			e.ok(e.root.Close(e.ctx, h))
		}
		e.mkfile(1, "over", 0o644)
		all(6, func(i int) {
			for range round % 8 { // the opens get ahead by so many calls
				if i == 0 {
					e.root.Getattr(e.ctx, 1)
				}
			}
			switch {
			case i == 0 && round%4 < 2:
				if err := e.root.Unlink(e.ctx, 1, name); err != nil {
					e.Error(err)
				}
				return
			case i == 0:
				if err := e.root.Rename(e.ctx, 1, "over", 1, name, 0); err != nil {
					e.Error(err)
				}
				return
			}
			h := e.handle()
			o, err := e.root.Open(e.ctx, f, h, rd)
			if errors.Is(err, posix.ESTALE) {
				return
			}
			if err != nil {
				e.Error(err)
				return
			}
			opened.Add(1)
			if _, err := e.root.Getattr(e.ctx, f); err != nil {
				e.Errorf("getattr of what is open: %v", err)
			}
			m, _, err := e.root.Layout(e.ctx, h, 0, 100)
			if err != nil || posix.Map(m).Covered(0, 100) != o.Attr.Size {
				e.Errorf("layout of what is open: %v %v", m, err)
			}
			e.root.Close(e.ctx, h)
		})
		e.root.Unlink(e.ctx, 1, "over")
	}
	if opened.Load() == 0 {
		e.Error("no open came before an unlink: the race was not run")
	}
}

// testRaceLinks: counts are right when many change them at once.
func testRaceLinks(e *env) {
	f := e.mkfile(1, "f", 0o644)
	d := e.mkdir(1, "d", 0o755)
	const n, each = 6, 20
	all(n, func(i int) {
		for k := range each {
			name := fmt.Sprint(i, " ", k)
			if _, err := e.root.Link(e.ctx, f, d, name); err != nil {
				e.Error(err)
			}
			if _, err := e.root.Mkdir(e.ctx, d, "d"+name, 0o755, 0); err != nil {
				e.Error(err)
			}
			if k%2 == 0 {
				if err := e.root.Unlink(e.ctx, d, name); err != nil {
					e.Error(err)
				}
				if err := e.root.Rmdir(e.ctx, d, "d"+name); err != nil {
					e.Error(err)
				}
			}
		}
	})
	e.is("links of the file", e.attr(f).Nlink, uint32(1+n*each/2))
	e.is("links of the directory", e.attr(d).Nlink, uint32(2+n*each/2))
	e.is("entries", len(e.list(d, 50)), n*each)
}
