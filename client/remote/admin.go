package remote

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Session is one of the server's sessions, for people.
type Session struct {
	ID        uint64    `json:"id,string"`
	Principal string    `json:"principal"`
	Mechanism string    `json:"mechanism"`
	Via       string    `json:"via,omitempty"`
	Path      string    `json:"path"`
	Client    string    `json:"client"`
	Peer      string    `json:"peer"` // empty: it is away
	Since     time.Time `json:"since"`
	Epoch     uint64    `json:"epoch"`
	Handles   int       `json:"handles"`
	Locks     int       `json:"locked_inodes"`
}

// Sessions answers all sessions of the server; EPERM unless s is a superuser's.
func Sessions(ctx context.Context, s Calls) (all []Session, err error) {
	r, err := s.Call(ctx, "sessions", posix.Cred{}, &proto.Call{Op: &proto.Call_Sessions{Sessions: &proto.Sessions{}}}, false)
	for _, m := range r.GetSessions() {
		all = append(all, Session{
			ID: m.GetSession(), Principal: m.GetPrincipal(), Mechanism: m.GetMechanism(), Via: m.GetVia(), Path: m.GetPath(), Client: m.GetClient(),
			Peer: m.GetPeer(), Since: proto.FromTime(m.GetSince()).Std(), Epoch: m.GetEpoch(), Handles: int(m.GetHandles()), Locks: int(m.GetLocks()),
		})
	}
	return all, err
}

// Evict ends a session of the server; ENOENT, EPERM as Sessions.
func Evict(ctx context.Context, s Calls, id uint64) error {
	_, err := s.Call(ctx, "evict", posix.Cred{}, &proto.Call{Op: &proto.Call_Evict{Evict: &proto.Evict{Session: id}}}, false)
	return err
}

// Token is a delegation token, for people; ID is what it is called, and no
// secret.
type Token struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner"`
	Renewer string    `json:"renewer"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Max     time.Time `json:"max"` // it can't be renewed beyond
}

func fromToken(m *proto.TokenInfo) Token {
	at := func(t *proto.Time) time.Time { return proto.FromTime(t).Std() }
	return Token{
		ID: hex.EncodeToString(m.GetId()), Owner: m.GetOwner(), Renewer: m.GetRenewer(),
		Issued: at(m.GetIssued()), Expires: at(m.GetExpires()), Max: at(m.GetMax()),
	}
}

// IssueToken has the server take note of a token; an empty renewer is the
// session's own principal. EPERM for sessions that may have none.
func IssueToken(ctx context.Context, s Calls, id, public []byte, renewer string) (Token, error) {
	return oneToken(s.Call(ctx, "token issue", posix.Cred{}, &proto.Call{Op: &proto.Call_TokenIssue{
		TokenIssue: &proto.TokenIssue{Id: id, Public: public, Renewer: renewer}}}, false))
}

// RenewToken makes a token good for another time. EPERM, ENOENT, EKEYEXPIRED.
func RenewToken(ctx context.Context, s Calls, id []byte) (Token, error) {
	return oneToken(s.Call(ctx, "token renew", posix.Cred{}, &proto.Call{Op: &proto.Call_TokenRenew{TokenRenew: &proto.TokenRenew{Id: id}}}, false))
}

func oneToken(r *proto.Reply, err error) (Token, error) {
	if err != nil {
		return Token{}, err
	}
	if len(r.GetTokens()) != 1 {
		return Token{}, posix.E("token", posix.EPROTO, nil)
	}
	return fromToken(r.GetTokens()[0]), nil
}

// CancelToken has the server forget a token, and end what came by it. ENOENT.
func CancelToken(ctx context.Context, s Calls, id []byte) error {
	_, err := s.Call(ctx, "token cancel", posix.Cred{}, &proto.Call{Op: &proto.Call_TokenCancel{TokenCancel: &proto.TokenCancel{Id: id}}}, false)
	return err
}

// Tokens answers those that are the principal's, or that it may renew; of a
// superuser all.
func Tokens(ctx context.Context, s Calls) (all []Token, err error) {
	r, err := s.Call(ctx, "token list", posix.Cred{}, &proto.Call{Op: &proto.Call_TokenList{TokenList: &proto.TokenList{}}}, false)
	for _, m := range r.GetTokens() {
		all = append(all, fromToken(m))
	}
	return all, err
}
