package lane

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/wardfs/wardfs/identity/certs"
)

// dialTime bounds a Dial, the handshake included.
const dialTime = 10 * time.Second

// Dial opens a lane to server, a "host:port", and enters it into up. A c without
// ServerName expects the host. What a server has against our certificate comes with the first
// Next, as TLS 1.3 has it.
func Dial(ctx context.Context, server string, c *tls.Config, up *certs.Conns) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c = c.Clone()
	c.NextProtos = []string{certs.Blocks}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	// A server that is gone is noticed within 20 s, while nothing is asked too.
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2}}
	tcp, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	w := Under(tcp)
	conn := tls.Client(w, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, err
	}
	return New(up.Add(conn, conn.ConnectionState()), w), nil
}
