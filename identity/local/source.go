package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/agent"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
)

// Own is the credential of the user who runs this process, for an agent: a
// token if Token is set, else a ticket cache of whatever type.
type Own struct {
	Token     oidc.Source
	TokenFile string // whose change is another credential; empty: Token is one
	Cache     string // as KRB5CCNAME has it
	Conf      string // krb5.conf
	Env       []string
}

var _ agent.Source = Own{}

// Stamp tells what there is. What lies in no file is there until it is asked for.
func (o Own) Stamp() (mechanism, stamp string) {
	uid := posix.UID(os.Geteuid())
	if o.Token != nil {
		if o.TokenFile == "" {
			return identity.OIDC, "held"
		}
		s, err := stampOf(uid, o.TokenFile)
		if err != nil {
			return identity.OIDC, ""
		}
		return identity.OIDC, s
	}
	if !inFile(o.Cache) {
		return identity.Kerberos, o.listed()
	}
	s, err := stampOfCache(uid, o.Cache)
	if err != nil {
		return identity.Kerberos, ""
	}
	return identity.Kerberos, s
}

// inFile reports whether a ticket cache lies in a file.
func inFile(cache string) bool {
	kind, _, ok := strings.Cut(cache, ":")
	return !ok || kind == "FILE" || kind == "DIR" || strings.Contains(kind, "/")
}

// listed is what klist says of a cache: another after kinit, nothing after
// kdestroy. Service tickets that come and go in it count too, and harm nothing.
func (o Own) listed() string {
	out, err := o.run("klist", "-c", o.Cache)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "krbtgt/") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

func (o Own) run(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(o.Env, "KRB5CCNAME="+o.Cache, "LC_ALL=C")
	if o.Conf != "" {
		cmd.Env = append(cmd.Env, "KRB5_CONFIG="+o.Conf)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return nil, fmt.Errorf("%s: %w: %s", name, err, line)
	}
	return out, nil
}

// Prove proves who the user is.
func (o Own) Prove(ctx context.Context, mechanism, server string, binding []byte) (identity.Proof, error) {
	switch {
	case mechanism == identity.OIDC && o.Token != nil:
		t, err := o.Token(ctx)
		return identity.Proof{Bytes: []byte(strings.TrimSpace(t))}, err
	case mechanism != identity.Kerberos || o.Token != nil:
		return identity.Proof{}, errors.New("this agent has no credential of that kind")
	case inFile(o.Cache):
		return o.show(ctx, o.Cache, server, binding)
	}
	// No library of ours reads such a cache; kvno does, and leaves the ticket
	// for this server, and no other, in a file of ours for the moment.
	dir, err := os.MkdirTemp("", "wardfs-agent-")
	if err != nil {
		return identity.Proof{}, err
	}
	defer os.RemoveAll(dir)
	file := "FILE:" + filepath.Join(dir, "cc")
	if _, err := o.run("kvno", "-q", "--out-cache", file, server); err != nil {
		return identity.Proof{}, fmt.Errorf("%w: %w: run kinit", identity.ErrCredential, err)
	}
	return o.show(ctx, file, server, binding)
}

func (o Own) show(ctx context.Context, cache, server string, binding []byte) (identity.Proof, error) {
	p, err := kerberos.NewProver(kerberos.InitiateConfig{Server: server, Conf: o.Conf, Cache: cache})
	if err != nil {
		return identity.Proof{}, err
	}
	return p.ProveBound(ctx, binding)
}
