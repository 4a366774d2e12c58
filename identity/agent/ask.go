package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wardfs/wardfs/identity"
)

const (
	// stampTime is how long an agent may take to say what it has,
	stampTime = 2 * time.Second
	// and proveTime to prove it: it may have to ask a KDC.
	proveTime = 15 * time.Second
)

// call is one conversation with an agent.
type call struct{ conn *net.UnixConn }

// dial reaches the agent of a user. What listens there must be the user's own
// process: a path can be anybody's.
func dial(ctx context.Context, path string, uid uint32, limit time.Duration) (*call, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", path, errors.Unwrap(err))
	}
	conn := c.(*net.UnixConn)
	who, err := peer(conn)
	if err == nil && who != uid {
		err = fmt.Errorf("user %d answers there, and not user %d", who, uid)
	}
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(limit))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("agent %s: %w", path, err)
	}
	return &call{conn}, nil
}

func (c *call) ask(q question) (answer, error) {
	q.V = Version
	var a answer
	err := send(c.conn, q)
	if err == nil {
		err = receive(c.conn, &a)
	}
	switch {
	case err != nil:
		return a, fmt.Errorf("the agent does not answer: %w", err)
	case a.V != Version:
		return a, fmt.Errorf("the agent speaks version %d, this mount %d", a.V, Version)
	case a.Error != "":
		return a, fmt.Errorf("the agent: %q", clip(a.Error))
	}
	return a, nil
}

// Stamp asks the agent of a user which credential it has; "" is none.
func Stamp(ctx context.Context, path string, uid uint32) (mechanism, stamp string, err error) {
	c, err := dial(ctx, path, uid, stampTime)
	if err != nil {
		return "", "", err
	}
	defer c.conn.Close()
	a, err := c.ask(question{Op: opStamp})
	if err == nil && a.Stamp != "" && a.Mechanism != identity.Kerberos && a.Mechanism != identity.OIDC {
		err = fmt.Errorf("agent %s: mechanism %q is not known", path, clip(a.Mechanism))
	}
	return a.Mechanism, clip(a.Stamp), err
}

// Prover proves who a user is through the user's agent.
type Prover struct {
	Path   string
	UID    uint32 // whose the agent must be
	Server string // the principal of the server, for Kerberos
	Kind   string // the mechanism
}

// Mechanism is the credential's.
func (p Prover) Mechanism() string { return p.Kind }

// Prove asks the agent. A token is asked for only to be shown to a server whose
// certificate was verified.
func (p Prover) Prove(ctx context.Context, ch identity.Channel) (identity.Proof, error) {
	if p.Kind == identity.OIDC && len(ch.TLS.VerifiedChains) == 0 {
		return identity.Proof{}, errors.New("agent: a token is shown to a server whose certificate was verified, and to no other")
	}
	binding, err := ch.Binding()
	if err != nil {
		return identity.Proof{}, err
	}
	c, err := dial(ctx, p.Path, p.UID, proveTime)
	if err != nil {
		return identity.Proof{}, fmt.Errorf("%w: %w", identity.ErrCredential, err)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Now()) })
	defer stop()
	a, err := c.ask(question{Op: opProve, Mechanism: p.Kind, Server: p.Server, Binding: binding})
	if err != nil || !a.Confirm {
		c.conn.Close()
	}
	if err != nil {
		return identity.Proof{}, fmt.Errorf("%w: %w", identity.ErrCredential, err)
	}
	proof := identity.Proof{Bytes: a.Proof}
	if a.Confirm {
		// The conversation ends with its time, should nobody come back to it.
		expire := time.AfterFunc(proveTime, func() { c.conn.Close() })
		proof.Confirm = func(reply []byte) error {
			defer c.conn.Close()
			defer expire.Stop()
			_, err := c.ask(question{Op: opConfirm, Reply: reply})
			return err
		}
	}
	return proof, nil
}

var _ identity.Prover = Prover{}
