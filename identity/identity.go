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
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"
)

// The mechanisms of the handshake.
const (
	Simple   = "SIMPLE"   // a stated name; nothing is proven
	Kerberos = "KERBEROS" // a ticket for the server
	OIDC     = "OIDC"     // a signed token (JWT) of an issuer
	Token    = "TOKEN"    // a delegation token, which the server has issued
	X509     = "X509"     // the certificate that the client showed in the TLS handshake
	Custom   = "CUSTOM"   // whatever a plugin of the server takes
)

// ErrCredential is why there is no proof: the credential is not there, or has
// expired. What it wraps says what to do.
var ErrCredential = errors.New("no credential that is good")

// ErrRefused is what every failed proof is.
var ErrRefused = errors.New("identity refused")

// Principal is an authenticated name.
type Principal struct {
	Name      string
	Mechanism string // how it was proven
	// Via is who has proven itself and acts for Name; empty where that is Name.
	Via string
}

// String is "user1 (SIMPLE)" or "user1 via service1 (X509)".
func (p Principal) String() string {
	if p.Via != "" {
		return p.Name + " via " + p.Via + " (" + p.Mechanism + ")"
	}
	return p.Name + " (" + p.Mechanism + ")"
}

// Prover is the name that was proven: of who acts for another, its own.
func (p Principal) Prover() string {
	if p.Via != "" {
		return p.Via
	}
	return p.Name
}

// Channel is what a proof is bound to.
type Channel struct {
	Remote net.Addr
	TLS    tls.ConnectionState
}

// Binding is what both ends of the channel know and nobody else does: the
// tls-exporter of RFC 9266, 32 bytes.
func (c Channel) Binding() ([]byte, error) {
	if !c.TLS.HandshakeComplete {
		return nil, errors.New("the TLS channel is not up, and has nothing to bind to")
	}
	b, err := c.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil, fmt.Errorf("the TLS channel has nothing to bind to: %w", err)
	}
	return b, nil
}

// Loopback reports whether the other end is on this machine.
func (c Channel) Loopback() bool {
	a, ok := c.Remote.(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// Proof is what a client shows.
type Proof struct {
	Bytes []byte
	// Confirm checks the server's own proof, where the mechanism has one: an
	// error means that the server is not who it says. Nil has nothing to check.
	Confirm func(reply []byte) error
}

// Prover makes a client's proof. It is safe for concurrent use.
type Prover interface {
	Mechanism() string
	Prove(ctx context.Context, c Channel) (Proof, error)
}

// Verified is what a proof has shown.
type Verified struct {
	Principal
	Membership
	// Credential names what was shown, where the mechanism tells one from
	// another and may take it back: a delegation token.
	Credential string
	Expires    time.Time // when what was shown ends; zero: it does not
	Reply      []byte    // the server's own proof, for [Proof.Confirm]
}

// Membership is what a proof says of its principal's groups, as far as the
// Verifier's configuration lets it: whoever reads it may believe it.
type Membership struct {
	Groups []string
	// Alone means that these are all, and the proof is an account: nobody else
	// is asked. Otherwise they come beside those that the server knows.
	Alone bool
}

// Verifier checks a proof on the server. Its errors wrap ErrRefused and say in
// one line why and what the user should do. It is safe for concurrent use.
type Verifier interface {
	Mechanism() string
	Verify(ctx context.Context, c Channel, proof []byte) (Verified, error)
}

// CheckName refuses a principal's name that could be taken for something else
// in a log line, an ACL or a path: empty, over 255 bytes, or with white space,
// anything unprintable, a slash, a colon or a comma in it.
func CheckName(name string) error {
	if name == "" || len(name) > 255 {
		return errors.New("a name has 1 to 255 bytes")
	}
	for _, r := range name {
		if r == ' ' || !unicode.IsPrint(r) || r == '/' || r == ':' || r == ',' || r == '\ufffd' {
			return errors.New("a name has no white space, slash, colon or comma")
		}
	}
	return nil
}

// Clip bounds and cleans what of another's words comes into a message.
func Clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
