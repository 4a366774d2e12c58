// Package blocks is the chunk role over the wire: puts and gets of blocks on
// few long-lived lanes, many at once. All it asks can be asked again, so a
// lane that breaks costs time and nothing else.
package blocks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/lane"
)

// ErrClosed is the answer of a closed client.
var ErrClosed = errors.New("blocks: closed")

// Config is what a Client needs.
type Config struct {
	// Dial opens a lane to the server of the moment.
	Dial  func(ctx context.Context) (*lane.Conn, error)
	Lanes int // default 2: one connection is encrypted by one core
	// Soft and Timeout are those of package session.
	Soft    bool
	Timeout time.Duration // default 60 s
	// Patience is how long a lane with calls on it may be silent before the
	// server is asked whether it lives, and then again before it is given up;
	// default 10 s.
	Patience time.Duration
}

// Client is a mount's way to the chunk role. It is safe for concurrent use.
type Client struct {
	c     Config
	turn  atomic.Uint32
	slots []*slot
	done  chan struct{}
}

// slot is one place for a line; the line in it changes when it breaks.
type slot struct {
	mu sync.Mutex
	l  *line
}

// errBroken says that a call must go to another line.
var errBroken = errors.New("blocks: connection broken")

// New makes a client; lanes are opened when they are needed.
func New(c Config) *Client {
	if c.Lanes == 0 {
		c.Lanes = 2
	}
	if c.Timeout == 0 {
		c.Timeout = 60 * time.Second
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	b := &Client{c: c, done: make(chan struct{})}
	for range c.Lanes {
		b.slots = append(b.slots, &slot{})
	}
	return b
}

// Put stores a block; data is the caller's again when it returns.
func (b *Client) Put(ctx context.Context, capability []byte, id posix.BlockID, data []byte) error {
	return b.call(ctx, "put", header(proto.BlockHeader_PUT, capability, id), data, nil)
}

// Get fills dst from the block.
func (b *Client) Get(ctx context.Context, capability []byte, id posix.BlockID, off uint32, dst []byte) error {
	h := header(proto.BlockHeader_GET, capability, id)
	h.Off, h.Len = off, uint32(len(dst))
	return b.call(ctx, "get", h, nil, dst)
}

// Sync answers when every Put that returned before it is durable, unless the
// server has restarted in between: then a commit finds what is missing.
func (b *Client) Sync(ctx context.Context, capability []byte) error {
	return b.call(ctx, "sync", header(proto.BlockHeader_SYNC, capability, posix.BlockID{}), nil, nil)
}

func header(op proto.BlockHeader_Op, capability []byte, id posix.BlockID) *proto.BlockHeader {
	h := &proto.BlockHeader{Op: op, Capability: capability, File: uint64(id.File), Index: id.Index}
	if id.Slice != (posix.SliceID{}) {
		h.Slice = append([]byte(nil), id.Slice[:]...)
	}
	return h
}

// call asks until some line has carried the answer. What the answer brings
// goes to dst.
func (b *Client) call(ctx context.Context, op string, h *proto.BlockHeader, data, dst []byte) error {
	start, wait := time.Now(), 10*time.Millisecond
	for {
		l, err := b.line(ctx)
		if err == nil {
			var r result
			if r, err = l.ask(ctx, h, data, dst); err == nil {
				return r.failure(op, h, len(dst))
			}
		}
		switch {
		case ctx.Err() != nil:
			return posix.E(op, posix.EINTR, ctx.Err())
		case errors.Is(err, ErrClosed):
			return posix.E(op, posix.EHOSTDOWN, err)
		case b.c.Soft && time.Since(start) > b.c.Timeout:
			return posix.E(op, posix.ETIMEDOUT, err)
		}
		select {
		case <-ctx.Done():
		case <-b.done:
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// failure is what the server says is wrong, or what is wrong with what it says.
func (r result) failure(op string, h *proto.BlockHeader, want int) error {
	if err := proto.Failure(op, r.h.GetErrno(), r.h.GetMessage()); err != nil {
		return err
	}
	if r.n != want {
		return posix.E(op, posix.EPROTO, fmt.Errorf("%d bytes of block %d of slice %x asked for, %d came", want, h.GetIndex(), h.GetSlice(), r.n))
	}
	return nil
}

// line answers a line that is up, the slots in turn.
func (b *Client) line(ctx context.Context) (*line, error) {
	s := b.slots[int(b.turn.Add(1))%len(b.slots)]
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-b.done:
		return nil, ErrClosed
	default:
	}
	if s.l != nil && s.l.whole() {
		return s.l, nil
	}
	c, err := b.c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	s.l = newLine(c, b.c.Patience)
	return s.l, nil
}

// Close breaks the lines off.
func (b *Client) Close() {
	close(b.done)
	for _, s := range b.slots {
		s.mu.Lock()
		if s.l != nil {
			s.l.breakOff()
		}
		s.mu.Unlock()
	}
}
