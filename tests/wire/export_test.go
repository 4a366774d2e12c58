package wire

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
)

// rules puts rules in force by which root states callers.
func (h *house) export(rules ...export.Rule) {
	h.srv.SetRules(h.t.Context(), export.Rules{Exports: rules, Proxies: []export.Proxy{{Principal: "root", StatesCallers: true}}})
}

// all is a rule that opens path to everyone, read and write.
func all(path string, squash export.Squash) export.Rule {
	return export.Rule{Path: path, Who: []string{"*"}, Squash: squash, Trusted: true}
}

// do is call for root, or for who.
func (p *peer) do(c *proto.Call, who ...*proto.Cred) *proto.Reply {
	c.Epoch, c.Cred = p.w.GetEpoch(), &proto.Cred{Super: true}
	if len(who) > 0 {
		c.Cred = who[0]
	}
	return p.call(c)
}

func (p *peer) mkdir(dir uint64, name string, mode uint32, who ...*proto.Cred) *proto.Reply {
	return p.do(&proto.Call{Op: &proto.Call_Mkdir{Mkdir: &proto.Make{Dir: dir, Name: []byte(name), Mode: mode}}}, who...)
}

func (p *peer) create(dir uint64, name string, mode, umask uint32, handle uint64, who ...*proto.Cred) *proto.Reply {
	return p.do(&proto.Call{Op: &proto.Call_Create{Create: &proto.Create{
		Dir: dir, Name: []byte(name), Mode: mode, Umask: umask, Handle: handle, Flags: uint32(posix.OpenRead | posix.OpenWrite)}}}, who...)
}

func (p *peer) lookup(dir uint64, name string, who ...*proto.Cred) *proto.Reply {
	return p.do(&proto.Call{Op: &proto.Call_Lookup{Lookup: &proto.Lookup{Dir: dir, Name: []byte(name)}}}, who...)
}

func (p *peer) getattr(ino uint64) *proto.Reply {
	return p.do(&proto.Call{Op: &proto.Call_Getattr{Getattr: &proto.Getattr{Ino: ino}}})
}

func (p *peer) move(from uint64, name string, to uint64, as string) *proto.Reply {
	return p.do(&proto.Call{Op: &proto.Call_Rename{Rename: &proto.Rename{From: from, Name: []byte(name), To: to, NewName: []byte(as)}}})
}

// must answers the inode of a reply that must be good.
func (p *peer) must(r *proto.Reply) uint64 {
	p.t.Helper()
	if e := p.errno(r); e != 0 {
		p.t.Fatalf("%v: %s", e, r.GetMessage())
	}
	if r.Opened != nil {
		return r.Opened.Attr.Ino
	}
	return r.GetAttr().GetIno()
}

func hello(path string) *proto.Hello {
	h := trustedHello()
	h.Path = path
	return h
}

// estate is a tree with a subtree, /a/sub.
type estate struct {
	house          *house
	root           *peer // sees all of it
	a, sub, d, g   uint64
	b, out, shared uint64
	sub1           *peer // sees the subtree
}

func newEstate(t *testing.T) *estate {
	h := newHouse(t)
	e := &estate{house: h, root: newPeer(h, trustedHello())}
	p := e.root
	e.a = p.must(p.mkdir(1, "a", 0o755))
	e.sub = p.must(p.mkdir(e.a, "sub", 0o755))
	e.d = p.must(p.mkdir(e.sub, "d", 0o755))
	e.g = p.must(p.create(e.d, "g", 0o644, 0, 1))
	e.b = p.must(p.mkdir(1, "b", 0o755))
	e.out = p.must(p.create(e.b, "out", 0o644, 0, 2))
	e.shared = p.must(p.create(e.b, "shared", 0o644, 0, 3))
	p.must(p.do(&proto.Call{Op: &proto.Call_Link{Link: &proto.Link{Ino: e.shared, Dir: e.d, Name: []byte("hard")}}}))
	p.must(p.do(&proto.Call{Op: &proto.Call_Symlink{Symlink: &proto.Symlink{Dir: 1, Name: []byte("link"), Target: []byte("/a/sub")}}}))
	e.sub1 = newPeer(h, hello("/a/sub"))
	e.sub1.unseen = []uint64{e.sub, e.a, e.b, e.out}
	return e
}

// names fails the test for every attribute in m, wherever, that is of an inode
// which the peer must not see.
func (p *peer) names(m protoreflect.Message) {
	if len(p.unseen) == 0 {
		return
	}
	if a, ok := m.Interface().(*proto.Attr); ok && slices.Contains(p.unseen, a.Ino) {
		p.t.Errorf("a reply has the attributes of inode %d", a.Ino)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				p.names(v.List().Get(i).Message())
			}
		default:
			p.names(v.Message())
		}
		return true
	})
}

func TestSubtreeIsAWholeTree(t *testing.T) {
	e := newEstate(t)
	p := e.sub1
	if p.w.GetErrno() != 0 || p.w.GetPath() != "/a/sub" {
		t.Fatal(p.w)
	}
	for name, c := range map[string]struct {
		want uint64
		r    *proto.Reply
	}{
		"the root":                   {1, p.getattr(1)},
		"its .":                      {1, p.lookup(1, ".")},
		"its ..":                     {1, p.lookup(1, "..")},
		"what is below":              {e.d, p.lookup(1, "d")},
		"deeper":                     {e.g, p.lookup(e.d, "g")},
		"up to the root":             {1, p.lookup(e.d, "..")},
		"a file with a name outside": {e.shared, p.lookup(e.d, "hard")},
		"that file by number":        {e.shared, p.getattr(e.shared)},
	} {
		if got := p.must(c.r); got != c.want {
			t.Errorf("%s: inode %d, want %d", name, got, c.want)
		}
	}
	for _, plus := range []bool{false, true} {
		for dir, want := range map[uint64]string{1: ".1 ..1 d", e.d: ". ..1"} {
			r := p.do(&proto.Call{Op: &proto.Call_Readdir{Readdir: &proto.Readdir{Dir: dir, Max: 3, Plus: plus}}})
			p.must(r)
			var got []string
			for _, d := range r.Entries {
				s := string(d.Name)
				if d.Attr.Ino == 1 {
					s += "1"
				}
				got = append(got, s)
				if d.Attr.Ino == e.a || d.Attr.Ino == e.sub {
					t.Errorf("the listing shows inode %d as %s", d.Attr.Ino, d.Name)
				}
			}
			if s := strings.Join(got, " "); !strings.HasPrefix(s, want) {
				t.Errorf("listing of %d: %q, want %q", dir, s, want)
			}
		}
	}
	if r := p.do(&proto.Call{Op: &proto.Call_Statfs{Statfs: &proto.Statfs{Ino: 1}}}); p.errno(r) != 0 || r.Statfs.GetBytes() == 0 {
		t.Errorf("statfs: %v", r)
	}
	p.must(p.mkdir(1, "new", 0o755))
	p.must(p.move(1, "new", e.d, "new"))
	p.must(p.do(&proto.Call{Op: &proto.Call_Rmdir{Rmdir: &proto.Remove{Dir: e.d, Name: []byte("new")}}}))
	// What is open lives on without a name, and is its session's alone.
	f := p.must(p.create(1, "f", 0o600, 0, 9))
	p.must(p.do(&proto.Call{Op: &proto.Call_Unlink{Unlink: &proto.Remove{Dir: 1, Name: []byte("f")}}}))
	p.must(p.getattr(f))
	if other := newPeer(e.house, hello("/a/sub")); other.errno(other.getattr(f)) != posix.ESTALE {
		t.Error("another session names a file without a name")
	}
}

// byHandle are the calls that name no inode.
var byHandle = map[protoreflect.Name]bool{
	"close": true, "layout": true, "commit": true, "allocate": true, "copy_range": true, "reclaim": true, "reclaimed": true,
	"ids": true, "names": true, "whoami": true, "reopened": true, "quota": true, "sessions": true, "evict": true,
	"token_issue": true, "token_renew": true, "token_cancel": true, "token_list": true,
}

// ops calls f with every call that there is, its inode fields set to ino.
func ops(ino uint64, f func(name protoreflect.Name, c *proto.Call)) {
	fields := (&proto.Call{}).ProtoReflect().Descriptor().Oneofs().ByName("op").Fields()
	for i := range fields.Len() {
		c := new(proto.Call)
		fd := fields.Get(i)
		m := c.ProtoReflect().Mutable(fd).Message()
		for _, name := range []protoreflect.Name{"ino", "dir", "from", "to"} {
			if at := m.Descriptor().Fields().ByName(name); at != nil && at.Kind() == protoreflect.Uint64Kind && !byHandle[fd.Name()] {
				m.Set(at, protoreflect.ValueOfUint64(ino))
			}
		}
		f(fd.Name(), c)
	}
}

// TestNoCallReachesOutOfASubtree: whatever call there is or comes to be, an
// inode outside is none.
func TestNoCallReachesOutOfASubtree(t *testing.T) {
	e := newEstate(t)
	n := 0
	for _, ino := range []uint64{e.a, e.b, e.out, e.sub, 0, 1 << 50} {
		ops(ino, func(name protoreflect.Name, c *proto.Call) {
			if byHandle[name] {
				return
			}
			n++
			if got := e.sub1.errno(e.sub1.do(c)); got != posix.ESTALE {
				t.Errorf("%s of inode %d: %v, want ESTALE", name, ino, got)
			}
		})
	}
	if n < 6*25 {
		t.Fatalf("only %d calls", n)
	}
	// One inode inside does not help the other.
	for name, r := range map[string]*proto.Reply{
		"link out of it": e.sub1.do(&proto.Call{Op: &proto.Call_Link{Link: &proto.Link{Ino: e.g, Dir: e.b, Name: []byte("x")}}}),
		"link into it":   e.sub1.do(&proto.Call{Op: &proto.Call_Link{Link: &proto.Link{Ino: e.out, Dir: 1, Name: []byte("x")}}}),
		"move out of it": e.sub1.move(e.d, "g", e.b, "g"),
		"move into it":   e.sub1.move(e.b, "out", 1, "out"),
	} {
		if got := e.sub1.errno(r); got != posix.ESTALE {
			t.Errorf("%s: %v, want ESTALE", name, got)
		}
	}
	// Another session's handle is none here.
	if got := e.sub1.errno(e.sub1.do(&proto.Call{Op: &proto.Call_Layout{Layout: &proto.Layout{Handle: 2, Length: 1}}})); got != posix.EBADF {
		t.Errorf("root's handle: %v", got)
	}
	// Nor is its ticket.
	r := e.root.do(&proto.Call{Op: &proto.Call_Open{Open: &proto.Open{Ino: e.out, Handle: 4, Flags: uint32(posix.OpenRead)}}})
	e.root.must(r)
	if got := e.sub1.errno(e.sub1.do(&proto.Call{Op: &proto.Call_Reclaim{Reclaim: &proto.Reclaim{Ticket: r.Opened.Ticket}}})); got != posix.EACCES {
		t.Errorf("root's ticket: %v", got)
	}
	if got := e.root.errno(e.root.getattr(e.out)); got != 0 {
		t.Errorf("the whole tree suffers: %v", got)
	}
}

// TestMovedOutIsGone: from the answer of the move on.
func TestMovedOutIsGone(t *testing.T) {
	e := newEstate(t)
	p := e.sub1
	p.must(p.getattr(e.g))
	p.must(p.do(&proto.Call{Op: &proto.Call_Open{Open: &proto.Open{Ino: e.d, Handle: 7, Flags: uint32(posix.OpenRead | posix.OpenDir)}}}))
	e.root.must(e.root.move(e.sub, "d", e.b, "d"))
	for name, r := range map[string]*proto.Reply{
		"the directory, though it is open": p.getattr(e.d),
		"its listing":                      p.do(&proto.Call{Op: &proto.Call_Readdir{Readdir: &proto.Readdir{Dir: e.d, Handle: 7, Max: 3}}}),
		"what is in it":                    p.getattr(e.g),
		"a new file":                       p.create(e.d, "new", 0o600, 0, 8),
		"its ..":                           p.lookup(e.d, ".."),
	} {
		if got := p.errno(r); got != posix.ESTALE {
			t.Errorf("%s: %v, want ESTALE", name, got)
		}
	}
	e.root.must(e.root.move(e.b, "d", e.sub, "d"))
	p.must(p.getattr(e.g))
}

func TestSubtreeHello(t *testing.T) {
	e := newEstate(t)
	h := e.house
	h.export(all("/a", export.SquashNone), all("/link", export.SquashNone), all("/b", export.SquashNone))
	resumed := hello("/b")
	resumed.Session, resumed.Secret = e.sub1.w.Session, e.sub1.w.Secret
	for name, c := range map[string]struct {
		want  posix.Errno
		text  string
		hello *proto.Hello
	}{
		"the whole tree":          {posix.EACCES, "/ is not exported to root (X509) at 127.0.0.1", hello("")},
		"not exported, not there": {posix.EACCES, "/c is not exported", hello("/c")},
		"not there":               {posix.ENOENT, "/a/x is not there on the server", hello("/a/x/y")},
		"a file":                  {posix.ENOTDIR, "/b/out is no directory", hello("/b/out")},
		"below a file":            {posix.ENOTDIR, "/b/out is no directory", hello("/b/out/x")},
		"a symbolic link":         {posix.ENOTDIR, "/link is a symbolic link", hello("/link/d")},
		"dots":                    {posix.EACCES, "no absolute, clean path", hello("/a/../c")},
		"dots in what is":         {posix.EACCES, "no absolute, clean path", hello("/a/sub/..")},
		"a relative path":         {posix.EACCES, "no absolute, clean path", hello("a")},
		"a zero byte":             {posix.EACCES, "a name that no file can have", hello("/a/\x00")},
		"a session of elsewhere":  {posix.EACCES, "of another directory", resumed},
	} {
		p := newPeer(h, c.hello)
		if got := posix.ErrnoOf(proto.Failure("x", p.w.GetErrno(), "")); got != c.want || !strings.Contains(p.w.GetMessage(), c.text) || p.w.Session != 0 {
			t.Errorf("%s: %v %q, want %v %q", name, got, p.w.GetMessage(), c.want, c.text)
		}
	}
	// A session goes on with its directory, and with no other of that name.
	same := hello("/a/sub")
	same.Session, same.Secret = e.sub1.w.Session, e.sub1.w.Secret
	if p := newPeer(h, same); p.w.GetErrno() != 0 || p.w.Session != e.sub1.w.Session {
		t.Errorf("resumed: %v", p.w)
	}
	h.export(all("/", export.SquashNone))
	e.root = newPeer(h, hello("")) // the one of before has lost its right
	e.root.must(e.root.move(e.a, "sub", e.a, "old"))
	e.root.must(e.root.mkdir(e.a, "sub", 0o755))
	if p := newPeer(h, same); posix.ErrnoOf(proto.Failure("x", p.w.GetErrno(), "")) != posix.ESTALE {
		t.Errorf("resumed over another directory: %v", p.w)
	}
}

// TestSubtreeHearsOfItsOwn: a recall says nothing of what is elsewhere.
func TestSubtreeHearsOfItsOwn(t *testing.T) {
	e := newEstate(t)
	e.root.must(e.root.mkdir(e.b, "secret", 0o755))
	e.root.must(e.root.mkdir(1, "secret", 0o755))
	e.root.must(e.root.move(e.a, "sub", 1, "sub")) // of the root's own name neither
	e.root.must(e.root.mkdir(e.sub, "news", 0o755))
	for told := false; !told; {
		m := new(proto.ToClient)
		must(t, e.sub1.st.RecvMsg(m))
		if m.GetRecall().GetEverything() {
			t.Fatal("told to forget everything")
		}
		for _, c := range m.GetRecall().GetChanges() {
			switch {
			case string(c.Name) == "news" && c.Dir == 1:
				told = true
			case len(c.Name) > 0 || c.Dir != 0 || c.Ino != 1:
				t.Fatalf("told of %v", c)
			}
		}
	}
	// A directory that was elsewhere may have changed there: all is forgotten.
	for _, move := range [][2]uint64{{e.sub, e.b}, {e.b, e.sub}} {
		e.root.must(e.root.move(move[0], "d", move[1], "d"))
		for told := false; !told; {
			m := new(proto.ToClient)
			must(t, e.sub1.st.RecvMsg(m))
			told = m.GetRecall().GetEverything()
		}
	}
}

// TestReadOnlyExport: whatever call there is, it changes nothing.
func TestReadOnlyExport(t *testing.T) {
	e := newEstate(t)
	ro := all("/", export.SquashNone)
	ro.ReadOnly = true
	e.house.export(ro, all("/a", export.SquashNone))
	p := newPeer(e.house, hello(""))
	if !p.w.ReadOnly {
		t.Error("the welcome does not say so")
	}
	reads := map[protoreflect.Name]bool{
		"lookup": true, "getattr": true, "access": true, "readlink": true, "readdir": true, "open": true, "close": true, "layout": true,
		"getxattr": true, "listxattr": true, "statfs": true, "reclaim": true, "getlk": true, "setlk": true, "unlock": true,
		"reclaim_lock": true, "reclaimed": true, "ids": true, "names": true, "whoami": true, "reopened": true,
		"sessions": true, "evict": true, // of the server, and not of the tree
		"token_issue": true, "token_renew": true, "token_cancel": true, "token_list": true,
	}
	before := e.root.getattr(e.out).Attr.Change
	ops(e.out, func(name protoreflect.Name, c *proto.Call) {
		if got := p.errno(p.do(c)); (got == posix.EROFS) == reads[name] {
			t.Errorf("%s: %v", name, got)
		}
	})
	for name, r := range map[string]*proto.Reply{
		"open to write": p.do(&proto.Call{Op: &proto.Call_Open{Open: &proto.Open{Ino: e.out, Handle: 5, Flags: uint32(posix.OpenRead | posix.OpenWrite)}}}),
		"open to cut":   p.do(&proto.Call{Op: &proto.Call_Open{Open: &proto.Open{Ino: e.out, Handle: 5, Flags: uint32(posix.OpenRead | posix.OpenTrunc)}}}),
		"may I write":   p.do(&proto.Call{Op: &proto.Call_Access{Access: &proto.Access{Ino: e.out, Want: 6}}}),
		"create":        p.create(1, "x", 0o600, 0, 6),
	} {
		if got := p.errno(r); got != posix.EROFS {
			t.Errorf("%s: %v", name, got)
		}
	}
	if after := e.root.getattr(e.out).Attr.Change; after != before {
		t.Errorf("change %d, was %d", after, before)
	}
	below := newPeer(e.house, hello("/a"))
	below.must(below.mkdir(1, "w", 0o755))
}

func TestSquashedCallers(t *testing.T) {
	e := newEstate(t)
	e.root.must(e.root.mkdir(1, "open", 0o777))
	e.root.must(e.root.create(1, "private", 0o600, 0, 11))
	guests := all("/b", export.SquashAll)
	guests.AnonUID, guests.AnonGID = 99, 98
	e.house.export(all("/", export.SquashRoot), guests)
	p, g := newPeer(e.house, hello("")), newPeer(e.house, hello("/b"))
	open := p.must(p.lookup(1, "open"))
	private := p.must(p.lookup(1, "private"))
	e.root = nil // its session is squashed too from here on
	user := &proto.Cred{Uid: 1000, Gid: 1000}
	posing := &proto.Cred{Uid: 1000, Gid: 0, Groups: []uint32{0}, Super: true}
	for name, c := range map[string]struct {
		want posix.Errno
		r    *proto.Reply
	}{
		"root in root's directory":       {posix.EACCES, p.mkdir(1, "x", 0o755)},
		"root without the word super":    {posix.EACCES, p.mkdir(1, "x", 0o755, &proto.Cred{})},
		"a user who says he is super":    {posix.EACCES, p.mkdir(1, "x", 0o755, posing)},
		"root reads root's file":         {posix.EACCES, p.do(&proto.Call{Op: &proto.Call_Open{Open: &proto.Open{Ino: private, Handle: 1, Flags: 1}}})},
		"root makes a device":            {posix.EPERM, p.do(&proto.Call{Op: &proto.Call_Mknod{Mknod: &proto.Make{Dir: open, Name: []byte("dev"), Mode: 0o060600, Rdev: 8}}})},
		"root gives a file away":         {posix.EPERM, p.do(&proto.Call{Op: &proto.Call_Setattr{Setattr: &proto.Setattr{Ino: private, Set: uint32(posix.SetOwner), Uid: 1000}}})},
		"root writes trusted attributes": {posix.EPERM, p.do(&proto.Call{Op: &proto.Call_Setxattr{Setxattr: &proto.Xattr{Ino: open, Name: []byte("trusted.x")}}})},
		"all: a user":                    {posix.EACCES, g.mkdir(1, "x", 0o755, user)},
	} {
		if got := p.errno(c.r); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		uid, gid uint32
		r        *proto.Reply
	}{
		"root":   {export.Nobody, export.Nobody, p.mkdir(open, "roots", 0o755)},
		"a user": {1000, 1000, p.mkdir(open, "users", 0o755, user)},
		"posing": {1000, export.Nobody, p.mkdir(open, "posing", 0o755, posing)},
	} {
		p.must(c.r)
		if a := c.r.Attr; a.Uid != c.uid || a.Gid != c.gid {
			t.Errorf("%s made what is %d:%d's", name, a.Uid, a.Gid)
		}
	}
}

func TestModesOfAnExport(t *testing.T) {
	h := newHouse(t)
	r := all("/", export.SquashNone)
	r.Umask, r.MaxMode = 0o007, 0o2770
	h.export(r)
	p := newPeer(h, trustedHello())
	f := p.create(1, "f", 0o666, 0o020, 1)
	ino := p.must(f)
	d := p.mkdir(1, "d", 0o7777)
	p.must(d)
	chmod := p.do(&proto.Call{Op: &proto.Call_Setattr{Setattr: &proto.Setattr{Ino: ino, Set: uint32(posix.SetMode), Mode: 0o6777}}})
	p.must(chmod)
	for name, c := range map[string]struct{ want, got uint32 }{
		"create": {0o100640, f.Opened.Attr.Mode}, "mkdir": {0o040770, d.Attr.Mode &^ 0o2000}, "chmod": {0o102770, chmod.Attr.Mode},
	} {
		if c.got != c.want {
			t.Errorf("%s: %o, want %o", name, c.got, c.want)
		}
	}
	list := acl.ACL{{Tag: acl.UserObj, Perm: 7}, {Tag: acl.User, Perm: 7, ID: 1000}, {Tag: acl.GroupObj, Perm: 7}, {Tag: acl.Mask, Perm: 7}, {Tag: acl.Other, Perm: 7}}
	p.must(p.do(&proto.Call{Op: &proto.Call_Setxattr{Setxattr: &proto.Xattr{Ino: ino, Name: []byte(acl.XattrAccess), Value: acl.EncodeXattr(list)}}}))
	if a := p.getattr(ino).Attr; a.Mode&0o777 != 0o770 {
		t.Errorf("an ACL gave %o", a.Mode)
	}
}

func TestNobodyMountsWithoutRules(t *testing.T) {
	h := newHouse(t)
	h.stop()
	h.rules = export.Rules{}
	h.start()
	alice := &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("alice")}
	posing := &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("root")}
	for _, hello := range []*proto.Hello{alice, posing, trustedHello()} {
		if w := newPeer(h, hello).w; w.GetErrno() == 0 {
			t.Errorf("%v was let in", hello)
		}
	}
	if w := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.X509}).w; w.GetErrno() != 0 {
		t.Errorf("the superuser: %s", w.GetMessage())
	}
}
