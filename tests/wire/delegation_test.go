package wire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/export"
)

// delegating is a house that takes delegation tokens, from alice, bob and svc,
// and the clock of its server.
func delegating(t *testing.T) (*house, *atomic.Int64) {
	h := newHouse(t)
	ahead := new(atomic.Int64)
	h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	h.auth.Mechanisms = append(h.auth.Mechanisms, identity.Token)
	h.people(export.Rules{
		Exports: []export.Rule{{Path: "/", Who: []string{"*"}, Squash: export.SquashNone, Trusted: true}},
		Proxies: []export.Proxy{{Principal: "root", StatesCallers: true}},
	})
	return h, ahead
}

// by connects as who a certificate says, or with a token's file.
func (h *house) by(who string, file string) (*client.Mount, error) {
	c := h.config()
	c.Trusted = false
	if file != "" {
		c.Prover = delegation.Prover{Token: delegation.File(file)}
	} else {
		cert := h.certificate(who)
		c.TLS = func() *tls.Config { return cert.Client("127.0.0.1") }
	}
	m, err := client.Connect(h.t.Context(), c)
	if err == nil {
		h.t.Cleanup(func() { m.Close(context.Background()) })
	}
	return m, err
}

func (h *house) person(who string) *client.Mount {
	h.t.Helper()
	m, err := h.by(who, "")
	must(h.t, err)
	return m
}

// issued is a token of m's principal, in a file.
func (h *house) issued(m *client.Mount, renewer string) (id []byte, path string) {
	h.t.Helper()
	token, err := delegation.New(rand.Reader)
	must(h.t, err)
	path = filepath.Join(h.t.TempDir(), "token")
	must(h.t, os.WriteFile(path, []byte(token.Text()), 0o600))
	_, err = remote.IssueToken(h.t.Context(), m.Session(), token.ID[:], token.Public(), renewer)
	must(h.t, err)
	return token.ID[:], path
}

// ends waits until the mount's calls fail for good.
func ends(t *testing.T, m *client.Mount) error {
	t.Helper()
	for {
		must(t, t.Context().Err())
		if _, err := m.As(posix.Cred{}).Getattr(t.Context(), posix.RootIno); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Who has a token is its owner, may do what the owner may but have another
// token, and no more from the moment on that it is cancelled.
func TestDelegation(t *testing.T) {
	h, _ := delegating(t)
	ctx, alice := t.Context(), h.person("alice")
	id, path := h.issued(alice, "svc")
	job, err := h.by("", path)
	must(t, err)
	if c, _, err := job.Whoami(ctx); err != nil || c.UID != 1000 {
		t.Errorf("the bearer is %+v, %v", c, err)
	}
	refuse := func(what string, want posix.Errno, err error) {
		t.Helper()
		if posix.ErrnoOf(err) != want || err == nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	other, err := delegation.New(rand.Reader)
	must(t, err)
	issue := func(m *client.Mount) error {
		_, err := remote.IssueToken(ctx, m.Session(), other.ID[:], other.Public(), "")
		return err
	}
	refuse("a token for a token", posix.EPERM, issue(job))
	refuse("a token for who proved nothing", posix.EPERM, issue(h.simply("alice")))
	refuse("a token for who states callers", posix.EPERM, issue(h.connect()))
	_, err = remote.RenewToken(ctx, job.Session(), id)
	refuse("renewed by its bearer", posix.EPERM, err)
	_, err = remote.RenewToken(ctx, alice.Session(), id)
	refuse("renewed by its owner", posix.EPERM, err)
	_, err = remote.RenewToken(ctx, h.person("bob").Session(), id)
	refuse("renewed by a stranger", posix.ENOENT, err)
	_, err = remote.RenewToken(ctx, h.person("svc").Session(), id)
	must(t, err)
	refuse("cancelled by a stranger", posix.ENOENT, remote.CancelToken(ctx, h.person("bob").Session(), id))
	if all, err := remote.Tokens(ctx, h.person("svc").Session()); err != nil || len(all) != 1 || all[0].Owner != "alice" {
		t.Errorf("the renewer sees %v, %v", all, err)
	}
	if _, err := job.As(posix.Cred{}).Getattr(ctx, posix.RootIno); err != nil {
		t.Errorf("before it is cancelled: %v", err)
	}
	must(t, remote.CancelToken(ctx, alice.Session(), id))
	refuse("after it was cancelled", posix.EACCES, ends(t, job))
	if _, err := h.by("", path); !errors.Is(err, identity.ErrRefused) && (err == nil || !strings.Contains(err.Error(), "cancelled")) {
		t.Errorf("again: %v", err)
	}
	if _, err := alice.As(posix.Cred{}).Getattr(ctx, posix.RootIno); err != nil {
		t.Errorf("its owner: %v", err)
	}
}

// A token outlives a restart of the server, and is worth nothing past its time.
func TestDelegationExpires(t *testing.T) {
	h, ahead := delegating(t)
	_, path := h.issued(h.person("alice"), "")
	h.stop()
	h.start()
	_, err := h.by("", path)
	must(t, err)
	ahead.Store(int64(25 * time.Hour))
	if _, err := h.by("", path); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a day later: %v", err)
	}
	if _, err := h.by("alice", ""); err != nil {
		t.Errorf("its owner: %v", err)
	}
}

// A server that does not take tokens says so.
func TestNoDelegation(t *testing.T) {
	h, _ := delegating(t)
	_, path := h.issued(h.person("alice"), "")
	h.auth.Mechanisms = []string{identity.X509}
	h.stop()
	h.start()
	if _, err := h.by("", path); err == nil || !strings.Contains(err.Error(), "not accepted") {
		t.Errorf("%v", err)
	}
}
