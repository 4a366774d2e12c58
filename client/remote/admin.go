package remote

import (
	"context"
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
