// Package custom is the mechanism CUSTOM, for tests and for trying things out:
// the proof is whatever a file or a program of the client says, and a program of
// the server, the plugin, judges it. The plugin finds the proof on its standard
// input and prints one object of JSON:
//
//	{"principal": "alice", "expires": "2027-01-15T08:00:00Z"}
//	{"refused": "alice is on leave"}
//
// expires may be left out. Whatever else it prints, or how else it ends, is a
// refusal. In its environment it finds WARDFS_PEER, the client's address, and
// WARDFS_BINDING, the channel's tls-exporter (RFC 9266) in hexadecimal: a plugin
// that wants its proofs bound to the channel looks for that in them. This
// package can't know whether it does.
//
// It refuses to run a shell, to hand on the server's environment, and to let a
// plugin say who is a superuser or in which groups a principal is.
package custom

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/program"
)

const (
	// MaxProof is the longest proof, in bytes.
	MaxProof = 64 << 10
	// maxAnswer is the most that a plugin may print, in bytes.
	maxAnswer = 64 << 10
	// atOnce is how many plugins run at a time; others wait.
	atOnce = 16
)

// Config is what a Verifier needs.
type Config struct {
	// Command is the plugin, an absolute path, and its arguments.
	Command []string
	// As is the user that it runs as; nil: the server's own.
	As      *syscall.Credential
	Timeout time.Duration // default 10 s
	// Reserved are users whom no plugin may name.
	Reserved []string
	Log      *slog.Logger // nil discards
}

// Verifier asks the plugin. It is safe for concurrent use.
type Verifier struct {
	c    Config
	room chan struct{}
}

// New checks the configuration and runs nothing.
func New(c Config) (*Verifier, error) {
	if len(c.Command) == 0 || !filepath.IsAbs(c.Command[0]) {
		return nil, errors.New("custom: the plugin is named by its whole path")
	}
	if _, err := exec.LookPath(c.Command[0]); err != nil {
		return nil, fmt.Errorf("custom: the plugin: %w", err)
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		return nil, fmt.Errorf("custom: a time-out of %v: choose up to 1m", c.Timeout)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{c: c, room: make(chan struct{}, atOnce)}, nil
}

// Mechanism is CUSTOM.
func (*Verifier) Mechanism() string { return identity.Custom }

// Verify answers the principal that the plugin names.
func (v *Verifier) Verify(ctx context.Context, c identity.Channel, proof []byte) (identity.Verified, error) {
	if len(proof) == 0 || len(proof) > MaxProof {
		return identity.Verified{}, fmt.Errorf("%w: CUSTOM: a proof of %d bytes: it has 1 to %d", identity.ErrRefused, len(proof), MaxProof)
	}
	ctx, cancel := context.WithTimeout(ctx, v.c.Timeout)
	defer cancel()
	select {
	case v.room <- struct{}{}:
		defer func() { <-v.room }()
	case <-ctx.Done():
		return identity.Verified{}, fmt.Errorf("%w: CUSTOM: too many log in at once: try again", identity.ErrRefused)
	}
	out, err := v.run(ctx, c, proof)
	if err != nil { // what went wrong is for who runs the server
		v.c.Log.Warn("the plugin of CUSTOM failed", "err", err)
		return identity.Verified{}, fmt.Errorf("%w: CUSTOM: the server's plugin gave no answer; its log says why", identity.ErrRefused)
	}
	who, err := v.judge(out)
	if err != nil {
		return identity.Verified{}, fmt.Errorf("%w: CUSTOM: %w", identity.ErrRefused, err)
	}
	return who, nil
}

func (v *Verifier) run(ctx context.Context, c identity.Channel, proof []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, v.c.Command[0], v.c.Command[1:]...)
	cmd.Dir, cmd.Stdin = "/", bytes.NewReader(proof)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if c.Remote != nil {
		cmd.Env = append(cmd.Env, "WARDFS_PEER="+c.Remote.String())
	}
	if b, err := c.Binding(); err == nil {
		cmd.Env = append(cmd.Env, "WARDFS_BINDING="+hex.EncodeToString(b))
	}
	// A group of its own, so that what it has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: v.c.As, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := program.Run(cmd, maxAnswer)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it took longer than %v", v.c.Timeout)
	case errors.Is(err, program.ErrLong):
		return nil, fmt.Errorf("it printed more than %d bytes", maxAnswer)
	}
	return out, err
}

// judge reads what a plugin has printed. Its errors are for the client.
func (v *Verifier) judge(out []byte) (identity.Verified, error) {
	var a struct {
		Principal string    `json:"principal"`
		Refused   *string   `json:"refused"`
		Expires   time.Time `json:"expires"`
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return identity.Verified{}, errors.New("the server's plugin gave an answer that is not understood")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return identity.Verified{}, errors.New("the server's plugin gave more than one answer")
	}
	if a.Refused != nil {
		return identity.Verified{}, errors.New(identity.Clip(*a.Refused))
	}
	if err := identity.CheckName(a.Principal); err != nil {
		return identity.Verified{}, fmt.Errorf("the server's plugin names %q: %w", identity.Clip(a.Principal), err)
	}
	if !a.Expires.IsZero() && !time.Now().Before(a.Expires) {
		return identity.Verified{}, errors.New("the proof has expired")
	}
	if slices.Contains(v.c.Reserved, a.Principal) {
		return identity.Verified{}, fmt.Errorf("the server's plugin names %s, who may not come so", a.Principal)
	}
	return identity.Verified{Principal: identity.Principal{Name: a.Principal, Mechanism: identity.Custom}, Expires: a.Expires}, nil
}
