package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/wardfs/wardfs/client/blocks"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/lane"
)

// peer is a client that says whatever it likes.
type peer struct {
	t  testing.TB
	st grpc.ClientStream
	id uint64
	w  *proto.Welcome
	// unseen are inodes that no reply may name.
	unseen []uint64
}

func dial(h *house) *grpc.ClientConn { return dialBy(h, h.mount) }

func dialBy(h *house, cert *certs.Store) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+h.addr,
		grpc.WithTransportCredentials(credentials.NewTLS(cert.Client("127.0.0.1"))),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec())))
	must(h.t, err)
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

func newPeer(h *house, hello *proto.Hello) *peer { return newPeerBy(h, h.mount, hello) }

// newPeerBy is newPeer with another certificate.
func newPeerBy(h *house, cert *certs.Store, hello *proto.Hello) *peer {
	st, err := dialBy(h, cert).NewStream(h.t.Context(), &proto.SessionStream, proto.SessionMethod)
	must(h.t, err)
	p := &peer{t: h.t, st: st}
	must(h.t, st.SendMsg(&proto.ToServer{Body: &proto.ToServer_Hello{Hello: hello}}))
	m := new(proto.ToClient)
	must(h.t, st.RecvMsg(m))
	p.w = m.GetWelcome()
	return p
}

func trustedHello() *proto.Hello {
	return &proto.Hello{Version: proto.Version, Mechanism: identity.X509, Trusted: true}
}

// call sends c and answers what comes, or nil when the stream ends.
func (p *peer) call(c *proto.Call) *proto.Reply {
	p.id++
	if p.st.SendMsg(&proto.ToServer{Id: p.id, Body: &proto.ToServer_Call{Call: c}}) != nil {
		return nil
	}
	for {
		m := new(proto.ToClient)
		if p.st.RecvMsg(m) != nil {
			return nil
		}
		if r := m.GetReply(); r != nil && m.Id == p.id {
			p.names(r.ProtoReflect())
			return r
		}
	}
}

func (p *peer) errno(r *proto.Reply) posix.Errno {
	if r == nil {
		return posix.EHOSTDOWN
	}
	return posix.ErrnoOf(proto.Failure("x", r.Errno, r.Message))
}

func TestHelloRefused(t *testing.T) {
	h := newHouse(t)
	alice := &proto.Hello{Version: proto.Version, Mechanism: identity.Simple, Proof: []byte("root"), Trusted: true}
	good := newPeer(h, trustedHello())
	for _, c := range []struct {
		name, want string
		hello      *proto.Hello
	}{
		{"a newer version", "version 2", &proto.Hello{Version: 2, Mechanism: identity.X509}},
		{"an unknown mechanism", `"MAGIC" is not accepted`, &proto.Hello{Version: proto.Version, Mechanism: "MAGIC"}},
		{"root by name alone", "may not state its callers", alice},
		{"somebody's session", "not this principal's", &proto.Hello{
			Version: proto.Version, Mechanism: identity.X509, Trusted: true, Session: good.w.Session, Secret: make([]byte, 16)}},
	} {
		w := newPeer(h, c.hello).w
		if w.GetErrno() == 0 || !strings.Contains(w.GetMessage(), c.want) {
			t.Errorf("%s: errno %d %q, want %q", c.name, w.GetErrno(), w.GetMessage(), c.want)
		}
		if w.GetSession() != 0 || len(w.GetSecret()) != 0 {
			t.Errorf("%s: refused, and given a session", c.name)
		}
	}
	if r := good.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{}, Op: &proto.Call_Getattr{Getattr: &proto.Getattr{Ino: 1}}}); good.errno(r) != 0 {
		t.Errorf("the good session suffered: %v", r)
	}
}

func TestHostileCalls(t *testing.T) {
	h := newHouse(t)
	cred := &proto.Cred{Uid: 1000, Gid: 1000}
	getattr := &proto.Call_Getattr{Getattr: &proto.Getattr{Ino: 1}}
	for _, c := range []struct {
		name string
		want posix.Errno
		call *proto.Call
	}{
		{"an old epoch", posix.ESTALE, &proto.Call{Epoch: 0, Cred: cred, Op: getattr}},
		{"a future epoch", posix.ESTALE, &proto.Call{Epoch: 2, Cred: cred, Op: getattr}},
		{"no caller", posix.EPROTO, &proto.Call{Epoch: 1, Op: getattr}},
		{"no op", posix.ENOSYS, &proto.Call{Epoch: 1, Cred: cred}},
		{"an op without its fields", posix.ESTALE, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Lookup{}}},
		{"a slot beyond the last", posix.EPROTO, &proto.Call{Epoch: 1, Cred: cred, Slot: 1 << 30, Seq: 1, Op: getattr}},
		{"a name with a slash", posix.EINVAL, &proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Mkdir{
			Mkdir: &proto.Make{Dir: 1, Name: []byte("a/b"), Mode: 0o755}}}},
		{"an inode that is none", posix.ESTALE, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Getattr{Getattr: &proto.Getattr{Ino: 1 << 60}}}},
		{"a handle that is none", posix.EBADF, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Layout{Layout: &proto.Layout{Handle: 77, Length: 1}}}},
		{"more handles than a close may name", posix.E2BIG, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Close{
			Close: &proto.Close{Handle: 77, More: make([]uint64, proto.MaxCloses+1)}}}},
		{"a forged ticket", posix.EACCES, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Reclaim{Reclaim: &proto.Reclaim{Ticket: make([]byte, 82)}}}},
		{"a commit of half a slice id", posix.EINVAL, &proto.Call{Epoch: 1, Cred: cred, Op: &proto.Call_Commit{
			Commit: &proto.Commit{Handle: 1, Extents: []*proto.Extent{{Len: 1, Slice: []byte{1}}}}}}},
	} {
		p := newPeer(h, trustedHello())
		r := p.call(c.call)
		if got := p.errno(r); got != c.want {
			t.Errorf("%s: %v (%s), want %v", c.name, got, r.GetMessage(), c.want)
		}
		if r := p.call(&proto.Call{Epoch: 1, Cred: cred, Op: getattr}); p.errno(r) != 0 {
			t.Errorf("%s: the session is unusable afterwards: %v", c.name, r)
		}
	}
}

// A session that was overtaken by its own resumption can do nothing more.
func TestOvertakenStreamIsFenced(t *testing.T) {
	h := newHouse(t)
	old := newPeer(h, trustedHello())
	hello := trustedHello()
	hello.Session, hello.Secret = old.w.Session, old.w.Secret
	fresh := newPeer(h, hello)
	if fresh.w.Epoch != old.w.Epoch+1 {
		t.Fatalf("epoch %d after %d", fresh.w.Epoch, old.w.Epoch)
	}
	mk := func(epoch uint64) *proto.Call {
		return &proto.Call{Epoch: epoch, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Mkdir{Mkdir: &proto.Make{Dir: 1, Name: []byte("x"), Mode: 0o755}}}
	}
	if e := old.errno(old.call(mk(old.w.Epoch))); e == 0 {
		t.Error("the overtaken stream made a directory")
	}
	if e := fresh.errno(fresh.call(mk(old.w.Epoch))); e != posix.ESTALE {
		t.Errorf("the old epoch on the new stream: %v", e)
	}
	if e := fresh.errno(fresh.call(mk(fresh.w.Epoch))); e != 0 {
		t.Errorf("the new stream: %v", e)
	}
}

// dialLane opens a lane as a mount does.
func dialLane(h *house) *lane.Conn {
	c, err := lane.Dial(h.t.Context(), h.addr, h.mount.Client("127.0.0.1"), new(certs.Conns))
	must(h.t, err)
	h.t.Cleanup(c.Close)
	return c
}

// store is a mount's way to the blocks, without the mount.
func store(h *house) *blocks.Client {
	b := blocks.New(blocks.Config{Dial: func(ctx context.Context) (*lane.Conn, error) {
		return lane.Dial(ctx, h.addr, h.mount.Client("127.0.0.1"), new(certs.Conns))
	}})
	h.t.Cleanup(b.Close)
	return b
}

// frame sends one frame and answers the errno that came.
func frame(t *testing.T, c *lane.Conn, hd *proto.BlockHeader, data []byte) posix.Errno {
	t.Helper()
	must(t, c.Send(hd, data))
	in, _, err := c.Next()
	must(t, err)
	return posix.ErrnoOf(proto.Failure("x", in.GetErrno(), in.GetMessage()))
}

func TestBlocksNeedTheirCapability(t *testing.T) {
	h := newHouse(t)
	p := newPeer(h, trustedHello())
	open := func(name string, handle uint64, flags posix.OpenFlags) *proto.Opened {
		r := p.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Create{Create: &proto.Create{
			Dir: 1, Name: []byte(name), Mode: 0o600, Handle: handle, Flags: uint32(flags)}}})
		if p.errno(r) != 0 {
			t.Fatal(r)
		}
		return r.Opened
	}
	a := open("a", 1, posix.OpenRead|posix.OpenWrite)
	reader := open("a", 2, posix.OpenRead)
	b := open("b", 3, posix.OpenRead|posix.OpenWrite)
	st := dialLane(h)
	slice := bytes.Repeat([]byte{9}, 16)
	put := func(capability []byte, file uint64) *proto.BlockHeader {
		return &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: capability, File: file, Slice: slice}
	}
	get := func(capability []byte, file uint64, n uint32) *proto.BlockHeader {
		return &proto.BlockHeader{Op: proto.BlockHeader_GET, Capability: capability, File: file, Slice: slice, Len: n}
	}
	forged := bytes.Clone(a.Capability)
	forged[30] ^= 1
	fileA := a.Attr.Ino
	for _, c := range []struct {
		name string
		want posix.Errno
		hd   *proto.BlockHeader
		data []byte
	}{
		{"none", posix.EACCES, put(nil, fileA), []byte("x")},
		{"forged", posix.EACCES, put(forged, fileA), []byte("x")},
		{"a ticket", posix.EACCES, put(a.Ticket, fileA), []byte("x")},
		{"another file's", posix.EACCES, put(b.Capability, fileA), []byte("x")},
		{"to read alone", posix.EACCES, put(reader.Capability, fileA), []byte("x")},
		{"to read alone, sync", posix.EACCES, &proto.BlockHeader{Op: proto.BlockHeader_SYNC, Capability: reader.Capability}, nil},
		{"good, an empty block", posix.EINVAL, put(a.Capability, fileA), nil},
		{"good", 0, put(a.Capability, fileA), []byte("data")},
		{"good, the same again", 0, put(a.Capability, fileA), []byte("data")},
		{"good, other bytes under the name", posix.EEXIST, put(a.Capability, fileA), []byte("atad")},
		{"good, no slice", posix.EINVAL, &proto.BlockHeader{Op: proto.BlockHeader_GET, Capability: a.Capability, File: fileA, Len: 1}, nil},
		{"reader gets", 0, get(reader.Capability, fileA, 4), nil},
		{"beyond the end", posix.EINVAL, get(reader.Capability, fileA, 5), nil},
		{"a gigabyte", posix.EINVAL, get(reader.Capability, fileA, 1<<30), nil},
		{"another file's reads", posix.EACCES, get(b.Capability, fileA, 4), nil},
		{"the other file has no such block", posix.ENOENT, get(b.Capability, b.Attr.Ino, 4), nil},
		{"no operation", posix.ENOSYS, &proto.BlockHeader{Capability: a.Capability}, nil},
	} {
		if got := frame(t, st, c.hd, c.data); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}

	// A commit of what was never put is refused, and names nothing.
	r := p.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Commit{Commit: &proto.Commit{
		Handle: 1, Extents: []*proto.Extent{{Len: 4, File: fileA, Slice: bytes.Repeat([]byte{8}, 16), SliceLen: 4}}}}})
	if e := p.errno(r); e != posix.EAGAIN {
		t.Errorf("a commit of what was never put: %v", e)
	}
}

// Bytes that are no TLS, and TLS that is no gRPC, end with the connection.
func TestNoise(t *testing.T) {
	h := newHouse(t)
	for _, noise := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("\xff", 1<<16)} {
		c, err := net.Dial("tcp", h.addr)
		must(t, err)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte(noise))
		buf := make([]byte, 1024)
		for err == nil {
			_, err = c.Read(buf)
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() && len(noise) > 3 {
			t.Errorf("%.20q: the server went on listening", noise)
		}
		c.Close()
	}
	m := h.connect()
	if _, err := m.As(root).Getattr(t.Context(), posix.RootIno); err != nil {
		t.Errorf("after the noise: %v", err)
	}
}
