// Package proto is the wire: the messages between a mount and its server, how
// they become the words of package posix and back, and the one gRPC service
// that carries them. docs/wire.md draws it.
//
// It is the only language that both sides speak. It decides nothing, and no
// type of it is seen outside the edges of client and server.
package proto

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
)

// Version is what Hello and Welcome state. A peer of another version is
// refused by name.
const Version = 1

// MaxMessage bounds any message of the wire, in bytes: a whole block, sealed,
// and its header.
const MaxMessage = 5 << 20

// service is the name in the path of every method.
const service = "wardfs.v1.Ward"

// The methods, as [grpc.ClientConn.NewStream] wants them.
const (
	SessionMethod = "/" + service + "/Session"
	BlocksMethod  = "/" + service + "/Blocks"
)

// SessionStream and BlocksStream describe the two streams to gRPC: both are
// long-lived and bidirectional, with ids that pair replies with calls, for a
// unary call costs three times as much.
var (
	SessionStream = grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true}
	BlocksStream  = grpc.StreamDesc{StreamName: "Blocks", ServerStreams: true, ClientStreams: true}
)

// Server is what a server does with a stream until it ends.
type Server interface {
	// Session receives *ToServer and sends *ToClient.
	Session(grpc.ServerStream) error
	// Blocks receives and sends *Frame.
	Blocks(grpc.ServerStream) error
}

// Register makes s answer on r.
func Register(r grpc.ServiceRegistrar, s Server) {
	session, blocks := SessionStream, BlocksStream
	session.Handler = func(srv any, st grpc.ServerStream) error { return srv.(Server).Session(st) }
	blocks.Handler = func(srv any, st grpc.ServerStream) error { return srv.(Server).Blocks(st) }
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*Server)(nil),
		Streams:     []grpc.StreamDesc{session, blocks},
	}, s)
}

// Codec is how both ends encode: protobuf, and frames with their bytes raw.
func Codec() encoding.CodecV2 { return codec{} }
