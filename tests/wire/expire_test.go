package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/export"
)

// issuer signs tokens whose keys a file publishes.
type issuer struct {
	t    testing.TB
	dir  string
	sign jose.Signer
}

// tokens makes the house take the tokens of an issuer, from alice alone.
func (h *house) tokens(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	must(t, err)
	i := &issuer{t, t.TempDir(), sign}
	set, err := jose.JSONWebKey{Key: key.Public(), KeyID: "k", Use: "sig"}.MarshalJSON()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(i.dir, "keys"), append(append([]byte(`{"keys":[`), set...), `]}`...), 0o600))
	v, err := oidc.New(oidc.Config{Issuer: "i", JWKS: filepath.Join(i.dir, "keys")})
	must(t, err)
	h.auth.Mechanisms, h.auth.Verifiers = append(h.auth.Mechanisms, identity.OIDC), []identity.Verifier{v}
	h.rules.Exports = []export.Rule{{Path: "/", Who: []string{"*"}}}
	h.stop()
	h.start()
	return i
}

// give writes a token for user that is good for so long.
func (i *issuer) give(user string, life time.Duration) {
	i.t.Helper()
	now := time.Now()
	token, err := jwt.Signed(i.sign).Claims(map[string]any{"iss": "i", "sub": user, "iat": now.Unix() - 1, "exp": float64(now.Add(life).UnixMilli()) / 1000}).Serialize()
	must(i.t, err)
	must(i.t, os.WriteFile(i.path(), []byte(token), 0o600))
}

func (i *issuer) path() string { return filepath.Join(i.dir, "token") }

// holder connects with whatalicer token lies there.
func (h *house) holder(i *issuer) *client.Mount {
	h.t.Helper()
	c := h.config()
	c.Trusted, c.Prover = false, oidc.Prover{Token: oidc.File(i.path())}
	m, err := client.Connect(h.t.Context(), c)
	must(h.t, err)
	h.t.Cleanup(func() { m.Close(h.t.Context()) })
	return m
}

// A session lives as long as its token, and longer if a newer one is there in
// time: nobody sees the change. Without one calls fail and say why; with one
// again they go on, with the files that were open.
func TestTokenExpires(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{})
	i := h.tokens(t)
	i.give("alice", 4*time.Second)
	m := h.holder(i)
	ns := m.As(posix.Cred{})
	const handle = posix.Handle(1) << 40
	_, err := ns.Open(t.Context(), posix.RootIno, handle, posix.OpenDir|posix.OpenRead)
	must(t, err)
	streams := m.Status().Session.Streams

	// A newer token while the old one is good.
	i.give("alice", 8*time.Second)
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := ns.Statfs(t.Context(), posix.RootIno); err != nil {
			t.Fatalf("while tokens are renewed: %v", err)
		}
	}
	if n := m.Status().Session.Streams; n != streams {
		t.Errorf("%d streams, want %d: renewing has cut the stream", n, streams)
	}

	// None any more: until the old one expires all is well, then nothing is.
	must(t, os.Remove(i.path()))
	for {
		must(t, t.Context().Err())
		if _, err = ns.Statfs(t.Context(), posix.RootIno); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !errors.Is(err, posix.EKEYEXPIRED) {
		t.Errorf("without a token: %v, want %v", err, posix.EKEYEXPIRED)
	}

	i.give("alice", time.Hour)
	for {
		must(t, t.Context().Err())
		if _, err = ns.Statfs(t.Context(), posix.RootIno); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := ns.Readdir(t.Context(), posix.RootIno, handle, 0, 10, false); err != nil {
		t.Errorf("what was open before: %v", err)
	}
}

// Another user's token does not take a session over, nor renew it.
func TestTokenOfAnother(t *testing.T) {
	h := newHouse(t)
	h.people(export.Rules{})
	i := h.tokens(t)
	i.give("alice", 3*time.Second)
	m := h.holder(i)
	i.give("bob", time.Hour)
	var err error
	for err == nil {
		must(t, t.Context().Err())
		_, err = m.As(posix.Cred{}).Statfs(t.Context(), posix.RootIno)
		time.Sleep(20 * time.Millisecond)
	}
	if !errors.Is(err, posix.EACCES) && !errors.Is(err, posix.EKEYEXPIRED) {
		t.Errorf("bob in alice's session: %v", err)
	}
}
