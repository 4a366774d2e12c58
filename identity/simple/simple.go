// Package simple is the mechanism SIMPLE: the client states a name and the
// server believes it. It proves nothing, so a server accepts it from its own
// machine alone unless told otherwise.
package simple

import (
	"context"
	"fmt"

	"github.com/wardfs/wardfs/identity"
)

// Prover states Name.
type Prover struct{ Name string }

// Mechanism is SIMPLE.
func (Prover) Mechanism() string { return identity.Simple }

// Prove answers the name.
func (p Prover) Prove(context.Context, identity.Channel) (identity.Proof, error) {
	return identity.Proof{Bytes: []byte(p.Name)}, nil
}

// Verifier believes every well-formed name.
type Verifier struct {
	// Anywhere accepts it from other machines too.
	Anywhere bool
}

// Mechanism is SIMPLE.
func (Verifier) Mechanism() string { return identity.Simple }

// Verify answers the stated name.
func (v Verifier) Verify(_ context.Context, c identity.Channel, proof []byte) (identity.Verified, error) {
	if !v.Anywhere && !c.Loopback() {
		return identity.Verified{}, fmt.Errorf("%w: SIMPLE is for the server's own machine; log in with a certificate (-o cert=,key=)", identity.ErrRefused)
	}
	name := string(proof)
	if err := identity.CheckName(name); err != nil {
		return identity.Verified{}, fmt.Errorf("%w: user %.100q: %w", identity.ErrRefused, name, err)
	}
	return identity.Verified{Principal: identity.Principal{Name: name, Mechanism: identity.Simple}}, nil
}
