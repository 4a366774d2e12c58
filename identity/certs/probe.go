package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

// ProbeTime bounds a Probe whose context has no deadline.
const ProbeTime = 5 * time.Second

// verdict is how long a server may take to say what it has against our
// certificate: in TLS 1.3 it does so after the client's side of the handshake
// has ended. A wardfs server speaks first, so that a good one is known at once.
const verdict = 2 * time.Second

// Probe connects to server, a "host:port", shakes hands and hangs up. It
// answers nil or the error that [Explain] makes, and so finds the cause where a
// library above has made text of it. A c without ServerName expects the host.
func Probe(ctx context.Context, server string, c *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, ProbeTime)
	defer cancel()
	tcp, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return Explain(err, server)
	}
	defer tcp.Close()
	if c.ServerName == "" {
		c = c.Clone()
		if c.ServerName, _, err = net.SplitHostPort(server); err != nil {
			return Explain(err, server)
		}
	}
	conn := tls.Client(tcp, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		return Explain(err, server)
	}
	if err := conn.SetReadDeadline(time.Now().Add(verdict)); err != nil {
		return Explain(err, server)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return Explain(err, server)
	}
	return nil
}
