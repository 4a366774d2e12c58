// Package local finds the credentials of the users of this host, for a mount
// that acts for each of them as itself: the ticket cache that kinit wrote, a
// token file, the socket of an agent that the user runs.
//
// It refuses what is not the user's own: a file must be a regular one, not a
// symbolic link, owned by the user and closed to everyone else, and so a
// process that may read everything can't be led to use another's credential. It
// never writes.
//
//	f, err := local.New(local.Config{Caches: local.DefaultCaches, Kerberos: k})
//	p, err := f.Prover(1000)
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/agent"
	"github.com/wardfs/wardfs/identity/kerberos"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
)

// Where credentials are looked for unless it is said otherwise. %{uid} is the
// user's number.
var (
	DefaultCaches = []string{"FILE:/tmp/krb5cc_%{uid}", "FILE:/run/user/%{uid}/krb5cc", "DIR:/run/user/%{uid}/krb5cc"}
	DefaultTokens = []string{"/run/user/%{uid}/wardfs/token"}
	DefaultAgents = []string{"/run/user/%{uid}/wardfs/agent.sock", "/tmp/wardfs-%{uid}/agent.sock"}
)

// uidWord is replaced by the user's number in a pattern, as krb5.conf has it.
const uidWord = "%{uid}"

// maxFile is the most that a credential's file has, in bytes.
const maxFile = 1 << 20

// Config says where to look; the first that is there counts, agents before
// tokens before tickets.
type Config struct {
	Agents []string // patterns of sockets
	Caches []string // patterns of ticket caches, as KRB5CCNAME has them
	Tokens []string // patterns of files
	// Kerberos is what a ticket is used with; Cache and Read are set here.
	Kerberos kerberos.InitiateConfig
}

// Finder finds credentials. It keeps nothing and is safe for concurrent use.
type Finder struct{ c Config }

// New checks the patterns: one without the user's number would be one
// credential for all.
func New(c Config) (*Finder, error) {
	for _, p := range slices.Concat(c.Agents, c.Caches, c.Tokens) {
		if !strings.Contains(p, uidWord) {
			return nil, fmt.Errorf("local: the pattern %q has no %s, and would be one credential for every user", p, uidWord)
		}
	}
	for _, p := range c.Caches {
		if kind, _, ok := strings.Cut(p, ":"); ok && kind != "FILE" && kind != "DIR" {
			return nil, fmt.Errorf("local: ticket caches of type %s can't be read by another process than the user's: the user runs wardfs agent", kind)
		}
	}
	return &Finder{c}, nil
}

func expand(pattern string, uid posix.UID) string {
	return strings.ReplaceAll(pattern, uidWord, strconv.FormatUint(uint64(uid), 10))
}

// found is a credential: by which mechanism it proves, where it lies, and what
// tells it from the one that was there before.
type found struct {
	mechanism, name, stamp string
	agent                  bool // name is its socket
}

// find answers the first credential of a user that is there, or why the last
// that is there does not count.
func (f *Finder) find(uid posix.UID) (found, error) {
	var wrong error
	for _, p := range f.c.Agents {
		x, err := askAgent(uid, expand(p, uid))
		if err == nil && x.stamp != "" && f.takes(x.mechanism) {
			return x, nil
		}
		wrong = worse(wrong, err)
	}
	for _, p := range f.c.Tokens {
		path := expand(p, uid)
		stamp, err := stampOf(uid, path)
		if err == nil {
			return found{mechanism: identity.OIDC, name: path, stamp: stamp}, nil
		}
		wrong = worse(wrong, err)
	}
	for _, p := range f.c.Caches {
		name := expand(p, uid)
		stamp, err := stampOfCache(uid, name)
		if err == nil {
			return found{mechanism: identity.Kerberos, name: name, stamp: stamp}, nil
		}
		wrong = worse(wrong, err)
	}
	return found{}, wrong
}

// takes reports whether a mechanism is among those that are looked for.
func (f *Finder) takes(mechanism string) bool {
	return mechanism == identity.OIDC && len(f.c.Tokens) > 0 || mechanism == identity.Kerberos && len(f.c.Caches) > 0
}

// askAgent asks the agent that listens at path, if one does, what it has.
func askAgent(uid posix.UID, path string) (found, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return found{}, err
	}
	if info.Mode().Type() != os.ModeSocket {
		return found{}, fmt.Errorf("%s is not a socket", path)
	}
	mechanism, stamp, err := agent.Stamp(context.Background(), path, uint32(uid))
	if errors.Is(err, syscall.ECONNREFUSED) { // what a dead one left behind
		err = nil
	}
	return found{mechanism, path, stamp, true}, err
}

// worse is the error that says more than that something is not there.
func worse(a, b error) error {
	if errors.Is(b, os.ErrNotExist) || errors.Is(b, syscall.ENOTDIR) {
		return a
	}
	return b
}

// Stamp tells one credential of a user from another; "" is none.
func (f *Finder) Stamp(uid posix.UID) string {
	x, err := f.find(uid)
	if err != nil || x.name == "" {
		return ""
	}
	return x.mechanism + " " + x.name + " " + x.stamp
}

// Hint says what a user without a credential should do.
func (f *Finder) Hint(uid posix.UID) string {
	if _, err := f.find(uid); err != nil {
		return err.Error()
	}
	var ways []string
	if len(f.c.Caches) > 0 {
		ways = append(ways, "run kinit -c "+expand(f.c.Caches[0], uid))
	}
	if len(f.c.Tokens) > 0 {
		ways = append(ways, "write a token to "+expand(f.c.Tokens[0], uid))
	}
	if len(f.c.Agents) > 0 {
		ways = append(ways, "run wardfs agent")
	}
	return strings.Join(ways, ", or ")
}

// Prover proves who a user is, by the credential of each moment, as long as that
// is of one kind.
func (f *Finder) Prover(uid posix.UID) (identity.Prover, error) {
	x, err := f.find(uid)
	if err == nil && x.name == "" {
		err = errors.New(f.Hint(uid))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", identity.ErrCredential, err)
	}
	return &prover{f, uid, x.mechanism}, nil
}

type prover struct {
	f         *Finder
	uid       posix.UID
	mechanism string
}

func (p *prover) Mechanism() string { return p.mechanism }

func (p *prover) Prove(ctx context.Context, c identity.Channel) (identity.Proof, error) {
	x, err := p.f.find(p.uid)
	switch {
	case err != nil:
		return identity.Proof{}, fmt.Errorf("%w: %w", identity.ErrCredential, err)
	case x.name == "":
		return identity.Proof{}, fmt.Errorf("%w: %s", identity.ErrCredential, p.f.Hint(p.uid))
	case x.mechanism != p.mechanism:
		return identity.Proof{}, posix.E("credential", posix.EACCES, fmt.Errorf("user %d had one of %s and now has one of %s", p.uid, p.mechanism, x.mechanism))
	}
	if x.agent {
		return agent.Prover{Path: x.name, UID: uint32(p.uid), Server: p.f.c.Kerberos.Server, Kind: x.mechanism}.Prove(ctx, c)
	}
	read := func(path string) ([]byte, error) { return Read(p.uid, path) }
	if x.mechanism == identity.OIDC {
		token := func(context.Context) (string, error) {
			b, err := read(x.name)
			return string(b), err
		}
		return oidc.Prover{Token: token}.Prove(ctx, c)
	}
	k := p.f.c.Kerberos
	k.Cache, k.Keytab, k.Principal, k.Read = x.name, "", "", read
	kp, err := kerberos.NewProver(k)
	if err != nil {
		return identity.Proof{}, err
	}
	return kp.Prove(ctx, c)
}

// stampOfCache is stampOf for a ticket cache, with what names the one in use.
func stampOfCache(uid posix.UID, name string) (string, error) {
	path, err := kerberos.CachePath(name, func(path string) ([]byte, error) { return Read(uid, path) })
	if err != nil {
		return "", err
	}
	stamp, err := stampOf(uid, path)
	return path + " " + stamp, err
}

// stampOf answers what changes when a file is written anew, if it is the
// user's own.
func stampOf(uid posix.UID, path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st, err := check(uid, path, info)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()), nil
}

// check refuses a file that is not the user's own.
func check(uid posix.UID, path string, info os.FileInfo) (*syscall.Stat_t, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case st.Uid != uint32(uid):
		return nil, fmt.Errorf("%s is user %d's, and not user %d's", path, st.Uid, uid)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others than user %d: chmod 600 it", path, uid)
	}
	return st, nil
}

// Read reads a file that is the user's own and nobody else's. What is looked at
// is what is read: the file that was opened.
func Read(uid posix.UID, path string) ([]byte, error) {
	// NONBLOCK: what else may lie there, a pipe say, shall not hold us up.
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := check(uid, path, info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return b, err
}
