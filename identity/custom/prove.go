package custom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/program"
)

// Source answers a proof. It is asked for each handshake and is safe for
// concurrent use.
type Source func(ctx context.Context, c identity.Channel) ([]byte, error)

// Prover shows what Proof answers.
type Prover struct{ Proof Source }

// Mechanism is CUSTOM.
func (Prover) Mechanism() string { return identity.Custom }

// Prove answers the proof. As nobody knows what is in it, it is for a server
// whose certificate was verified.
func (p Prover) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	if len(c.TLS.VerifiedChains) == 0 {
		return identity.Proof{}, errors.New("custom: a proof is shown to a server whose certificate was verified, and to no other")
	}
	b, err := p.Proof(ctx, c)
	if err != nil {
		return identity.Proof{}, err
	}
	if len(b) == 0 || len(b) > MaxProof {
		return identity.Proof{}, fmt.Errorf("%w: a proof of %d bytes: it has 1 to %d", identity.ErrCredential, len(b), MaxProof)
	}
	return identity.Proof{Bytes: b}, nil
}

// File reads the proof anew each time.
func File(path string) Source {
	return func(context.Context, identity.Channel) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%w: the proof: %w", identity.ErrCredential, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, MaxProof+1))
		if err != nil {
			return nil, fmt.Errorf("custom: the proof: %w", err)
		}
		return b, nil
	}
}

// execTimeout is how long the client's program may take.
const execTimeout = 2 * time.Minute

// Exec runs a program that prints the proof. env is its environment, and
// WARDFS_BINDING beside it, as the plugin on the server has it.
func Exec(command, env []string) Source {
	return func(ctx context.Context, c identity.Channel) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, execTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = env
		if b, err := c.Binding(); err == nil {
			cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], fmt.Sprintf("WARDFS_BINDING=%x", b))
		}
		out, err := program.Run(cmd, maxAnswer)
		switch {
		case errors.Is(err, program.ErrLong):
			return nil, fmt.Errorf("custom: the program %s printed more than a proof has", command[0])
		case err != nil:
			return nil, fmt.Errorf("%w: the program %s: %w", identity.ErrCredential, command[0], err)
		}
		return out, nil
	}
}
