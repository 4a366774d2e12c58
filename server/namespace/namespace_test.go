package namespace

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
)

var super = posix.Cred{Super: true}

// open opens a tree that frees at once, unless c says when.
func open(t *testing.T, e engine.Engine, c Config) *Tree {
	t.Helper()
	c.Engine = e
	if c.FreedAge == 0 {
		c.FreedAge = -1
	}
	tr, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// well expects that Fsck finds nothing.
func well(t *testing.T, tr *Tree) {
	t.Helper()
	found, err := tr.Fsck(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("fsck: %s", f)
	}
}

// settled expects a namespace that is well before and after all that can go
// has gone, and that then holds nothing without a name.
func settled(t *testing.T, tr *Tree) {
	t.Helper()
	well(t, tr)
	ctx := context.Background()
	tr.Recovered()
	for _, s := range []SessionID{1, 2, 3} {
		ok(t, tr.EndSession(ctx, s))
	}
	for {
		did, err := tr.Reclaim(ctx, 2+tr.step)
		ok(t, err)
		well(t, tr)
		if did == 0 {
			break
		}
	}
	if n := count1(t, tr, keyOrphan) + count1(t, tr, keyReply); n != 0 {
		t.Errorf("%d orphans and replies are left", n)
	}
	if n := count1(t, tr, keyInode); int64(n) != tr.files.Load() {
		t.Errorf("%d inodes, counted %d", n, tr.files.Load())
	}
	if len(tr.opens.nodes) != 0 || len(tr.opens.sessions) != 0 {
		t.Errorf("the table of open files has %v %v left", tr.opens.nodes, tr.opens.sessions)
	}
}

// count1 counts the keys of one kind.
func count1(t *testing.T, tr *Tree, kind byte) (n int) {
	t.Helper()
	ok(t, tr.eng.View(context.Background(), func(r engine.Reader) error {
		return r.Scan([]byte{kind}, []byte{kind + 1}, func(_, _ []byte) bool { n++; return true })
	}))
	return n
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func no(t *testing.T, want posix.Errno, err error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

// twice runs every update for nothing before it runs it.
type twice struct{ engine.Engine }

func (e twice) Update(ctx context.Context, f func(engine.Tx) error) error {
	nothing := errors.New("for nothing")
	err := e.Engine.Update(ctx, func(tx engine.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return nothing
	})
	if err != nothing {
		return err
	}
	return e.Engine.Update(ctx, f)
}

// write commits n fresh bytes at off.
func write(t *testing.T, v View, h posix.Handle, ino posix.Ino, id byte, off uint64, n uint32) posix.Slice {
	t.Helper()
	s := posix.Slice{File: ino, ID: posix.SliceID{id}, Len: n}
	_, err := v.Commit(t.Context(), h, posix.Commit{Extents: []posix.Extent{{Off: off, Len: n, Slice: s}}})
	ok(t, err)
	return s
}

func create(t *testing.T, v View, name string, h posix.Handle) posix.Ino {
	t.Helper()
	o, err := v.Create(t.Context(), posix.RootIno, name, 0o644, 0, h, posix.OpenRead|posix.OpenWrite|posix.OpenExcl)
	ok(t, err)
	return o.Attr.Ino
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		want string
		put  map[string]string
	}{
		{"format 7 and this wardfs knows up to 6", map[string]string{"mformat": "\x07"}},
		{"format 300 and", map[string]string{"mformat": "\xac\x02"}},
		{"format version is damaged", map[string]string{"mformat": ""}},
		{"format version is damaged", map[string]string{"mformat": "\x00"}},
		{"holds something else", map[string]string{"a key": "a value"}},
		{"directories is damaged", map[string]string{"mhash": "short"}},
		{`"mino" is damaged`, map[string]string{"mino": "\xff"}},
	} {
		e := mem.New()
		if c.put["mhash"]+c.put["mino"] != "" {
			open(t, e, Config{})
		}
		ok(t, e.Update(t.Context(), func(tx engine.Tx) error {
			for k, v := range c.put {
				tx.Put([]byte(k), []byte(v))
			}
			return nil
		}))
		_, err := Open(t.Context(), Config{Engine: e})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.put, err, c.want)
		}
	}
}

func TestOpenAgain(t *testing.T) {
	e := mem.New()
	c := Config{}
	c.Root.UID, c.Root.GID, c.Root.Mode = 5, 6, 0o1777
	tr := open(t, e, c)
	a, err := tr.As(super).Getattr(t.Context(), posix.RootIno)
	ok(t, err)
	if a.UID != 5 || a.GID != 6 || a.Mode != posix.TypeDir|0o1777 || a.Nlink != 2 || a.Gen == 0 {
		t.Errorf("%+v", a)
	}
	made := map[posix.Ino]bool{}
	for round := range 5 {
		tr = open(t, e, Config{})
		if b, err := tr.As(super).Getattr(t.Context(), posix.RootIno); err != nil || round == 0 && a != b {
			t.Errorf("%+v %v, want %+v", b, err, a)
		}
		for i := range inosAtOnce/2 + 100 { // over a bound every other round
			n, err := tr.As(super).Mknod(t.Context(), 1, string(rune('a'+round))+string(rune(0x4e00+i)), 0o644, 0, 0)
			ok(t, err)
			if made[n.Ino] {
				t.Fatalf("inode %d was made twice", n.Ino)
			}
			made[n.Ino] = true
		}
	}
	well(t, tr)
}

func TestChanged(t *testing.T) {
	var got []Change
	tr := open(t, twice{mem.New()}, Config{Changed: func(c Change) { got = append(got, c) }})
	v := tr.As(super).In(7)
	f := create(t, v, "f", 1)
	expect := func(what string, want ...Change) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
		for i := range want {
			if want[i].By = 7; got[i] != want[i] {
				t.Errorf("%s: %v, want %v", what, got[i], want[i])
			}
		}
		got = nil
	}
	expect("create", Change{Kind: ChangeEntry, Ino: f, Dir: 1, Name: "f"})
	write(t, v, 1, f, 1, 0, 10)
	expect("commit", Change{Kind: ChangeAttr | ChangeData, Ino: f})
	ok(t, v.Rename(t.Context(), 1, "f", 1, "g", 0))
	expect("rename", Change{Kind: ChangeEntry | ChangeAttr, Ino: f, Dir: 1, Name: "g"},
		Change{Kind: ChangeEntry, Ino: f, Dir: 1, Name: "f"})
	_, err := v.Mkdir(t.Context(), 1, "g", 0, 0)
	no(t, posix.EEXIST, err)
	_, err = v.Getattr(t.Context(), f)
	ok(t, err)
	expect("nothing")
	ok(t, v.Unlink(t.Context(), 1, "g"))
	expect("unlink", Change{Kind: ChangeEntry | ChangeAttr | ChangeGone, Ino: f, Dir: 1, Name: "g"})
}
