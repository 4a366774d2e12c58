package wire

import (
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// opened makes a file through a session and answers its capability.
func opened(t *testing.T, h *house) *proto.Opened {
	t.Helper()
	p := newPeer(h, trustedHello())
	r := p.create(1, "f", 0o600, 0, 1)
	p.must(r)
	return r.GetOpened()
}

// A put that is refused costs the peer its bytes and the server nothing: they
// are passed over, and the lane goes on.
func TestRefusedPutIsPassedOver(t *testing.T) {
	h := newHouse(t)
	o := opened(t, h)
	c := dialLane(h)
	big := make([]byte, posix.BlockMax)
	put := func(capability []byte) *proto.BlockHeader {
		return &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: capability, File: o.Attr.Ino, Slice: []byte("0123456789abcdef")}
	}
	for range 3 {
		if e := frame(t, c, put(nil), big); e != posix.EACCES {
			t.Fatalf("without a capability: %v", e)
		}
	}
	if e := frame(t, c, put(o.Capability), big); e != 0 {
		t.Errorf("afterwards: %v", e)
	}
}

// Who speaks the lanes' protocol and makes no sense in it is hung up on.
func TestNoiseOnALane(t *testing.T) {
	h := newHouse(t)
	conf := h.mount.Client("127.0.0.1")
	conf.NextProtos = []string{certs.Blocks}
	for name, say := range map[string]string{
		"HTTP/2":               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a frame too long":     "\x00\x00\x00\x00\x7f\xff\xff\xff",
		"a header too long":    "\x00\x01\x00\x00\x00\x00\x00\x00",
		"a header that is no":  "\x00\x00\x00\x03\x00\x00\x00\x00\xff\xff\xff",
		"half a frame, an end": "\x00\x00\x00\x00\x00\x00\x00\x04ab",
	} {
		c, err := tls.Dial("tcp", h.addr, conf)
		must(t, err)
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, say)
		c.CloseWrite()
		if _, err := io.ReadAll(c); err != nil && isTimeout(err) {
			t.Errorf("%s: the server went on listening", name)
		}
		c.Close()
	}
	if _, err := h.connect().As(root).Getattr(t.Context(), posix.RootIno); err != nil {
		t.Errorf("after the noise: %v", err)
	}
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// A lane needs no session, but it needs a capability, and soon.
func TestUnprovenLane(t *testing.T) {
	h := newHouse(t)
	o := opened(t, h)
	h.stop()
	h.laneTimeout = time.Second
	h.start()
	c := dialLane(h)
	must(t, c.Send(&proto.BlockHeader{Op: proto.BlockHeader_SYNC, Capability: []byte("none")}, nil))
	answers := 0
	for _, _, err := c.Next(); err == nil; _, _, err = c.Next() {
		answers++
	}
	if answers != 1 {
		t.Errorf("%d answers before the end", answers)
	}
	sync := &proto.BlockHeader{Op: proto.BlockHeader_SYNC, Capability: o.Capability}
	for { // a busy machine may need several tries to be quick enough
		c = dialLane(h)
		if c.Send(sync, nil) != nil {
			continue
		}
		if _, _, err := c.Next(); err == nil {
			break
		}
	}
	time.Sleep(2 * h.laneTimeout) // for what must not happen
	if e := frame(t, c, sync, nil); e != 0 {
		t.Errorf("a lane that has shown its capability: %v", e)
	}
}

// A lane does not outlive the trust in the certificate that opened it.
func TestLaneOfOneTrustedNoMore(t *testing.T) {
	h := newHouse(t)
	file := h.trustFile()
	o := opened(t, h)
	c := dialLane(h)
	sync := &proto.BlockHeader{Op: proto.BlockHeader_SYNC, Capability: o.Capability}
	h.srv.JudgeChannels()
	if e := frame(t, c, sync, nil); e != 0 {
		t.Fatalf("trusted as before: %v", e)
	}
	copyFile(t, stranger(t).CA(), file)
	h.srv.JudgeChannels()
	if _, _, err := c.Next(); err == nil {
		t.Error("the lane goes on")
	}
}
