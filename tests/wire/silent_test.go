package wire

import (
	"bytes"
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/export"
	"github.com/wardfs/wardfs/server/session"
)

// A mount that sends and never reads does not put off the end of its session:
// neither the last word to it nor the answers under way are waited for.
func TestSilentMountExpires(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{})
	i := h.tokens(t)
	h.rules.Exports[0].Squash = export.SquashNone
	h.stop()
	h.start()
	root := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.X509})
	const life = 3 * time.Second
	i.give("alice", life)
	token, err := os.ReadFile(i.path())
	must(t, err)
	p := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: identity.OIDC, Proof: token})
	ino := root.must(root.mkdir(1, "d", 0o777))
	set := &proto.Call{Op: &proto.Call_Setxattr{Setxattr: &proto.Xattr{Ino: ino, Name: []byte("user.a"), Value: bytes.Repeat([]byte("a"), 60<<10)}}}
	if e := p.errno(p.do(set)); e != 0 {
		t.Fatal(e)
	}
	get := &proto.Call{Epoch: p.w.GetEpoch(), Op: &proto.Call_Getxattr{Getxattr: &proto.Xattr{Ino: ino, Name: []byte("user.a")}}}
	for id := range uint64(200) {
		must(t, p.st.SendMsg(&proto.ToServer{Id: 1000 + id, Body: &proto.ToServer_Call{Call: get}}))
	}
	until(t, "the session has no stream", func() bool {
		for _, s := range h.srv.Status(t.Context()).Sessions {
			if s.ID == session.ID(p.w.GetSession()) {
				return !s.Attached
			}
		}
		return true
	})
}

// slow is a verifier that lets the first in and keeps the others waiting.
type slow struct {
	asked, inside atomic.Int64
	release       chan struct{}
}

func (*slow) Mechanism() string { return "SLOW" }

func (s *slow) Verify(context.Context, identity.Channel, []byte) (identity.Verified, error) {
	if s.asked.Add(1) > 1 {
		s.inside.Add(1)
		<-s.release
	}
	return identity.Verified{Principal: identity.Principal{Name: "alice", Mechanism: "SLOW"}}, nil
}

// A mount can't have the server check more proofs at once than it may have calls.
func TestRenewalsAreBounded(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{})
	v := &slow{release: make(chan struct{})}
	h.auth.Mechanisms, h.auth.Verifiers = append(h.auth.Mechanisms, v.Mechanism()), []identity.Verifier{v}
	h.rules.Exports = []export.Rule{{Path: "/", Who: []string{"*"}}}
	h.stop()
	h.start()
	p := newPeer(h, &proto.Hello{Version: proto.Version, Mechanism: v.Mechanism()})
	slots := int64(p.w.GetSlots())
	for range 2 * slots {
		must(t, p.st.SendMsg(&proto.ToServer{Body: &proto.ToServer_Renew{Renew: new(proto.Renew)}}))
	}
	until(t, "proofs are checked", func() bool { return v.inside.Load() >= slots })
	time.Sleep(100 * time.Millisecond) // for what must not happen
	if n := v.inside.Load(); n != slots {
		t.Errorf("%d proofs are checked at once, want %d", n, slots)
	}
	close(v.release)
}
