// Package x509 is the mechanism X509: the principal is the common name, or an
// alternative name, of the certificate that the client showed in the TLS
// handshake and that the server has verified there. The proof is the handshake itself, so it is bound to the
// channel and can't be relayed.
package x509

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/identity"
)

// Prover has nothing to say: the certificate has spoken.
type Prover struct{}

// Mechanism is X509.
func (Prover) Mechanism() string { return identity.X509 }

// Prove answers nothing.
func (Prover) Prove(context.Context, identity.Channel) (identity.Proof, error) {
	return identity.Proof{}, nil
}

// Field is where in a certificate the name stands.
type Field int

// The fields. Of alternative names a certificate has exactly one of the kind:
// of several nobody could say which was meant.
const (
	CommonName Field = iota
	Email            // alternative name, rfc822Name
	DNS              // alternative name, dNSName
)

// Verifier reads the name off the verified certificate.
type Verifier struct{ From Field }

// Mechanism is X509.
func (Verifier) Mechanism() string { return identity.X509 }

// Verify refuses a channel whose client certificate was not verified.
func (v Verifier) Verify(_ context.Context, c identity.Channel, _ []byte) (identity.Verified, error) {
	if len(c.TLS.VerifiedChains) == 0 || len(c.TLS.VerifiedChains[0]) == 0 {
		return identity.Verified{}, fmt.Errorf("%w: X509 needs a client certificate (-o cert=,key=)", identity.ErrRefused)
	}
	cert := c.TLS.VerifiedChains[0][0]
	what, names := "common name", []string{cert.Subject.CommonName}
	switch v.From {
	case Email:
		what, names = "e-mail address", cert.EmailAddresses
	case DNS:
		what, names = "DNS name", cert.DNSNames
	}
	if len(names) != 1 {
		return identity.Verified{}, fmt.Errorf("%w: the certificate has %d names of the kind %s, and one is needed", identity.ErrRefused, len(names), what)
	}
	name := names[0]
	if err := identity.CheckName(name); err != nil {
		return identity.Verified{}, fmt.Errorf("%w: the certificate's %s %.100q: %w", identity.ErrRefused, what, name, err)
	}
	return identity.Verified{Principal: identity.Principal{Name: name, Mechanism: identity.X509}}, nil
}
