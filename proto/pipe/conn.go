package pipe

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// room is how many bytes wait in one direction at most: a small file's in its
// commit, and a connection for each caller of a mount takes little.
const room = 64 << 10

// New answers both ends of a connection.
func New() (net.Conn, net.Conn) {
	a, b := newHalf(), newHalf()
	return &conn{in: a, out: b}, &conn{in: b, out: a}
}

// conn is one end.
type conn struct{ in, out *half }

var _ net.Conn = (*conn)(nil)

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: network, Addr: addr, Err: err}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = &net.OpError{Op: "write", Net: network, Addr: addr, Err: err}
	}
	return n, err
}

// Close ends both directions. What was written before is read still.
func (c *conn) Close() error {
	c.in.shut(func(h *half) { h.deaf = true })
	c.out.shut(func(h *half) { h.over = true })
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr }
func (c *conn) RemoteAddr() net.Addr { return addr }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.until(&c.in.reading, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.until(&c.out.writing, t)
	return nil
}

// half is one direction: a ring of bytes.
type half struct {
	mu            sync.Mutex
	filled, freed sync.Cond
	ring          []byte // made with the first byte
	from, n       int    // where what waits begins, and how much it is
	over          bool   // the writer's end is closed
	deaf          bool   // the reader's is
	reading       deadline
	writing       deadline
}

// deadline is that of a reader or a writer; half.mu is its lock.
type deadline struct {
	timer *time.Timer
	set   int // how often it was set: a timer that was overtaken means nothing
	late  bool
}

func newHalf() *half {
	h := &half{}
	h.filled.L, h.freed.L = &h.mu, &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.deaf:
			return 0, net.ErrClosed
		case h.reading.late:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case h.n > 0:
			return h.take(p), nil
		case h.over:
			return 0, io.EOF
		}
		h.filled.Wait()
	}
}

// take moves bytes out of the ring; h.mu is held.
func (h *half) take(p []byte) int {
	n := copy(p, h.ring[h.from:min(h.from+h.n, room)])
	if n < h.n {
		n += copy(p[n:], h.ring[:h.from+h.n-min(h.from+h.n, room)])
	}
	h.from, h.n = (h.from+n)%room, h.n-n
	h.freed.Broadcast()
	return n
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.over:
			return n, net.ErrClosed
		case h.writing.late:
			return n, os.ErrDeadlineExceeded
		case h.deaf:
			return n, io.ErrClosedPipe
		case n == len(p):
			return n, nil
		case h.n < room:
			n += h.put(p[n:])
			continue
		}
		h.freed.Wait()
	}
}

// put moves bytes into the ring, which has room; h.mu is held.
func (h *half) put(p []byte) int {
	if h.ring == nil {
		h.ring = make([]byte, room)
	}
	if h.n == 0 {
		h.from = 0
	}
	end := (h.from + h.n) % room
	n := copy(h.ring[end:min(end+room-h.n, room)], p)
	if end+n == room && h.n+n < room {
		n += copy(h.ring[:h.from], p[n:])
	}
	h.n += n
	h.filled.Broadcast()
	return n
}

// shut lets all who wait look again.
func (h *half) shut(f func(*half)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	h.filled.Broadcast()
	h.freed.Broadcast()
}

// until sets a deadline; zero is none.
func (h *half) until(d *deadline, t time.Time) {
	h.shut(func(*half) {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		d.set++
		d.late = !t.IsZero() && !time.Now().Before(t)
		if t.IsZero() || d.late {
			return
		}
		set := d.set
		d.timer = time.AfterFunc(time.Until(t), func() {
			h.shut(func(*half) { d.late = d.late || d.set == set })
		})
	})
}
