package lane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	pb "google.golang.org/protobuf/proto"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// end makes a lane of one end of a pipe, without TLS.
func end(c net.Conn) *Conn {
	w := Under(c)
	return New(w, w)
}

func pair(t *testing.T) (a, b *Conn) {
	x, y := net.Pipe()
	a, b = end(x), end(y)
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	return a, b
}

func header() *proto.BlockHeader {
	return &proto.BlockHeader{Id: 7, Op: proto.BlockHeader_PUT, File: 9, Slice: bytes.Repeat([]byte{7}, 16), Index: 2}
}

func TestFrames(t *testing.T) {
	a, b := pair(t)
	edge := record - leadSize - pb.Size(header()) // what fits into the first record
	sizes := []int{0, 1, edge - 1, edge, edge + 1, 2 * record, gathered, gathered + record + 1, posix.BlockSize, posix.BlockMax}
	sent := make(chan error, 1)
	go func() {
		for _, n := range sizes {
			if err := a.Send(header(), bytes.Repeat([]byte{byte(n)}, n)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i, n := range sizes {
		h, m, err := b.Next()
		if err != nil || m != n || !pb.Equal(h, header()) {
			t.Fatalf("%d bytes: %v, %d, %v", n, h, m, err)
		}
		got := make([]byte, n)
		if i%3 == 2 {
			got = got[:n/2] // the rest is passed over
		}
		if err := b.Data(got); err != nil || bytes.Count(got, []byte{byte(n)}) != len(got) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if err := b.Data(make([]byte, n-len(got)+1)); err == nil {
			t.Fatalf("%d bytes: more than came was read", n)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	_, out := a.Moved()
	if in, _ := b.Moved(); in == 0 || in != out {
		t.Errorf("%d bytes went and %d came", out, in)
	}
}

// What can't be received is not sent, and nothing after it.
func TestTooLarge(t *testing.T) {
	for name, send := range map[string]func(*Conn) error{
		"data":   func(c *Conn) error { return c.Send(header(), make([]byte, posix.BlockMax+1)) },
		"header": func(c *Conn) error { return c.Send(&proto.BlockHeader{Capability: make([]byte, maxHeader)}, nil) },
	} {
		a, b := pair(t)
		if send(a) == nil || a.Send(header(), nil) == nil {
			t.Errorf("%s: sent", name)
		}
		if _, _, err := b.Next(); err == nil {
			t.Errorf("%s: something came", name)
		}
	}
}

// script is a peer that says p and then nothing more.
type script struct {
	net.Conn
	p io.Reader
}

func (s script) Read(p []byte) (int, error)        { return s.p.Read(p) }
func (s script) SetReadDeadline(t time.Time) error { return nil }

func lead(header, data int) []byte {
	b := make([]byte, leadSize)
	binary.BigEndian.PutUint32(b, uint32(header))
	binary.BigEndian.PutUint32(b[4:], uint32(data))
	return b
}

func TestNonsense(t *testing.T) {
	for name, say := range map[string][]byte{
		"a header too long":      append(lead(maxHeader+1, 0), make([]byte, maxHeader+1)...),
		"data too long":          lead(0, posix.BlockMax+1),
		"a header of four GiB":   lead(-1, 0),
		"a header that is none":  append(lead(3, 0), 0xff, 0xff, 0xff),
		"the end in a lead":      lead(1, 1)[:5],
		"the end in a header":    append(lead(9, 0), 1, 2),
		"HTTP":                   []byte("GET / HTTP/1.1\r\n\r\n"),
		"the end before a frame": nil,
	} {
		if h, n, err := end(script{p: bytes.NewReader(say)}).Next(); err == nil {
			t.Errorf("%s: %v and %d bytes", name, h, n)
		}
	}
}

func FuzzNext(f *testing.F) {
	b, _ := pb.Marshal(header())
	f.Add(append(append(lead(len(b), 3), b...), "abc"...))
	f.Add(append(lead(0, 0), lead(0, 2)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := end(script{p: bytes.NewReader(b)})
		left := len(b)
		for {
			_, n, err := c.Next()
			if err != nil {
				return
			}
			if left -= leadSize; left < 0 || n > posix.BlockMax {
				t.Fatalf("%x: a frame of %d bytes out of nothing", b, n)
			}
		}
	})
}

// A peer that stops in the middle of a frame is given up, one that says nothing
// between two is not.
func TestStall(t *testing.T) {
	x, y := net.Pipe()
	defer y.Close()
	c := end(x)
	c.wire.stall = 50 * time.Millisecond
	got := make(chan error)
	next := func() {
		_, _, err := c.Next()
		got <- err
	}
	go next()
	select {
	case err := <-got:
		t.Fatal("gave up between two frames:", err)
	case <-time.After(4 * c.wire.stall):
	}
	y.Write(lead(0, 0))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	go next()
	y.Write(lead(5, 0)[:3])
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("in a lead: %v", err)
	}
	if err := c.Send(header(), make([]byte, record)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to one who does not read: %v", err)
	}
}
