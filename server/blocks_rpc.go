package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/buffer"
	"github.com/wardfs/wardfs/proto/lane"
	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/session"
)

// blockCall is one call on a lane.
type blockCall struct {
	h    *proto.BlockHeader
	op   string
	id   posix.BlockID
	data []byte // what is put, or room for what is got; lent by package buffer
	err  error
}

// accept reads a call whose header has just come, with n bytes of data behind
// it. They are read if the capability is good for them, and not otherwise. An
// error is the lane's.
func (s *Server) accept(c *lane.Conn, h *proto.BlockHeader, n int) (*blockCall, error) {
	call := &blockCall{h: h}
	switch h.GetOp() {
	case proto.BlockHeader_PUT:
		call.op = "put"
		var by uint64
		if call.id, by, call.err = s.right(call.op, h, posix.OpenWrite); call.err != nil {
			break
		}
		if n == 0 || call.id.Index >= posix.ChunkSize/posix.BlockSize {
			call.err = posix.E(call.op, posix.EINVAL, fmt.Errorf("block %s of %d bytes", call.id, n))
			break
		}
		if call.err = s.mayPut(by, call.id, n); call.err != nil {
			break
		}
		call.data = buffer.Get(n)
		return call, c.Data(call.data)
	case proto.BlockHeader_GET:
		call.op = "get"
		if call.id, _, call.err = s.right(call.op, h, posix.OpenRead|posix.OpenWrite|posix.OpenExec); call.err != nil {
			break
		}
		if want := h.GetLen(); want == 0 || want > posix.BlockMax {
			call.err = posix.E(call.op, posix.EINVAL, fmt.Errorf("%d bytes asked for", want))
		}
	case proto.BlockHeader_SYNC:
		call.op = "sync"
		_, _, call.err = s.right(call.op, h, posix.OpenWrite)
	default: // who asks this wants to know whether we live
		call.op, call.err = "none", posix.E("block", posix.ENOSYS, nil)
	}
	return call, nil
}

// do does the call, unless it was refused already, and answers it.
func (s *Server) do(ctx context.Context, c *lane.Conn, call *blockCall) {
	start, moved := time.Now(), 0
	if call.err == nil {
		call.err = s.blockError(call.op, call.id, s.perform(ctx, call))
	}
	out := &proto.BlockHeader{Id: call.h.GetId()}
	out.Errno, out.Message = proto.Failed(call.err)
	out.Message = strings.ToValidUTF8(out.Message[:min(len(out.Message), maxMessage)], "")
	var data []byte
	if call.err == nil {
		moved = len(call.data)
		if call.op == "get" {
			data = call.data
		}
	}
	s.metrics.block(call.op, out.Errno, moved, time.Since(start))
	_ = c.Send(out, data) // the lane is closed if it failed, and the mount asks again
	if call.data != nil {
		buffer.Put(call.data)
	}
}

// maxMessage bounds what an answer says of an error, in bytes.
const maxMessage = 1 << 10

// perform does what a call that is allowed asks of the store.
func (s *Server) perform(ctx context.Context, call *blockCall) error {
	switch call.op {
	case "put":
		return s.c.Blocks.Put(ctx, call.id, [][]byte{call.data})
	case "get":
		call.data = buffer.Get(int(call.h.GetLen()))
		return s.blocks.Get(ctx, call.id, call.h.GetOff(), call.data)
	}
	return s.c.Blocks.Sync(ctx)
}

// Why a capability is refused; the labels of a metric.
const (
	whyForged  = "forged"  // of no key in force, of another kind or version, or damaged
	whyExpired = "expired" // too old
	whyEnded   = "ended"   // its session has ended, or lost its right
	whyRights  = "rights"  // to read, where it is shown for a write
	whyFile    = "file"    // another file's
)

// right checks the call's capability and that it is one for its file. It answers
// whose session the capability is of.
func (s *Server) right(op string, h *proto.BlockHeader, want posix.OpenFlags) (id posix.BlockID, by uint64, err error) {
	g, id, why, err := s.weigh(h, want)
	if why != "" {
		s.metrics.refused.WithLabelValues(why).Inc()
		err = posix.E(op, posix.EACCES, err)
	} else if err != nil {
		err = posix.E(op, posix.EINVAL, err)
	}
	return id, g.Session, err
}

func (s *Server) weigh(h *proto.BlockHeader, want posix.OpenFlags) (g capability.Grant, id posix.BlockID, why string, err error) {
	g, err = s.keys.ring().Open(capability.Capability, h.GetCapability(), s.c.Now())
	switch {
	case errors.Is(err, capability.ErrExpired):
		return g, id, whyExpired, err
	case err != nil:
		return g, id, whyForged, err
	case s.expelled.has(g.Session), !s.sessions.Known(session.ID(g.Session)):
		// The registry is durable: what ended before a restart stays ended.
		return g, id, whyEnded, errors.New("the session of the capability has ended, or lost its right")
	case g.Rights&want == 0:
		return g, id, whyRights, errors.New("the capability is not for that")
	case h.GetOp() == proto.BlockHeader_SYNC:
		return g, id, "", nil
	}
	id, errno := h.BlockID()
	if errno != 0 {
		return g, id, "", errors.New("not a slice")
	}
	// What is put is the file's own; what is read may be shared.
	if id.File != g.File && (h.GetOp() != proto.BlockHeader_GET || !g.Reads(id.File)) {
		return g, id, whyFile, fmt.Errorf("the capability is for file %d, not %d", g.File, id.File)
	}
	return g, id, "", nil
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
