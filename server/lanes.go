package server

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/hands"
	"github.com/wardfs/wardfs/proto/lane"
)

// dispatch is the TLS of the listeners. It keeps the lanes from gRPC, which has
// the rest: who is what, ALPN says.
type dispatch struct {
	credentials.TransportCredentials
	s *Server
}

func (d dispatch) Clone() credentials.TransportCredentials {
	return dispatch{d.TransportCredentials.Clone(), d.s}
}

func (d dispatch) ServerHandshake(tcp net.Conn) (net.Conn, credentials.AuthInfo, error) {
	w := lane.Under(tcp)
	conn, info, err := d.TransportCredentials.ServerHandshake(w)
	if err != nil {
		return nil, nil, err
	}
	if t, ok := info.(credentials.TLSInfo); !ok || t.State.NegotiatedProtocol != certs.Blocks {
		return conn, info, nil
	}
	go d.s.serveLane(lane.New(conn, w))
	return nil, nil, credentials.ErrConnDispatched
}

// lanes are the lanes that are up.
type lanes struct {
	mu     sync.Mutex
	closed bool
	up     map[*lane.Conn]struct{}
	served sync.WaitGroup
}

// add answers false if there are to be no more.
func (l *lanes) add(c *lane.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.up == nil {
		l.up = map[*lane.Conn]struct{}{}
	}
	l.up[c] = struct{}{}
	l.served.Add(1)
	return true
}

func (l *lanes) remove(c *lane.Conn) {
	l.mu.Lock()
	delete(l.up, c)
	l.mu.Unlock()
	l.served.Done()
}

// shut ends all lanes: calls under way are answered, until ctx is done.
func (l *lanes) shut(ctx context.Context) {
	l.end((*lane.Conn).CloseRead)
	stop := context.AfterFunc(ctx, func() { l.end((*lane.Conn).Close) })
	defer stop()
	l.served.Wait()
}

func (l *lanes) end(how func(*lane.Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.up {
		how(c)
	}
}

// serveLane serves one lane of the chunk role. It needs no session, since each
// call bears its capability; but who shows none that is good for as long as a
// handshake may take has no business here. What runs at once is bounded, and so
// is a mount's memory here, to so many blocks.
func (s *Server) serveLane(c *lane.Conn) {
	defer c.Close()
	if !s.lanes.add(c) {
		return
	}
	defer s.lanes.remove(c)
	unproven := time.AfterFunc(s.c.LaneTimeout, c.Close)
	defer unproven.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	gone := make(chan struct{})
	defer close(gone)
	some, room := hands.New(), make(chan struct{}, lane.Calls)
	for {
		h, n, err := c.Next()
		if err != nil {
			return // the mount has gone, or makes no sense, or the server is shutting down
		}
		if h.GetOp() != proto.BlockHeader_NONE {
			room <- struct{}{}
		}
		call, err := s.accept(c, h, n)
		if err != nil {
			return
		}
		if call.op == "none" {
			s.do(ctx, c, call)
			continue
		}
		if call.err == nil {
			unproven.Stop()
		}
		some.Do(&running, gone, func() {
			defer func() { <-room }()
			s.do(ctx, c, call)
		})
	}
}
