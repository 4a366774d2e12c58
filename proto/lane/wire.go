package lane

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// gathered is how many bytes are sent by one system call: eight TLS records,
// each of which would be a call and a packet of its own.
const gathered = 128 << 10

// Wire is the TCP connection under the TLS of a lane. Until New it passes on
// what it is given.
type Wire struct {
	net.Conn
	stall time.Duration
	in    atomic.Uint64 // bytes
	out   atomic.Uint64
	mid   atomic.Bool // in the middle of a frame: the peer must go on

	mu  sync.Mutex
	buf []byte // not nil: gather what is written until flush
}

// Under makes a Wire of a connection: what TLS is to be spoken over.
func Under(c net.Conn) *Wire { return &Wire{Conn: c, stall: Stall} }

func (w *Wire) gather() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = make([]byte, 0, gathered+2*record)
}

func (w *Wire) Read(p []byte) (int, error) {
	if w.mid.Load() {
		if err := w.SetReadDeadline(time.Now().Add(w.stall)); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Read(p)
	w.in.Add(uint64(n))
	return n, err
}

// idle says that the next bytes may come at any time, and hurry that they are
// to come soon.
func (w *Wire) idle() {
	w.mid.Store(false)
	_ = w.SetReadDeadline(time.Time{}) // it fails where Read does
}

func (w *Wire) hurry() { w.mid.Store(true) }

// Write is for TLS, which writes a record at a time.
func (w *Wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf == nil {
		return w.Conn.Write(p)
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) >= gathered {
		return len(p), w.send()
	}
	return len(p), nil
}

// flush sends what was gathered.
func (w *Wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.send()
}

// send is flush. w.mu is held.
func (w *Wire) send() error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
		return err
	}
	n, err := w.Conn.Write(w.buf)
	w.out.Add(uint64(n))
	w.buf = w.buf[:0]
	return err
}
