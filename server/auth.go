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
	"github.com/wardfs/wardfs/server/export"
)

// Auth says whom a server lets in, and as what.
type Auth struct {
	// Mechanisms are those that are accepted; none is none.
	Mechanisms []string
	// SimpleAnywhere accepts SIMPLE from other machines too.
	SimpleAnywhere bool
	// Superuser is the principal that permission does not bind: who runs the
	// server.
	Superuser string
	// Resolve answers whom a session that states no callers acts as.
	// The default knows the superuser alone.
	Resolve func(ctx context.Context, p identity.Principal) (posix.Cred, error)
	// Groups answers the names of a user's groups, for rules that name groups.
	// The default knows of none.
	Groups func(ctx context.Context, user string) ([]string, error)
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

// admitted is what a handshake has proven, and what the rules say to it.
type admitted struct {
	principal identity.Principal
	channel   identity.Channel
	trusted   bool   // calls state their callers
	path      string // what is mounted
	reply     []byte // the server's own proof

	cred posix.Cred  // of every call, unless trusted
	rule export.Rule // which squashes it
}

// admit judges a Hello. Its errors are for the user at the other end.
func (a Auth) admit(ctx context.Context, h *proto.Hello, rules export.Rules) (admitted, error) {
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
	who := admitted{principal: p, channel: ch, trusted: h.GetTrusted(), path: "/", reply: shown.Reply}
	if h.GetPath() != "" {
		who.path = h.GetPath()
	}
	if user := h.GetImpersonate(); user != "" {
		who.principal.Name, who.principal.Via = user, p.Name
	}
	if err := a.judge(ctx, rules, &who); err != nil {
		return admitted{}, fmt.Errorf("%w: %w", identity.ErrRefused, err)
	}
	return who, nil
}

func (a Auth) resolve(ctx context.Context, p identity.Principal) (posix.Cred, error) {
	var cred posix.Cred
	switch {
	case a.Resolve != nil:
		var err error
		if cred, err = a.Resolve(ctx, p); err != nil {
			return cred, fmt.Errorf("%s: %w", p, err)
		}
	case p.Name != a.Superuser:
		return cred, fmt.Errorf("%s has no account on the server", p)
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
