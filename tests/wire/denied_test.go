package wire

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// What a kernel would have refused is asked of the server by a client without
// one: each must be refused, and nothing must have changed. posixtest has the
// finer cases of each rule; here each operation has at least one.

var (
	alice = posix.Cred{UID: 1001, GID: 1001, Groups: []posix.GID{50}}
	bob   = posix.Cred{UID: 1002, GID: 1002, Groups: []posix.GID{50}}
	eve   = posix.Cred{UID: 1003, GID: 1003}
)

// Eve's own handles: of a file of hers, and of one that all may read.
const (
	eveWrites posix.Handle = 200 + iota
	eveReads
)

// place is a tree of alice's, and eve who has read the protocol.
type place struct {
	t    *testing.T
	root posix.Namespace
	eve  posix.Namespace // another session than alice's
	bob  posix.Namespace // likewise
	ino  map[string]posix.Ino
	hand map[string]posix.Handle // alice's
}

func newPlace(t *testing.T) *place {
	h := newHouse(t)
	owners, others := h.connect(), h.connect()
	p := &place{t: t, root: owners.As(root), eve: others.As(eve), bob: others.As(bob),
		ino: map[string]posix.Ino{"/": posix.RootIno}, hand: map[string]posix.Handle{}}
	a := owners.As(alice)
	p.chmod("/", 0o755)
	for _, x := range []struct {
		path string
		mode posix.Mode // of a directory if its type is said
	}{
		{"/d", posix.TypeDir | 0o755}, {"/d/f", 0o600}, {"/d/shared", 0o660}, {"/d/read", 0o644}, {"/d/run", 0o4755}, {"/d/sub", posix.TypeDir | 0o755},
		{"/closed", posix.TypeDir | 0o700}, {"/closed/f", 0o666},
		{"/blind", posix.TypeDir | 0o711},
		{"/tmp", posix.TypeDir | 0o1777}, {"/tmp/a", 0o666}, {"/tmp/run", 0o4777}, {"/tmp/d", posix.TypeDir | 0o777},
		{"/listed", 0o640},
	} {
		p.make(x.path, x.mode)
	}
	o, err := p.root.Symlink(t.Context(), p.ino["/d"], "link", "f")
	must(t, err)
	p.ino["/d/link"] = o.Ino
	mine, err := p.eve.Mknod(t.Context(), p.ino["/tmp"], "mine", 0o600, 0, 0)
	must(t, err)
	p.ino["/tmp/mine"] = mine.Ino
	must(t, first(p.eve.Open(t.Context(), mine.Ino, eveWrites, posix.OpenWrite)))
	must(t, first(p.eve.Open(t.Context(), p.ino["/d/read"], eveReads, posix.OpenRead)))
	must(t, p.root.Setxattr(t.Context(), p.ino["/d/f"], "user.secret", []byte("s"), 0))
	must(t, p.root.Setxattr(t.Context(), p.ino["/d/read"], "trusted.t", []byte("s"), 0))
	must(t, p.root.Setxattr(t.Context(), p.ino["/listed"], acl.XattrAccess, list(eve.UID, 0), 0)) // eve by name: nothing
	for i, name := range []string{"/d/f", "/d/read", "/d"} {
		h, flags := posix.Handle(100+i), posix.OpenRead|posix.OpenWrite
		if name == "/d" {
			flags = posix.OpenRead | posix.OpenDir
		}
		_, err := a.Open(t.Context(), p.ino[name], h, flags)
		must(t, err)
		p.hand[name] = h
	}
	return p
}

// list is rw-r----- with an entry for one user.
func list(uid posix.UID, perm posix.Perm) []byte {
	return acl.EncodeXattr(acl.ACL{
		{Tag: acl.UserObj, Perm: 6}, {Tag: acl.User, ID: uint32(uid), Perm: perm},
		{Tag: acl.GroupObj, Perm: 4}, {Tag: acl.Mask, Perm: 7}, {Tag: acl.Other, Perm: 4},
	})
}

func (p *place) chmod(path string, m posix.Mode) {
	_, err := p.root.Setattr(p.t.Context(), p.ino[path], posix.SetAttr{Set: posix.SetMode, Mode: m})
	must(p.t, err)
}

// make makes alice's, of group 50.
func (p *place) make(path string, mode posix.Mode) {
	ctx, dir, name := p.t.Context(), p.ino["/"], path[1:]
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		dir, name = p.ino[path[:i]], path[i+1:]
	}
	var a posix.Attr
	var err error
	if mode.IsDir() {
		a, err = p.root.Mkdir(ctx, dir, name, 0, 0)
	} else {
		a, err = p.root.Mknod(ctx, dir, name, 0, 0, 0)
	}
	must(p.t, err)
	_, err = p.root.Setattr(ctx, a.Ino, posix.SetAttr{Set: posix.SetOwner | posix.SetGroup, UID: alice.UID, GID: 50})
	must(p.t, err)
	p.ino[path] = a.Ino
	p.chmod(path, mode.Perm())
}

// all is everything that a change would change.
func (p *place) all() string {
	var b strings.Builder
	ctx := p.t.Context()
	for _, path := range []string{"/", "/d", "/d/f", "/d/shared", "/d/read", "/d/run", "/d/sub", "/d/link", "/closed", "/closed/f", "/blind", "/tmp", "/tmp/a", "/tmp/run", "/tmp/d", "/tmp/mine", "/listed"} {
		a, err := p.root.Getattr(ctx, p.ino[path])
		fmt.Fprintln(&b, path, a, err)
		names, err := p.root.Listxattr(ctx, p.ino[path])
		fmt.Fprintln(&b, names, err)
		for _, n := range names {
			v, err := p.root.Getxattr(ctx, p.ino[path], n)
			fmt.Fprintln(&b, v, err)
		}
		if a.Mode.IsDir() {
			l, err := p.root.Readdir(ctx, p.ino[path], 0, 0, 100, false)
			fmt.Fprintln(&b, l, err)
		}
	}
	return b.String()
}

// denial is one thing that must not be had.
type denial struct {
	name string
	want posix.Errno
	do   func(ctx context.Context, p *place) error
}

// denials are all, by what they are about.
func denials() []denialGroup {
	return []denialGroup{{"entries", entryDenials}, {"attributes", attrDenials}, {"files", fileDenials}, {"handles", handleDenials}, {"xattrs", xattrDenials}}
}

type denialGroup struct {
	name string
	list []denial
}

// docs/security.md promises just these.
func TestDenialsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	for _, group := range denials() {
		_, row, found := strings.Cut(string(doc), "\n| `TestDenied/"+group.name+"` | ")
		row, _, _ = strings.Cut(row, " |\n")
		var want []string
		for _, d := range group.list {
			want = append(want, fmt.Sprintf("%s (%s)", d.name, d.want.String()))
		}
		if !found || row != strings.Join(want, " · ") {
			t.Errorf("the row of %s in docs/security.md should be\n%s", group.name, strings.Join(want, " · "))
		}
	}
}

func TestDenied(t *testing.T) {
	for _, group := range denials() {
		t.Run(group.name, func(t *testing.T) {
			p := newPlace(t)
			before := p.all()
			for _, d := range group.list {
				err := d.do(t.Context(), p)
				if posix.ErrnoOf(err) != d.want || err == nil {
					t.Errorf("%s: %v, want %v", d.name, err, d.want)
				}
				if after := p.all(); after != before {
					t.Fatalf("%s: it was refused and changed\n%s\nto\n%s", d.name, before, after)
				}
			}
		})
	}
}

// first drops what an operation answered.
func first[T any](_ T, err error) error { return err }

// A principal that nobody trusts is itself, whomever it states as its caller.
func TestDeniedStatedCaller(t *testing.T) {
	h := newHouse(t)
	h.stop()
	h.auth.Resolve = func(_ context.Context, p identity.Principal) (posix.Cred, error) { return eve, nil }
	h.start()
	m := h.connect()
	must(t, first(m.As(root).Mkdir(t.Context(), posix.RootIno, "closed", 0o700, 0)))
	p := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("eve")})
	for _, cred := range []*proto.Cred{nil, {}, {Super: true}, {Uid: 0, Super: true}, {Uid: uint32(alice.UID), Gid: uint32(alice.GID)}} {
		r := p.call(&proto.Call{Epoch: p.w.Epoch, Cred: cred, Op: &proto.Call_Mkdir{Mkdir: &proto.Make{Dir: 1, Name: []byte("x"), Mode: 0o777}}})
		if e := p.errno(r); e != posix.EACCES {
			t.Errorf("mkdir as %v: %v, want EACCES", cred, e)
		}
	}
	if w := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("eve"), Trusted: true}).w; w.GetErrno() == 0 {
		t.Error("eve was let in as one who may state callers")
	}
}

// The blocks of a file need its capability, and a capability is its open's:
// what was opened to read does not write, and another file's opens nothing.
// What eve can commit is what was put for the very file.
func TestDeniedSlices(t *testing.T) {
	p := newPlace(t)
	before := p.all()
	id := posix.SliceID{7}
	for name, e := range map[string]posix.Extent{
		"a slice of a file that eve may not read": {Len: 4, Slice: posix.Slice{File: p.ino["/d/f"], ID: id, Len: 4}},
		"a slice that nobody put":                 {Len: 4, Slice: posix.Slice{File: p.ino["/tmp/mine"], ID: id, Len: 4}},
		"more than the slice has":                 {Len: 4, From: 2, Slice: posix.Slice{File: p.ino["/tmp/mine"], ID: id, Len: 4}},
		"beyond the largest file":                 {Off: posix.FileSizeMax, Len: 4, Slice: posix.Slice{File: p.ino["/tmp/mine"], ID: id, Len: 4}},
	} {
		if _, err := p.eve.Commit(t.Context(), eveWrites, posix.Commit{Extents: []posix.Extent{e}}); err == nil {
			t.Errorf("%s: committed", name)
		}
	}
	if after := p.all(); after != before {
		t.Errorf("something changed\n%s\nto\n%s", before, after)
	}
}
