package proto

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Frame is one message of the Blocks stream:
//
//	offset  size  what
//	0       4     n, the header's length, big-endian
//	4       n     BlockHeader, protobuf
//	4+n     rest  the bytes of the block, raw
//
// The bytes stay out of protobuf so that they are not copied on their way.
type Frame struct {
	Header *BlockHeader
	// Data is the block's bytes in a frame to send, gRPC's from then on. In a
	// received one it is the whole message: see Pieces, Len and Free.
	Data mem.BufferSlice
	skip int
}

// codec serves both streams; which one is told by the type.
type codec struct{}

func (codec) Name() string { return "wardfs" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Frame:
		return m.marshal()
	case proto.Message:
		b, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	return nil, fmt.Errorf("wire: cannot send a %T", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *Frame:
		return m.unmarshal(data)
	case proto.Message:
		buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer buf.Free()
		return proto.Unmarshal(buf.ReadOnlyData(), m)
	}
	return fmt.Errorf("wire: cannot receive a %T", v)
}

func (f *Frame) marshal() (mem.BufferSlice, error) {
	n := proto.Size(f.Header)
	head := make([]byte, 4, 4+n)
	binary.BigEndian.PutUint32(head, uint32(n))
	head, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(head, f.Header)
	if err != nil {
		return nil, err
	}
	return append(mem.BufferSlice{mem.SliceBuffer(head)}, f.Data...), nil
}

// unmarshal keeps a reference to what was received until Free.
func (f *Frame) unmarshal(data mem.BufferSlice) error {
	total := data.Len()
	var lead [4]byte
	if total < len(lead) {
		return fmt.Errorf("wire: a frame of %d bytes", total)
	}
	r := data.Reader()
	defer r.Close()
	r.Read(lead[:]) // a slice's reader reads all that is there
	n := int(binary.BigEndian.Uint32(lead[:]))
	if n > total-len(lead) {
		return fmt.Errorf("wire: a frame of %d bytes with a header of %d", total, n)
	}
	head := make([]byte, n)
	r.Read(head)
	f.Header = new(BlockHeader)
	if err := proto.Unmarshal(head, f.Header); err != nil {
		return err
	}
	data.Ref()
	f.Data, f.skip = data, len(lead)+n
	return nil
}

// Len is how many bytes the block's part of a received frame has.
func (f *Frame) Len() int { return f.Data.Len() - f.skip }

// Pieces are the block's bytes in a received frame, valid until Free.
func (f *Frame) Pieces() [][]byte {
	out, skip := make([][]byte, 0, len(f.Data)), f.skip
	for _, b := range f.Data {
		p := b.ReadOnlyData()
		if len(p) <= skip {
			skip -= len(p)
			continue
		}
		out, skip = append(out, p[skip:]), 0
	}
	return out
}

// Free gives a received frame's memory back.
func (f *Frame) Free() {
	f.Data.Free()
	f.Data, f.skip = nil, 0
}
