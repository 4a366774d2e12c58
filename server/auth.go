package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/simple"
	"github.com/wardfs/wardfs/identity/x509"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Auth says whom a server lets in, and as what.
type Auth struct {
	// Mechanisms are those that are accepted; none is none.
	Mechanisms []string
	// SimpleAnywhere accepts SIMPLE from other machines too.
	SimpleAnywhere bool
	// Trusted are the principals whose sessions may state the caller of each
	// call, as NFS's sec=sys does. They must have proven their name: SIMPLE
	// does not do.
	Trusted []string
	// Superuser is the principal that permission does not bind: who runs the
	// server.
	Superuser string
	// Resolve answers whom a session that states no callers acts as.
	// The default knows the superuser alone.
	Resolve func(ctx context.Context, p identity.Principal) (posix.Cred, error)
}

func (a Auth) check() error {
	for _, m := range a.Mechanisms {
		if a.verifier(m) == nil {
			return fmt.Errorf("server: mechanism %q is not known; there are %s and %s", m, identity.Simple, identity.X509)
		}
	}
	if len(a.Mechanisms) == 0 {
		return errors.New("server: no mechanism is accepted, so nobody could log in")
	}
	return nil
}

func (a Auth) verifier(mechanism string) identity.Verifier {
	switch mechanism {
	case identity.Simple:
		return simple.Verifier{Anywhere: a.SimpleAnywhere}
	case identity.X509:
		return x509.Verifier{}
	}
	return nil
}

// admitted is what a handshake has proven.
type admitted struct {
	principal identity.Principal
	trusted   bool       // calls state their callers
	reply     []byte     // the server's own proof
	cred      posix.Cred // of every call, otherwise
}

// admit judges a Hello. Its errors are for the user at the other end.
func (a Auth) admit(ctx context.Context, h *proto.Hello) (admitted, error) {
	if h.GetVersion() != proto.Version {
		return admitted{}, fmt.Errorf("%w: the client speaks version %d of the protocol, this server %d", identity.ErrRefused, h.GetVersion(), proto.Version)
	}
	if !slices.Contains(a.Mechanisms, h.GetMechanism()) {
		return admitted{}, fmt.Errorf("%w: mechanism %q is not accepted here; accepted: %v", identity.ErrRefused, h.GetMechanism(), a.Mechanisms)
	}
	ch, err := channel(ctx)
	if err != nil {
		return admitted{}, err
	}
	shown, err := a.verifier(h.GetMechanism()).Verify(ctx, ch, h.GetProof())
	if err != nil {
		return admitted{}, err
	}
	p := shown.Principal
	if h.GetTrusted() {
		if p.Mechanism == identity.Simple || !slices.Contains(a.Trusted, p.Name) {
			return admitted{}, fmt.Errorf("%w: %s may not state its callers (identity=trusted): the server's auth.trusted does not name it, or SIMPLE has proven nothing", identity.ErrRefused, p)
		}
		return admitted{principal: p, trusted: true, reply: shown.Reply}, nil
	}
	cred, err := a.resolve(ctx, p)
	return admitted{principal: p, cred: cred, reply: shown.Reply}, err
}

func (a Auth) resolve(ctx context.Context, p identity.Principal) (posix.Cred, error) {
	var cred posix.Cred
	switch {
	case a.Resolve != nil:
		var err error
		if cred, err = a.Resolve(ctx, p); err != nil {
			return cred, fmt.Errorf("%w: %s: %w", identity.ErrRefused, p, err)
		}
	case p.Name != a.Superuser:
		return cred, fmt.Errorf("%w: %s has no account on the server", identity.ErrRefused, p)
	}
	cred.Super = p.Name == a.Superuser && p.Mechanism != identity.Simple
	return cred, nil
}

// channel is the TLS channel that a stream came over.
func channel(ctx context.Context) (identity.Channel, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Channel{}, errors.New("server: a stream without a peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return identity.Channel{}, errors.New("server: a stream without TLS")
	}
	return identity.Channel{Remote: p.Addr, TLS: info.State}, nil
}
