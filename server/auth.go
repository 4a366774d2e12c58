package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
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
	// Verifiers are the bodies of those that need more than is here: KERBEROS,
	// OIDC, CUSTOM.
	Verifiers []identity.Verifier
	// CertificateName is where X509 finds the principal.
	CertificateName x509.Field
	// SimpleAnywhere accepts SIMPLE from other machines too.
	SimpleAnywhere bool
	// TokenLife and TokenRenewal are those of delegation tokens: see
	// [tokens.Config]. TokenUnproven lets sessions have one that have stated a
	// name by SIMPLE.
	TokenLife, TokenRenewal time.Duration
	TokenUnproven           bool
	// Superuser is the principal that permission does not bind: who runs the
	// server.
	Superuser string
	// Supergroup is a group whose members are superusers, if they have proven
	// their names. Empty: none is.
	Supergroup string
	// Groups is who has an account, and in which groups. Nil: the superuser
	// alone has one.
	Groups groups.Source
	// Recheck is how often a session asks Groups again; default 1 s, below 0
	// at each call. Groups is expected to remember.
	Recheck time.Duration
	// Resolve, if not nil, answers instead of Groups and the table of names
	// whom a session that states no callers acts as.
	Resolve func(ctx context.Context, p identity.Principal) (posix.Cred, error)
}

func (a Auth) check() error {
	for _, m := range a.Mechanisms {
		if a.verifier(m) == nil {
			return fmt.Errorf("server: mechanism %q is not known, or nothing is configured for it", m)
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
		return x509.Verifier{From: a.CertificateName}
	}
	for _, v := range a.Verifiers {
		if v.Mechanism() == mechanism {
			return v
		}
	}
	return nil
}

// admitted is what a handshake has proven, and what the rules say to it.
type admitted struct {
	principal identity.Principal
	channel   identity.Channel
	trusted   bool                // calls state their callers
	path      string              // what is mounted
	member    identity.Membership // what the proof says of groups
	reply     []byte              // the server's own proof
	expires   time.Time           // when what was proven ends; zero: it does not
	// credential names what was shown, where it has a name: see identity.Verified.
	credential string
	up         bool // it was admitted before

	cred posix.Cred  // of the first calls, unless trusted; see talk.acting
	lent bool        // somebody acts for it, and not as a superuser
	rule export.Rule // which squashes it
}

// admit judges a Hello. Its errors are for the user at the other end.
func (s *Server) admit(ctx context.Context, h *proto.Hello, rules export.Rules) (admitted, error) {
	a := s.c.Auth
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
	if err := s.judgeChannel(ch.TLS); err != nil {
		return admitted{}, fmt.Errorf("%w: %w", identity.ErrRefused, err)
	}
	shown, err := a.verify(ctx, ch, h.GetMechanism(), h.GetProof())
	if err != nil {
		return admitted{}, err
	}
	p := shown.Principal
	who := admitted{principal: p, channel: ch, trusted: h.GetTrusted(), path: "/", reply: shown.Reply, expires: shown.Expires, credential: shown.Credential}
	if h.GetPath() != "" {
		who.path = h.GetPath()
	}
	if user := h.GetImpersonate(); user != "" {
		who.principal.Name, who.principal.Via = user, p.Name
	} else {
		who.member = shown.Membership
	}
	if err := s.judge(ctx, rules, &who); err != nil {
		return admitted{}, fmt.Errorf("%w: %w", identity.ErrRefused, err)
	}
	return who, nil
}

func (a Auth) verify(ctx context.Context, ch identity.Channel, mechanism string, proof []byte) (identity.Verified, error) {
	return a.verifier(mechanism).Verify(ctx, ch, proof)
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
