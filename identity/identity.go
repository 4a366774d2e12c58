// Package identity is who a session belongs to. A client has a [Prover], the
// server one [Verifier] for each mechanism that it accepts; both stand on a
// TLS channel that is already up. A mechanism is a package below this one.
//
// It refuses to say what a principal may do: that is the namespace's part.
package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// The mechanisms of the handshake.
const (
	Simple = "SIMPLE" // a stated name; nothing is proven
	OIDC   = "OIDC"   // a signed token (JWT) of an issuer
	X509   = "X509"   // the certificate that the client showed in the TLS handshake
)

// ErrRefused is what every failed proof is.
var ErrRefused = errors.New("identity refused")

// Principal is an authenticated name.
type Principal struct {
	Name      string
	Mechanism string // how it was proven
}

// String is "user1 (SIMPLE)".
func (p Principal) String() string { return p.Name + " (" + p.Mechanism + ")" }

// Channel is what a proof is bound to.
type Channel struct {
	Remote net.Addr
	TLS    tls.ConnectionState
}

// Loopback reports whether the other end is on this machine.
func (c Channel) Loopback() bool {
	a, ok := c.Remote.(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// Prover makes a client's proof. It is safe for concurrent use.
type Prover interface {
	Mechanism() string
	Prove(ctx context.Context, c Channel) (proof []byte, err error)
}

// Verifier checks a proof on the server. Its errors wrap ErrRefused and say in
// one line why and what the user should do. It is safe for concurrent use.
type Verifier interface {
	Mechanism() string
	Verify(ctx context.Context, c Channel, proof []byte) (Principal, error)
}

// CheckName refuses a principal's name that could be taken for something else
// in a log line, an ACL or a path: empty, over 255 bytes, or with white space,
// control characters, a slash, a colon or a comma in it.
func CheckName(name string) error {
	if name == "" || len(name) > 255 {
		return errors.New("a name has 1 to 255 bytes")
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f || r == '/' || r == ':' || r == ',' || r == '\ufffd' {
			return errors.New("a name has no white space, slash, colon or comma")
		}
	}
	return nil
}
