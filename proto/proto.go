// Package proto is the wire: the messages between a mount and its server, how
// they become the words of package posix and back, and the one gRPC service
// that carries those of sessions. Package lane below carries blocks.
// docs/wire.md draws it.
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

// MaxMessage bounds any message of a session, in bytes.
const MaxMessage = 5 << 20

// service is the name in the path of every method.
const service = "wardfs.v1.Ward"

// SessionMethod is the service's one method, as [grpc.ClientConn.NewStream]
// wants it.
const SessionMethod = "/" + service + "/Session"

// SessionStream describes its stream to gRPC: long-lived and bidirectional,
// with ids that pair replies with calls, for a unary call costs three times as
// much.
var SessionStream = grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true}

// Server is what a server does with a stream until it ends.
type Server interface {
	// Session receives *ToServer and sends *ToClient.
	Session(grpc.ServerStream) error
}

// Register makes s answer on r.
func Register(r grpc.ServiceRegistrar, s Server) {
	session := SessionStream
	session.Handler = func(srv any, st grpc.ServerStream) error { return srv.(Server).Session(st) }
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*Server)(nil),
		Streams:     []grpc.StreamDesc{session},
	}, s)
}

// Codec is how both ends encode: protobuf.
func Codec() encoding.CodecV2 { return codec{} }
