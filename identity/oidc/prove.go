package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/program"
)

// Source answers a token that is good now. It is asked for each handshake and
// is safe for concurrent use.
type Source func(ctx context.Context) (token string, err error)

// Prover shows a token.
type Prover struct {
	Token Source
	// Key is a file with the key that tokens are bound to (DPoP); empty: to
	// none. It is read anew each time.
	Key string
}

// Mechanism is OIDC.
func (Prover) Mechanism() string { return identity.OIDC }

// Prove answers the token. It is for the server alone: the channel must be one
// whose certificate was verified.
func (p Prover) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	if len(c.TLS.VerifiedChains) == 0 {
		return identity.Proof{}, errors.New("oidc: a token is shown to a server whose certificate was verified, and to no other")
	}
	t, err := p.Token(ctx)
	if err != nil {
		return identity.Proof{}, err
	}
	if t = strings.TrimSpace(t); t == "" || len(t) > MaxToken {
		return identity.Proof{}, fmt.Errorf("%w: a token of %d bytes: it has 1 to %d", identity.ErrCredential, len(t), MaxToken)
	}
	if p.Key == "" {
		return identity.Proof{Bytes: []byte(t)}, nil
	}
	key, err := possess(p.Key, t, c, time.Now())
	return identity.Proof{Bytes: []byte(t + "\n" + key)}, err
}

// File reads the token anew each time, as Kubernetes writes it anew.
func File(path string) Source {
	return func(context.Context) (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("%w: the token: %w", identity.ErrCredential, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, MaxToken+2))
		if err != nil {
			return "", fmt.Errorf("oidc: the token: %w", err)
		}
		return string(b), nil
	}
}

// Fixed is one token, as an environment variable has it.
func Fixed(token string) Source {
	return func(context.Context) (string, error) { return token, nil }
}

// execTimeout is how long a plugin may take: it may ask the user something.
const execTimeout = 2 * time.Minute

// maxCredential bounds what it prints, in bytes: a token, and what else plugins
// of kubectl's tell.
const maxCredential = 1 << 20

// Exec runs a plugin that prints an ExecCredential of
// client.authentication.k8s.io/v1, as kubectl's do, and asks it again half a
// minute before its token expires. env is the plugin's whole environment.
func Exec(command []string, env []string, now func() time.Time) Source {
	var mu sync.Mutex
	var token string
	var until time.Time
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if token != "" && now().Before(until.Add(-30*time.Second)) {
			return token, nil
		}
		t, exp, err := run(ctx, command, env)
		if err != nil {
			return "", err
		}
		token, until = t, exp
		return t, nil
	}
}

func run(ctx context.Context, command, env []string) (token string, expires time.Time, err error) {
	if len(command) == 0 {
		return "", time.Time{}, errors.New("oidc: no plugin is named")
	}
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(env, `KUBERNETES_EXEC_INFO={"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`)
	out, err := program.Run(cmd, maxCredential)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("oidc: the plugin %s: %w", command[0], err)
	}
	return parseCredential(out)
}

// parseCredential reads what a plugin printed. One without an expiry is good
// for one handshake.
func parseCredential(b []byte) (token string, expires time.Time, err error) {
	var c struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     struct {
			Token   string    `json:"token"`
			Expires time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Kind != "ExecCredential" {
		return "", time.Time{}, errors.New("oidc: the plugin printed no ExecCredential")
	}
	if !strings.HasPrefix(c.APIVersion, "client.authentication.k8s.io/v1") {
		return "", time.Time{}, fmt.Errorf("oidc: the plugin speaks %q, not client.authentication.k8s.io/v1", clip(c.APIVersion))
	}
	if c.Status.Token == "" {
		return "", time.Time{}, errors.New("oidc: the plugin gave no token")
	}
	return c.Status.Token, c.Status.Expires, nil
}
