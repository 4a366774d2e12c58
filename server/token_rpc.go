package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/tokens"
)

var (
	errTokenOfToken  = errors.New("this session came by a delegation token, and there is no token for a token: ask with the owner's own credential")
	errTokenUnproven = errors.New("this session has proven no name; ask by KERBEROS, OIDC or X509, or let the server allow it: auth.token.unproven")
	errTokenStated   = errors.New("this session is not its principal's alone, for it states callers or acts for another: ask with the user's own credential")
	errCancelled     = errors.New("the delegation token of the session was cancelled")
)

// useTokens makes the table of tokens, and the mechanism that asks it.
func (s *Server) useTokens() {
	a := &s.c.Auth
	s.tokens = tokens.New(tokens.Config{Engine: s.c.Engine, MaxLife: a.TokenLife, Renewal: a.TokenRenewal, Now: s.c.Now})
	a.Verifiers = append(slices.Clone(a.Verifiers), delegation.Verifier{Lookup: s.tokens.Lookup, Now: s.c.Now})
}

// dispatchToken does the calls about delegation tokens, which ask the tree
// nothing. It answers false for any other.
func (t *talk) dispatchToken(ctx context.Context, cred posix.Cred, c *proto.Call) (list []*proto.TokenInfo, ok bool, err error) {
	var token tokens.Token
	switch op := c.Op.(type) {
	case *proto.Call_TokenIssue:
		token, err = t.issueToken(ctx, op.TokenIssue)
	case *proto.Call_TokenRenew:
		token, err = t.renewToken(ctx, op.TokenRenew.GetId())
	case *proto.Call_TokenCancel:
		return nil, true, t.cancelToken(ctx, op.TokenCancel.GetId(), t.maySupervise(cred) == nil)
	case *proto.Call_TokenList:
		list, err = t.listTokens(ctx, t.maySupervise(cred) == nil)
		return list, true, err
	default:
		return nil, false, nil
	}
	return []*proto.TokenInfo{toToken(token)}, true, err
}

func (t *talk) issueToken(ctx context.Context, m *proto.TokenIssue) (tokens.Token, error) {
	if err := t.mayDelegate(); err != nil {
		return tokens.Token{}, err
	}
	id, err := tokenID(m.GetId())
	if err != nil {
		return tokens.Token{}, err
	}
	who, renewer := t.who.principal.Name, m.GetRenewer()
	if renewer == "" {
		renewer = who
	}
	return t.s.tokens.Issue(ctx, id, m.GetPublic(), who, renewer)
}

func (t *talk) renewToken(ctx context.Context, raw []byte) (tokens.Token, error) {
	if err := t.mayDelegate(); err != nil {
		return tokens.Token{}, err
	}
	id, err := tokenID(raw)
	if err != nil {
		return tokens.Token{}, err
	}
	return t.s.tokens.Renew(ctx, id, t.who.principal.Name)
}

func (t *talk) listTokens(ctx context.Context, super bool) (list []*proto.TokenInfo, err error) {
	if err := t.mayDelegate(); err != nil {
		return nil, err
	}
	all, err := t.s.tokens.List(ctx, t.who.principal.Name, super)
	for _, token := range all {
		list = append(list, toToken(token))
	}
	return list, err
}

// mayDelegate refuses sessions that can't say of themselves whose they are, or
// whose power would outlive what gave it: EPERM.
func (t *talk) mayDelegate() error {
	p := t.who.principal
	var why error
	switch {
	case p.Mechanism == identity.Token:
		why = errTokenOfToken
	case t.who.trusted || p.Via != "":
		why = errTokenStated
	case p.Mechanism == identity.Simple && !t.s.c.Auth.TokenUnproven:
		why = errTokenUnproven
	default:
		return nil
	}
	return posix.E("token", posix.EPERM, why)
}

func tokenID(b []byte) (id delegation.ID, err error) {
	if len(b) != len(id) {
		return id, posix.E("token", posix.EINVAL, fmt.Errorf("a token's id has %d bytes, not %d", len(id), len(b)))
	}
	return delegation.ID(b), nil
}

func toToken(t tokens.Token) *proto.TokenInfo {
	at := proto.ToTime
	return &proto.TokenInfo{
		Id: t.ID[:], Owner: t.Owner, Renewer: t.Renewer,
		Issued: at(posix.TimeOf(t.Issued)), Expires: at(posix.TimeOf(t.Expires)), Max: at(posix.TimeOf(t.Max)),
	}
}

// cancelToken forgets a token and ends the sessions that came by it. The bearer
// may too: a job that is done needs it no more.
func (t *talk) cancelToken(ctx context.Context, raw []byte, super bool) error {
	id, err := tokenID(raw)
	if err != nil {
		return err
	}
	if own := t.who.credential == id.String(); !own {
		if err := t.mayDelegate(); err != nil {
			return err
		}
	}
	if err := t.s.tokens.Cancel(ctx, id, t.who.principal.Name, super); err != nil {
		return err
	}
	t.s.mu.Lock()
	var victims []*talk
	for o := range t.s.talks {
		if o.who.credential == id.String() && o.sess.Current(o.epoch) {
			victims = append(victims, o)
		}
	}
	t.s.mu.Unlock()
	for _, o := range victims {
		if o == t { // after its answer
			t.s.working.Go(func() { o.expel(context.WithoutCancel(ctx), errCancelled) })
			continue
		}
		o.expel(ctx, errCancelled)
	}
	return nil
}

// stillGood answers an error if the token that the session came by was
// cancelled between its handshake and now that others see it.
func (t *talk) stillGood(ctx context.Context) error {
	if t.who.principal.Mechanism != identity.Token {
		return nil
	}
	id, err := delegation.ParseID(t.who.credential)
	if err != nil {
		return err
	}
	_, ok, err := t.s.tokens.Lookup(ctx, id)
	if err == nil && !ok {
		err = errCancelled
	}
	return err
}
