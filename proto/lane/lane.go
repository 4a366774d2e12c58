// Package lane carries calls about blocks: frames on a TLS connection of their
// own, on the port where gRPC has its own (ALPN tells them apart). gRPC would
// cut a block into pieces of 16 KiB and copy each twice on either side; here
// the bytes go from the sender's buffer into TLS, and out of TLS into the
// receiver's.
//
// A frame, integers big-endian:
//
//	offset  size  what
//	0       4     n, the header's length, at most 8 KiB
//	4       4     m, the data's length, at most posix.BlockMax
//	8       n     BlockHeader, protobuf
//	8+n     m     bytes of a block, raw
//
// The receiver of a header decides where the data goes, or that it goes
// nowhere: nothing is kept for bytes before their capability has been seen. A
// peer that stops in the middle of a frame, or takes none of what is sent, is
// given up after [Stall]. Between frames a lane may be silent for ever.
//
// The package knows no calls and repeats nothing: who loses a lane dials
// another.
package lane

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	pb "google.golang.org/protobuf/proto"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Stall is how long a peer may take for the next bytes of a frame, or to take
// the next ones.
const Stall = 30 * time.Second

// Calls is how many calls of one lane a server does at once. A client that
// sends more waits, and its question whether the server lives with them.
const Calls = 16

const (
	leadSize  = 8
	maxHeader = 8 << 10
	record    = 16 << 10 // most bytes of a TLS record, RFC 8446 section 5.1
)

// Conn is one end of a lane. Send may be called by several at once; Next and
// Data by one.
type Conn struct {
	tls  net.Conn
	wire *Wire

	sending sync.Mutex
	first   []byte // room for the first record of a frame

	rest   int // bytes of the last frame that nobody has read
	header [maxHeader]byte
}

// New makes a lane of a TLS connection over w, after the handshake.
func New(tls net.Conn, w *Wire) *Conn {
	w.gather()
	return &Conn{tls: tls, wire: w, first: make([]byte, 0, record)}
}

// Send sends a frame; data is the caller's again when it returns. After an
// error the lane is closed.
func (c *Conn) Send(h *proto.BlockHeader, data []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.send(h, data)
}

// TrySend is Send of a header alone, unless something is being sent.
func (c *Conn) TrySend(h *proto.BlockHeader) error {
	if !c.sending.TryLock() {
		return nil
	}
	defer c.sending.Unlock()
	return c.send(h, nil)
}

func (c *Conn) send(h *proto.BlockHeader, data []byte) error {
	err := c.write(h, data)
	if err == nil {
		err = c.wire.flush()
	}
	if err != nil {
		c.Close() // half a frame may be on its way
	}
	return err
}

func (c *Conn) write(h *proto.BlockHeader, data []byte) error {
	n := pb.Size(h)
	if n > maxHeader || len(data) > posix.BlockMax {
		return fmt.Errorf("lane: a frame of %d and %d bytes", n, len(data))
	}
	b := c.first[:leadSize]
	binary.BigEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(len(data)))
	b, err := pb.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, h)
	if err != nil {
		return err
	}
	k := min(len(data), record-len(b)) // so that a small frame is one record
	_, err = c.tls.Write(append(b, data[:k]...))
	if err == nil && k < len(data) {
		_, err = c.tls.Write(data[k:])
	}
	return err
}

// Next waits for a frame and answers its header, and how many bytes of data
// come with it. What is not read of them by Data, the next Next passes over.
func (c *Conn) Next() (h *proto.BlockHeader, n int, err error) {
	if err := c.skip(); err != nil {
		return nil, 0, err
	}
	var lead [leadSize]byte
	c.wire.idle()
	k, err := c.tls.Read(lead[:])
	if err != nil {
		return nil, 0, err
	}
	c.wire.hurry()
	if _, err = io.ReadFull(c.tls, lead[k:]); err != nil {
		return nil, 0, err
	}
	size, data := binary.BigEndian.Uint32(lead[:]), binary.BigEndian.Uint32(lead[4:])
	if size > maxHeader || data > posix.BlockMax {
		return nil, 0, fmt.Errorf("lane: a frame of %d and %d bytes", size, data)
	}
	if _, err = io.ReadFull(c.tls, c.header[:size]); err != nil {
		return nil, 0, err
	}
	h = new(proto.BlockHeader)
	if err = pb.Unmarshal(c.header[:size], h); err != nil {
		return nil, 0, err
	}
	c.rest = int(data)
	return h, c.rest, nil
}

// Data fills dst with the next bytes of the frame's data.
func (c *Conn) Data(dst []byte) error {
	if len(dst) > c.rest {
		return fmt.Errorf("lane: %d bytes wanted of %d", len(dst), c.rest)
	}
	n, err := io.ReadFull(c.tls, dst)
	c.rest -= n
	return err
}

func (c *Conn) skip() error {
	for c.rest > 0 {
		if err := c.Data(c.header[:min(c.rest, len(c.header))]); err != nil {
			return err
		}
	}
	return nil
}

// Moved counts the bytes that came and those that went: one who waits can tell
// whether there is still something going on.
func (c *Conn) Moved() (in, out uint64) { return c.wire.in.Load(), c.wire.out.Load() }

// Close ends the lane; whoever reads or sends gets an error.
func (c *Conn) Close() {
	c.wire.Close() // first, so that TLS has nobody to say goodbye to and does not wait
	c.tls.Close()
}

// CloseRead ends Next, as if the peer had hung up; Send goes on.
func (c *Conn) CloseRead() {
	if half, ok := c.wire.Conn.(interface{ CloseRead() error }); !ok || half.CloseRead() != nil {
		c.Close()
	}
}
