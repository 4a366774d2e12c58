package server

import (
	"crypto/tls"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/wardfs/wardfs/identity/certs"
)

// watching is TLS whose connections are kept in a set.
type watching struct {
	credentials.TransportCredentials
	set *certs.Conns
}

// ServerHandshake enters the connection.
func (w watching) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, auth, err := w.TransportCredentials.ServerHandshake(c)
	if err != nil {
		return nil, nil, err
	}
	if info, ok := auth.(credentials.TLSInfo); ok {
		conn = w.set.Add(conn, info.State)
	}
	return conn, auth, nil
}

// Clone shares the set.
func (w watching) Clone() credentials.TransportCredentials {
	return watching{w.TransportCredentials.Clone(), w.set}
}

// judgeChannel says whether the certificate that came with a channel is still
// good.
func (s *Server) judgeChannel(st tls.ConnectionState) error {
	if s.c.Judge == nil {
		return nil
	}
	if err := s.c.Judge(st); err != nil {
		return fmt.Errorf("the certificate that the mount showed is good no more: %w", err)
	}
	return nil
}

// JudgeChannels asks Config.Judge about every connection that is up, and cuts
// those that it refuses: their certificates have expired, or their authority or
// pin is gone. What their sessions' capabilities open is shut until they come
// back over a channel that is good. It is for when trust has changed.
func (s *Server) JudgeChannels() {
	s.mu.Lock()
	all := make([]*talk, 0, len(s.talks))
	for t := range s.talks {
		all = append(all, t)
	}
	s.mu.Unlock()
	for _, t := range all {
		if s.judgeChannel(t.who.channel.TLS) != nil {
			s.expelled.add(uint64(t.sess.ID), s.c.Now().Add(s.c.CapabilityLife), s.c.Now())
		}
	}
	// Nothing is said before: a mount that has a good certificate by now comes
	// back unnoticed, and any other is told the cause in its next handshake.
	s.conns.Judge(s.judgeChannel, func(c net.Conn, why error) {
		s.c.Log.Warn("a connection is cut", "peer", c.RemoteAddr().String(), "err", why)
	})
}
