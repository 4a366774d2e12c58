package certs

import (
	"crypto/tls"
	"net"
	"sync"
	"syscall"
)

// Conns are the connections of one side that are up, so that those whose other
// side is trusted no longer can be cut. The zero value is ready; its methods are
// safe for concurrent use.
type Conns struct {
	mu  sync.Mutex
	all map[*watched]tls.ConnectionState
}

// watched is a connection that leaves the set when it is closed.
type watched struct {
	net.Conn
	set *Conns
}

// Close leaves the set.
func (w *watched) Close() error {
	w.set.mu.Lock()
	delete(w.set.all, w)
	w.set.mu.Unlock()
	return w.Conn.Close()
}

// raw is watched where the connection below gives out its descriptor, which
// gRPC wants for its time-outs.
type raw struct {
	*watched
	syscall.Conn
}

// Add answers c as a connection that Judge knows.
func (s *Conns) Add(c net.Conn, state tls.ConnectionState) net.Conn {
	w := &watched{c, s}
	s.mu.Lock()
	if s.all == nil {
		s.all = map[*watched]tls.ConnectionState{}
	}
	s.all[w] = state
	s.mu.Unlock()
	if sc, ok := c.(syscall.Conn); ok {
		return raw{w, sc}
	}
	return w
}

// Judge cuts every connection that judge refuses, and tells cut which and why.
func (s *Conns) Judge(judge func(tls.ConnectionState) error, cut func(net.Conn, error)) {
	s.mu.Lock()
	states := make(map[*watched]tls.ConnectionState, len(s.all))
	for w, st := range s.all {
		states[w] = st
	}
	s.mu.Unlock()
	for w, st := range states {
		if err := judge(st); err != nil {
			cut(w, err)
			w.Close()
		}
	}
}
