package blocks

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/lane"
)

// server is the other end of each lane that a client dials.
func server(t *testing.T, c Config, serve func(nth int, c *lane.Conn, raw net.Conn)) *Client {
	t.Helper()
	nth := 0
	c.Lanes = 1
	c.Dial = func(context.Context) (*lane.Conn, error) {
		x, y := net.Pipe()
		w, theirs := lane.Under(x), lane.Under(y)
		nth++
		go serve(nth, lane.New(theirs, theirs), y)
		return lane.New(w, w), nil
	}
	b := New(c)
	t.Cleanup(b.Close)
	return b
}

func answer(c *lane.Conn, h *proto.BlockHeader, data []byte) {
	c.Send(&proto.BlockHeader{Id: h.GetId()}, data)
}

var some = posix.BlockID{File: 1, Slice: posix.SliceID{1}}

// A call whose lane breaks is made on another.
func TestBrokenLane(t *testing.T) {
	b := server(t, Config{}, func(nth int, c *lane.Conn, _ net.Conn) {
		for {
			h, _, err := c.Next()
			if err != nil || nth < 3 {
				c.Close()
				return
			}
			answer(c, h, nil)
		}
	})
	if err := b.Put(t.Context(), nil, some, []byte("data")); err != nil {
		t.Error(err)
	}
}

// An answer of another length is no answer.
func TestShortAnswer(t *testing.T) {
	b := server(t, Config{}, func(_ int, c *lane.Conn, _ net.Conn) {
		for {
			h, _, err := c.Next()
			if err != nil {
				return
			}
			answer(c, h, []byte("abc"))
		}
	})
	for _, n := range []int{2, 4} {
		if err := b.Get(t.Context(), nil, some, 0, make([]byte, n)); posix.ErrnoOf(err) != posix.EPROTO {
			t.Errorf("3 bytes for %d: %v", n, err)
		}
	}
	dst := make([]byte, 3)
	if err := b.Get(t.Context(), nil, some, 0, dst); err != nil || string(dst) != "abc" {
		t.Errorf("%q, %v", dst, err)
	}
}

// Who gives up while his answer is arriving gets his memory back, even if the
// rest of it never comes.
func TestGivenUpInTheMiddle(t *testing.T) {
	begun := make(chan struct{})
	b := server(t, Config{}, func(nth int, c *lane.Conn, raw net.Conn) {
		h, _, err := c.Next()
		if err != nil {
			return
		}
		if nth > 1 {
			answer(c, h, []byte("abcd"))
			return
		}
		// Four bytes are announced, two come: header {id: 1}.
		raw.Write([]byte{0, 0, 0, 2, 0, 0, 0, 4, 8, byte(h.GetId()), 'a', 'b'})
		close(begun)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if err := b.Get(ctx, nil, some, 0, make([]byte, 4)); posix.ErrnoOf(err) != posix.EINTR {
		t.Errorf("given up: %v", err)
	}
	dst := make([]byte, 4)
	if err := b.Get(t.Context(), nil, some, 0, dst); err != nil || string(dst) != "abcd" {
		t.Errorf("afterwards: %q, %v", dst, err)
	}
}

// A server that is silent, and does not even say that it lives, is given up;
// one that says so is waited for.
func TestSilentServer(t *testing.T) {
	const patience = 400 * time.Millisecond
	b := server(t, Config{Patience: patience}, func(nth int, c *lane.Conn, _ net.Conn) {
		asked := 0
		for call := (*proto.BlockHeader)(nil); ; {
			h, _, err := c.Next()
			switch {
			case err != nil:
				return
			case h.GetOp() == proto.BlockHeader_PUT:
				call = h
			case nth > 1:
				answer(c, h, nil)
				if asked++; asked == 2 {
					answer(c, call, nil)
				}
			}
		}
	})
	start := time.Now()
	if err := b.Put(t.Context(), nil, some, []byte("data")); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d < 3*patience {
		t.Errorf("after %v: it was not waited for", d)
	}
}
