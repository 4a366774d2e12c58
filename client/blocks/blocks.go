// Package blocks is the chunk role over the wire: puts and gets of blocks on
// few long-lived streams, many at once. All it asks can be asked again, so a
// stream that breaks costs time and nothing else.
package blocks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// ErrClosed is the answer of a closed client.
var ErrClosed = errors.New("blocks: closed")

// Config is what a Client needs.
type Config struct {
	// Dial answers the i-th of Streams connections. It stays Dial's.
	Dial    func(ctx context.Context, i int) (*grpc.ClientConn, error)
	Streams int // default 2: one connection is encrypted by one core
	// Soft and Timeout are those of package session.
	Soft    bool
	Timeout time.Duration // default 60 s
}

// Client is a mount's way to the chunk role. It is safe for concurrent use.
type Client struct {
	c     Config
	turn  atomic.Uint32
	lanes []*lane
	done  chan struct{}
}

// lane is one place for a stream; the stream in it changes when it breaks.
type lane struct {
	mu sync.Mutex
	st *stream
}

// stream is one gRPC stream with the calls that wait on it.
type stream struct {
	st  grpc.ClientStream
	end context.CancelFunc

	sending sync.Mutex

	mu    sync.Mutex
	next  uint64
	calls map[uint64]chan *proto.Frame // nil once the stream is broken
}

// errBroken says that a call must go to another stream.
var errBroken = errors.New("blocks: stream broken")

// New makes a client; streams are opened when they are needed.
func New(c Config) *Client {
	if c.Streams == 0 {
		c.Streams = 2
	}
	if c.Timeout == 0 {
		c.Timeout = 60 * time.Second
	}
	b := &Client{c: c, done: make(chan struct{})}
	for range c.Streams {
		b.lanes = append(b.lanes, &lane{})
	}
	return b
}

// Put stores a block; data is gRPC's until Put returns.
func (b *Client) Put(ctx context.Context, capability []byte, id posix.BlockID, data []byte) error {
	h := header(proto.BlockHeader_PUT, capability, id)
	f, err := b.call(ctx, "put", h, data)
	if err == nil {
		f.Free()
	}
	return err
}

// Get fills dst from the block.
func (b *Client) Get(ctx context.Context, capability []byte, id posix.BlockID, off uint32, dst []byte) error {
	h := header(proto.BlockHeader_GET, capability, id)
	h.Off, h.Len = off, uint32(len(dst))
	f, err := b.call(ctx, "get", h, nil)
	if err != nil {
		return err
	}
	defer f.Free()
	if f.Len() != len(dst) {
		return posix.E("get", posix.EPROTO, fmt.Errorf("%d bytes of block %s asked for, %d came", len(dst), id, f.Len()))
	}
	for _, p := range f.Pieces() {
		dst = dst[copy(dst, p):]
	}
	return nil
}

// Sync answers when every Put that returned before it is durable, unless the
// server has restarted in between: then a commit finds what is missing.
func (b *Client) Sync(ctx context.Context, capability []byte) error {
	f, err := b.call(ctx, "sync", header(proto.BlockHeader_SYNC, capability, posix.BlockID{}), nil)
	if err == nil {
		f.Free()
	}
	return err
}

func header(op proto.BlockHeader_Op, capability []byte, id posix.BlockID) *proto.BlockHeader {
	h := &proto.BlockHeader{Op: op, Capability: capability, File: uint64(id.File), Index: id.Index}
	if id.Slice != (posix.SliceID{}) {
		h.Slice = append([]byte(nil), id.Slice[:]...)
	}
	return h
}

// call asks until some stream has carried the answer.
func (b *Client) call(ctx context.Context, op string, h *proto.BlockHeader, data []byte) (*proto.Frame, error) {
	start, wait := time.Now(), 10*time.Millisecond
	for {
		st, err := b.stream(ctx)
		if err == nil {
			var f *proto.Frame
			if f, err = st.ask(ctx, h, data); err == nil {
				if err := proto.Failure(op, f.Header.GetErrno(), f.Header.GetMessage()); err != nil {
					f.Free()
					return nil, err
				}
				return f, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, posix.E(op, posix.EINTR, ctx.Err())
		case errors.Is(err, ErrClosed):
			return nil, posix.E(op, posix.EHOSTDOWN, err)
		case b.c.Soft && time.Since(start) > b.c.Timeout:
			return nil, posix.E(op, posix.ETIMEDOUT, err)
		}
		select {
		case <-ctx.Done():
		case <-b.done:
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// stream answers a stream that is up, the lanes in turn.
func (b *Client) stream(ctx context.Context) (*stream, error) {
	select {
	case <-b.done:
		return nil, ErrClosed
	default:
	}
	i := int(b.turn.Add(1)) % len(b.lanes)
	l := b.lanes[i]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.st != nil && l.st.whole() {
		return l.st, nil
	}
	conn, err := b.c.Dial(ctx, i)
	if err != nil {
		return nil, err
	}
	// The stream outlives the call that opens it.
	streamCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	st, err := conn.NewStream(streamCtx, &proto.BlocksStream, proto.BlocksMethod)
	if !stop() || err != nil {
		end()
		return nil, errors.Join(err, ctx.Err())
	}
	l.st = &stream{st: st, end: end, calls: map[uint64]chan *proto.Frame{}}
	go l.st.receive()
	return l.st, nil
}

// ask sends one call and waits for its answer.
func (s *stream) ask(ctx context.Context, h *proto.BlockHeader, data []byte) (*proto.Frame, error) {
	answer := make(chan *proto.Frame, 1)
	s.mu.Lock()
	if s.calls == nil {
		s.mu.Unlock()
		return nil, errBroken
	}
	s.next++
	id := s.next
	s.calls[id] = answer
	s.mu.Unlock()
	out := &proto.Frame{Header: &proto.BlockHeader{
		Id: id, Op: h.Op, Capability: h.Capability, File: h.File, Slice: h.Slice, Index: h.Index, Off: h.Off, Len: h.Len,
	}}
	if data != nil {
		out.Data = mem.BufferSlice{mem.SliceBuffer(data)}
	}
	s.sending.Lock()
	err := s.st.SendMsg(out)
	s.sending.Unlock()
	if err != nil {
		s.breakOff()
	}
	select {
	case f, ok := <-answer:
		if !ok {
			return nil, errBroken
		}
		return f, nil
	case <-ctx.Done():
		if data != nil {
			// gRPC may not have written all of data, which is the caller's
			// again from now on: a stream that is cut can't complete it.
			s.breakOff()
		}
		s.giveUp(id)
		return nil, ctx.Err()
	}
}

// giveUp forgets a call whose caller has gone.
func (s *stream) giveUp(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls != nil {
		delete(s.calls, id)
	}
}

func (s *stream) receive() {
	defer s.breakOff()
	for {
		f := new(proto.Frame)
		if s.st.RecvMsg(f) != nil {
			return
		}
		s.mu.Lock()
		answer := s.calls[f.Header.GetId()]
		delete(s.calls, f.Header.GetId())
		s.mu.Unlock()
		if answer == nil {
			f.Free()
			continue
		}
		answer <- f
	}
}

func (s *stream) whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls != nil
}

// breakOff ends the stream; every call on it goes to another.
func (s *stream) breakOff() {
	s.end()
	s.mu.Lock()
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, answer := range calls {
		close(answer)
	}
}

// Close breaks the streams off.
func (b *Client) Close() {
	close(b.done)
	for _, l := range b.lanes {
		l.mu.Lock()
		if l.st != nil {
			l.st.breakOff()
		}
		l.mu.Unlock()
	}
}
