package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// Source is the user's credential. It is safe for concurrent use.
type Source interface {
	// Stamp answers of which mechanism the credential of now is, and what tells
	// it from the one before; "" is none.
	Stamp() (mechanism, stamp string)
	// Prove proves who the user is to a server, bound to a channel.
	Prove(ctx context.Context, mechanism, server string, binding []byte) (identity.Proof, error)
}

// Config is what Serve needs. Source is required.
type Config struct {
	Source  Source
	Service string   // the primary of the servers to which it proves; default "wardfs"
	Peers   []uint32 // who may ask beside the superuser and the user: the mount's, in a container
	Log     *slog.Logger
}

const (
	// atOnce is how many ask at once.
	atOnce = 16
	// askTime bounds one conversation.
	askTime = 30 * time.Second
)

// Serve answers until ctx ends or l fails.
func Serve(ctx context.Context, l *net.UnixListener, c Config) error {
	if c.Service == "" {
		c.Service = "wardfs"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	room := make(chan struct{}, atOnce)
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		room <- struct{}{}
		go func() {
			defer func() { conn.Close(); <-room }()
			if err := c.talk(ctx, conn); err != nil {
				c.Log.Warn("a question was refused", "err", err)
			}
		}()
	}
}

// peer is the user at the other end, as the kernel says.
func peer(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || failed != nil {
		return 0, errors.Join(err, failed)
	}
	return cred.Uid, nil
}

// talk answers one mount.
func (c Config) talk(ctx context.Context, conn *net.UnixConn) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	uid, err := peer(conn)
	if err != nil {
		return err
	}
	if !c.may(uid) {
		return fmt.Errorf("user %d may not ask", uid)
	}
	var confirm func([]byte) error
	for {
		var q question
		if err := receive(conn, &q); err != nil {
			if errors.Is(err, errFrame) {
				return err
			}
			return nil // it has hung up
		}
		a := answer{V: Version}
		if q.V != Version {
			a.Error = fmt.Sprintf("the mount speaks version %d to agents, this one %d", q.V, Version)
		} else if err := c.answer(ctx, q, &a, &confirm); err != nil {
			a = answer{V: Version, Error: err.Error()}
		}
		if err := send(conn, a); err != nil {
			return err
		}
	}
}

func (c Config) may(uid uint32) bool {
	if uid == 0 || uid == uint32(syscall.Geteuid()) {
		return true
	}
	for _, p := range c.Peers {
		if p == uid {
			return true
		}
	}
	return false
}

func (c Config) answer(ctx context.Context, q question, a *answer, confirm *func([]byte) error) error {
	switch q.Op {
	case opStamp:
		a.Mechanism, a.Stamp = c.Source.Stamp()
		return nil
	case opProve:
		if q.Mechanism == identity.Kerberos {
			if primary, host, ok := strings.Cut(q.Server, "/"); !ok || primary != c.Service || host == "" {
				return fmt.Errorf("this agent proves nothing to %q, only to %s/HOST", clip(q.Server), c.Service)
			}
			if len(q.Binding) != 32 {
				return errors.New("a proof is bound to a channel, and none is named")
			}
		}
		p, err := c.Source.Prove(ctx, q.Mechanism, q.Server, q.Binding)
		if err != nil {
			return err
		}
		a.Proof, a.Confirm = p.Bytes, p.Confirm != nil
		*confirm = p.Confirm
		return nil
	case opConfirm:
		if *confirm == nil {
			return errors.New("there is nothing to confirm")
		}
		return (*confirm)(q.Reply)
	}
	return fmt.Errorf("no question is called %q", clip(q.Op))
}

func clip(s string) string { return s[:min(len(s), 100)] }
