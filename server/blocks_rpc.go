package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/chunk"
)

// blockCalls is how many calls of one Blocks stream run at once: it bounds the
// memory of one mount to so many blocks.
const blockCalls = 16

// Blocks serves one stream of the chunk role. It needs no session: each call
// bears its capability.
func (w wire) Blocks(st grpc.ServerStream) error {
	var running sync.WaitGroup
	defer running.Wait()
	var sending sync.Mutex
	room := make(chan struct{}, blockCalls)
	for {
		in := new(proto.Frame)
		if err := st.RecvMsg(in); err != nil {
			return nil // the mount has gone, or the server is shutting down
		}
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			out := w.block(st.Context(), in)
			sending.Lock()
			defer sending.Unlock()
			st.SendMsg(out) // gRPC frees what it was given, sent or not
		})
	}
}

// block does one call and answers its reply.
func (s *Server) block(ctx context.Context, in *proto.Frame) *proto.Frame {
	defer in.Free()
	start := time.Now()
	out := &proto.Frame{Header: &proto.BlockHeader{Id: in.Header.GetId()}}
	var err error
	var op string
	switch in.Header.GetOp() {
	case proto.BlockHeader_PUT:
		op, err = "put", s.put(ctx, in)
	case proto.BlockHeader_GET:
		op = "get"
		out.Data, err = s.get(ctx, in)
	case proto.BlockHeader_SYNC:
		op, err = "sync", s.sync(ctx, in)
	default:
		op, err = "none", posix.E("block", posix.ENOSYS, nil)
	}
	out.Header.Errno, out.Header.Message = proto.Failed(err)
	s.metrics.block(op, out.Header.Errno, in.Len()+out.Data.Len(), time.Since(start))
	return out
}

// right checks the frame's capability and that it is one for its file.
func (s *Server) right(op string, h *proto.BlockHeader, want posix.OpenFlags) (posix.BlockID, error) {
	g, err := s.ring.Open(capability.Capability, h.GetCapability(), s.c.Now())
	if err != nil {
		return posix.BlockID{}, posix.E(op, posix.EACCES, err)
	}
	if s.expelled.has(g.Session) {
		return posix.BlockID{}, posix.E(op, posix.EACCES, errors.New("the session of the capability lost its right"))
	}
	if g.Rights&want == 0 {
		return posix.BlockID{}, posix.E(op, posix.EACCES, errors.New("the capability is not for that"))
	}
	if h.GetOp() == proto.BlockHeader_SYNC {
		return posix.BlockID{}, nil
	}
	id, errno := h.BlockID()
	if errno != 0 {
		return id, posix.E(op, errno, errors.New("not a slice"))
	}
	// What is put is the file's own; what is read may be shared.
	if id.File != g.File && (h.GetOp() != proto.BlockHeader_GET || !g.Reads(id.File)) {
		return id, posix.E(op, posix.EACCES, fmt.Errorf("the capability is for file %d, not %d", g.File, id.File))
	}
	return id, nil
}

func (s *Server) put(ctx context.Context, in *proto.Frame) error {
	id, err := s.right("put", in.Header, posix.OpenWrite)
	if err != nil {
		return err
	}
	if n := in.Len(); n == 0 || n > posix.BlockMax || id.Index >= posix.ChunkSize/posix.BlockSize {
		return posix.E("put", posix.EINVAL, fmt.Errorf("block %s of %d bytes", id, n))
	}
	return s.blockError("put", id, s.c.Blocks.Put(ctx, id, in.Pieces()))
}

func (s *Server) get(ctx context.Context, in *proto.Frame) (mem.BufferSlice, error) {
	id, err := s.right("get", in.Header, posix.OpenRead|posix.OpenWrite|posix.OpenExec)
	if err != nil {
		return nil, err
	}
	n := in.Header.GetLen()
	if n == 0 || n > posix.BlockMax {
		return nil, posix.E("get", posix.EINVAL, fmt.Errorf("%d bytes asked for", n))
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(int(n))
	if err := s.blockError("get", id, s.blocks.Get(ctx, id, in.Header.GetOff(), (*buf)[:n])); err != nil {
		pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

func (s *Server) sync(ctx context.Context, in *proto.Frame) error {
	if _, err := s.right("sync", in.Header, posix.OpenWrite); err != nil {
		return err
	}
	return s.blockError("sync", posix.BlockID{}, s.c.Blocks.Sync(ctx))
}

// blockError gives a store's error its errno; damage is logged here, once.
func (s *Server) blockError(op string, id posix.BlockID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, chunk.ErrNotFound):
		return posix.E(op, posix.ENOENT, err)
	case errors.Is(err, chunk.ErrExists):
		return posix.E(op, posix.EEXIST, err)
	case errors.Is(err, chunk.ErrCorrupt):
		s.c.Log.Error("a block is damaged", "block", id.String(), "err", err)
	}
	return posix.E(op, posix.ErrnoOf(err), err)
}
