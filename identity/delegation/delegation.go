// Package delegation is the mechanism TOKEN: what a batch job shows instead of
// a ticket. A delegation token is a private key of its own, which its owner had
// the server take note of; the server knows the public half, so that nothing
// that lies there, or travels, lets anybody in. The proof is a signature over
// the TLS channel: it is worth nothing on another one, or twice.
//
// It refuses to know who may have a token, how long it is good, and where the
// server keeps what it knows of it.
//
//	t, err := delegation.New(rand.Reader)
//	… the server notes t.ID and t.Public(); the job gets t.Text() in a file of mode 0600
//	p := delegation.Prover{Token: delegation.File(path)}
package delegation

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// ID names a token; it is no secret.
type ID [16]byte

// String is 32 hexadecimal digits.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// ParseID reads what String writes.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || s != strings.ToLower(s) {
		return id, fmt.Errorf("%.40q is no token's id: 32 hexadecimal digits", s)
	}
	return ID(b), nil
}

// Token is what its bearer has.
type Token struct {
	ID  ID
	key ed25519.PrivateKey
}

// New makes a token that no server knows yet.
func New(rand io.Reader) (Token, error) {
	b := make([]byte, len(ID{})+ed25519.SeedSize)
	if _, err := io.ReadFull(rand, b); err != nil {
		return Token{}, fmt.Errorf("delegation: random bytes: %w", err)
	}
	return fromBytes(b), nil
}

func fromBytes(b []byte) Token {
	return Token{ID(b[:len(ID{})]), ed25519.NewKeyFromSeed(b[len(ID{}):])}
}

// Public is what the server is told.
func (t Token) Public() []byte { return t.key.Public().(ed25519.PublicKey) }

// prefix begins the text of a token, so that it is known for what it is, also
// by who looks for secrets where they should not be. The digit is its version.
const prefix = "wardfs-token-1:"

// Text is the token as it stands in a file: the prefix, and the id and the seed
// of the key, 48 bytes, in unpadded base64url.
func (t Token) Text() string {
	return prefix + base64.RawURLEncoding.EncodeToString(append(t.ID[:], t.key.Seed()...))
}

// errToken does not say what stands there: it may be another secret.
var errToken = errors.New("it holds no delegation token: `wardfs token issue` makes one")

// Parse reads what Text writes, with white space around it.
func Parse(text string) (Token, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != len(ID{})+ed25519.SeedSize || strings.ContainsAny(rest, "\r\n") {
		return Token{}, errToken
	}
	return fromBytes(b), nil
}

// Source answers the token to show now.
type Source func() (Token, error)

// fileMost is more than a token's file has.
const fileMost = 4 << 10

// File reads the token from a file, anew each time, that nobody else may read:
// it must be a plain file of who asks, or of root, without a bit for others.
func File(path string) Source {
	return func() (Token, error) {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo must not hold us up
		if err != nil {
			return Token{}, err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return Token{}, err
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		switch {
		case !st.Mode().IsRegular():
			return Token{}, fmt.Errorf("%s is no plain file", path)
		case st.Mode().Perm()&0o077 != 0:
			return Token{}, fmt.Errorf("%s has mode %04o, and others may use the token: chmod 600 %s", path, st.Mode().Perm(), path)
		case ok && int(sys.Uid) != os.Geteuid() && sys.Uid != 0:
			return Token{}, fmt.Errorf("%s is another user's", path)
		}
		b, err := io.ReadAll(io.LimitReader(f, fileMost))
		if err != nil {
			return Token{}, err
		}
		t, err := Parse(string(b))
		if err != nil {
			return t, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	}
}

// Fixed answers one token, as of an environment variable.
func Fixed(text string) Source { return func() (Token, error) { return Parse(text) } }

// Prover shows a token.
type Prover struct{ Token Source }

var _ identity.Prover = Prover{}

// Mechanism is TOKEN.
func (Prover) Mechanism() string { return identity.Token }

// The proof:
//
//	0   1   version, 1
//	1  16   id of the token
//	17 64   Ed25519 signature over the statement, the id and the channel's binding (RFC 9266)
const (
	proofVersion = 1
	proofLen     = 1 + len(ID{}) + ed25519.SignatureSize
	statement    = "wardfs delegation token, proof 1\x00"
)

func signed(id ID, binding []byte) []byte {
	return append(append([]byte(statement), id[:]...), binding...)
}

// Prove signs the channel.
func (p Prover) Prove(_ context.Context, c identity.Channel) (identity.Proof, error) {
	t, err := p.Token()
	if err != nil {
		return identity.Proof{}, fmt.Errorf("%w: %w", identity.ErrCredential, err)
	}
	binding, err := c.Binding()
	if err != nil {
		return identity.Proof{}, err
	}
	b := append([]byte{proofVersion}, t.ID[:]...)
	return identity.Proof{Bytes: append(b, ed25519.Sign(t.key, signed(t.ID, binding))...)}, nil
}

// Grant is what a server knows of a token.
type Grant struct {
	Owner   string // whom its bearer is
	Public  []byte
	Expires time.Time
}

// Verifier checks what a Prover shows.
type Verifier struct {
	// Lookup answers what is known of a token; false of one that there is not,
	// or no more.
	Lookup func(context.Context, ID) (Grant, bool, error)
	Now    func() time.Time // default time.Now
}

var _ identity.Verifier = Verifier{}

// Mechanism is TOKEN.
func (Verifier) Mechanism() string { return identity.Token }

// errUnknown is the answer to a token that is not known and to a signature that
// is not its own: who guesses ids learns nothing.
var errUnknown = fmt.Errorf("%w: the delegation token is not known here: it was cancelled or has expired; have another one issued", identity.ErrRefused)

// Verify checks the signature and that the token is good.
func (v Verifier) Verify(ctx context.Context, c identity.Channel, proof []byte) (identity.Verified, error) {
	if len(proof) != proofLen || proof[0] != proofVersion {
		return identity.Verified{}, fmt.Errorf("%w: the proof of a delegation token has %d bytes and is none of version %d", identity.ErrRefused, len(proof), proofVersion)
	}
	id, signature := ID(proof[1:]), proof[1+len(ID{}):]
	binding, err := c.Binding()
	if err != nil {
		return identity.Verified{}, err
	}
	g, ok, err := v.Lookup(ctx, id)
	if err != nil {
		return identity.Verified{}, fmt.Errorf("delegation token: %w", err)
	}
	if !ok || len(g.Public) != ed25519.PublicKeySize || !ed25519.Verify(g.Public, signed(id, binding), signature) {
		return identity.Verified{}, errUnknown
	}
	now := v.Now
	if now == nil {
		now = time.Now
	}
	if !now().Before(g.Expires) {
		return identity.Verified{}, fmt.Errorf("%w: the delegation token expired at %s; have it renewed in time, or another one issued", identity.ErrRefused, g.Expires.UTC().Format(time.RFC3339))
	}
	return identity.Verified{
		Principal: identity.Principal{Name: g.Owner, Mechanism: identity.Token}, Expires: g.Expires, Credential: id.String(),
	}, nil
}
