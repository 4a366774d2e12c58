package posixtest

import (
	"fmt"
	"sync"

	"github.com/wardfs/wardfs/posix"
)

func testReaddir(e *env) {
	d := e.mkdir(1, "d", 0o755)
	want := map[string]posix.Ino{}
	for i := range 100 {
		name := fmt.Sprintf("file %d", i)
		want[name] = e.mkfile(d, name, 0o640)
	}
	want["sub"] = e.mkdir(d, "sub", 0o750)
	for _, n := range []int{1, 2, 7, 102, 103, 1000} {
		got := e.list(d, n)
		e.is("entries", len(got), len(want))
		for name, ino := range want {
			e.is(name, got[name], ino)
		}
	}
	ents, err := e.root.Readdir(e.ctx, d, 0, 0, 1000, true)
	e.ok(err)
	e.is("first", ents[0].Name, ".")
	e.is("second", ents[1].Name, "..")
	e.is("up", ents[1].Attr.Ino, posix.Ino(1))
	for i, ent := range ents {
		e.is(ent.Name+": attributes", ent.Attr, e.attr(ent.Attr.Ino))
		rest, err := e.root.Readdir(e.ctx, d, 0, ent.Next, 1, false)
		e.ok(err)
		if i == len(ents)-1 {
			e.is("after the last", len(rest), 0)
		} else if len(rest) != 1 || rest[0].Name != ents[i+1].Name || rest[0].Attr.Mode != ents[i+1].Attr.Mode.Type() {
			e.Errorf("after %q: %v, want %q", ent.Name, rest, ents[i+1].Name)
		}
	}
	ents, err = e.root.Readdir(e.ctx, d, 0, 0, 10, false)
	e.ok(err)
	if len(ents) > 10 {
		e.Errorf("%d entries, asked for 10", len(ents))
	}
	_, err = e.root.Readdir(e.ctx, want["file 1"], 0, 0, 10, false)
	e.no("of a file", posix.ENOTDIR, err)
	_, err = e.root.Readdir(e.ctx, d, 0, 0, 0, false)
	e.no("of nothing", posix.EINVAL, err)
}

// testReaddirChanging: what is there throughout is seen exactly once, while
// others come and go.
func testReaddirChanging(e *env) {
	d := e.mkdir(1, "d", 0o755)
	const stay = 200
	for i := range stay {
		e.mkfile(d, fmt.Sprint("stay", i), 0o644)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprint("come", w, i%50)
				if _, err := e.root.Mknod(e.ctx, d, name, 0o644, 0, 0); err != nil {
					e.Errorf("mknod: %v", err)
					return
				}
				to := fmt.Sprint("gone", w, i%50)
				if err := e.root.Rename(e.ctx, d, name, d, to, 0); err != nil {
					e.Errorf("rename: %v", err)
					return
				}
				if i%2 == 0 {
					if err := e.root.Unlink(e.ctx, d, to); err != nil {
						e.Errorf("unlink: %v", err)
						return
					}
				}
			}
		})
	}
	for round := range 10 {
		seen := map[string]int{}
		for from := posix.Cookie(0); ; {
			ents, err := e.root.Readdir(e.ctx, d, 0, from, 5+round, round%2 == 0)
			e.ok(err)
			if len(ents) == 0 {
				break
			}
			for _, ent := range ents {
				seen[ent.Name]++
				from = ent.Next
			}
		}
		for i := range stay {
			e.is(fmt.Sprint("stay", i), seen[fmt.Sprint("stay", i)], 1)
		}
		e.is(".", seen["."], 1)
		e.is("..", seen[".."], 1)
	}
	close(stop)
	wg.Wait()
}

func testReaddirPermission(e *env) {
	d := e.owned(e.mkdir(1, "d", 0o700), alice, alice.GID)
	f := e.mkfile(d, "f", 0o644)
	_, err := e.as(eve).Readdir(e.ctx, d, 0, 0, 10, false)
	e.no("without r", posix.EACCES, err)
	_, err = e.as(eve).Open(e.ctx, d, e.handle(), rd|dir)
	e.no("open without r", posix.EACCES, err)

	// Without x names are told, attributes are not.
	e.chmod(d, 0o704)
	for _, plus := range []bool{false, true} {
		ents, err := e.as(eve).Readdir(e.ctx, d, 0, 2, 10, plus)
		e.ok(err)
		e.is("entries", len(ents), 1)
		e.is("entry", ents[0].Attr, posix.Attr{Ino: f, Mode: posix.TypeReg})
	}

	// A directory that is open stays readable through its handle, and through
	// nothing else.
	h, search := e.handle(), e.handle()
	_, err = e.as(alice).Open(e.ctx, d, h, rd|dir)
	e.ok(err)
	e.chmod(d, 0)
	for _, c := range []struct {
		what string
		want posix.Errno
		dir  posix.Ino
		h    posix.Handle
	}{
		{"by its handle", 0, d, h},
		{"without", posix.EACCES, d, 0},
		{"by the handle of another directory", posix.EBADF, 1, h},
		{"by a handle that is none", posix.EBADF, d, search},
	} {
		_, err = e.as(alice).Readdir(e.ctx, c.dir, c.h, 0, 10, false)
		e.either(c.what, c.want, err)
	}
	e.ok(e.as(alice).Close(e.ctx, h))
	_, err = e.as(alice).Readdir(e.ctx, d, h, 0, 10, false)
	e.no("when closed", posix.EBADF, err)
}
