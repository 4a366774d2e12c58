package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/wardfs/wardfs/identity"
)

// A token that is bound to a key (cnf, jkt: RFC 9449) is shown with a proof that
// the client has the key. It is DPoP's, but that what RFC 9449 makes of an HTTP
// request is here of the session: htm and htu are fixed words, and the nonce,
// which the server must have made just now, is the tls-exporter of the channel
// (RFC 9266): both ends have made it, it is fresh, and no other channel has it.
// The bytes of the mechanism's proof are the token, a line feed, and this.
type possession struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URI    string `json:"htu"`
	Issued int64  `json:"iat"` // seconds since the epoch
	Token  string `json:"ath"` // base64url of its SHA-256
	Nonce  string `json:"nonce"`
}

const (
	possessionType   = "dpop+jwt"
	possessionMethod = "SESSION"
	possessionURI    = "wardfs:session"
	maxPossession    = 8 << 10     // bytes
	possessionAge    = time.Minute // for which a proof is good, either way
	maxSeen          = 1 << 16
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:])
}

// possess makes the proof for a token on a channel, with the key that lies in
// the file: PEM, of ECDSA, Ed25519 or RSA.
func possess(path, token string, c identity.Channel, now time.Time) (string, error) {
	key, alg, err := readKey(path)
	if err != nil {
		return "", err
	}
	binding, err := c.Binding()
	if err != nil {
		return "", err
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType(possessionType))
	if err != nil {
		return "", fmt.Errorf("oidc: %s: %w", path, err)
	}
	var id [16]byte
	rand.Read(id[:])
	text, err := json.Marshal(possession{
		ID: b64(id[:]), Method: possessionMethod, URI: possessionURI, Issued: now.Unix(), Token: digest(token), Nonce: b64(binding),
	})
	if err != nil {
		return "", err
	}
	signed, err := s.Sign(text)
	if err != nil {
		return "", fmt.Errorf("oidc: %s: %w", path, err)
	}
	return signed.CompactSerialize()
}

func readKey(path string) (crypto.Signer, jose.SignatureAlgorithm, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("%w: the key of the token: %w", identity.ErrCredential, err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, "", fmt.Errorf("oidc: %s holds no key in PEM", path)
	}
	var key any
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			return nil, "", fmt.Errorf("oidc: %s holds no key that is understood: PKCS#8, without a passphrase", path)
		}
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return k, jose.ES256, nil
		case elliptic.P384():
			return k, jose.ES384, nil
		case elliptic.P521():
			return k, jose.ES512, nil
		}
	case ed25519.PrivateKey:
		return k, jose.EdDSA, nil
	case *rsa.PrivateKey:
		return k, jose.PS256, nil
	}
	return nil, "", fmt.Errorf("oidc: %s holds a key that can't sign a proof", path)
}

// possessed checks a proof, for a token that is bound to the key with that
// thumbprint (RFC 7638). It takes each proof once.
func (v *Verifier) possessed(thumbprint, token, proof string, c identity.Channel) error {
	if proof == "" {
		return errors.New("the token is bound to a key (cnf: jkt), and nothing shows that this client has it: give it by -o dpop_key=")
	}
	if len(proof) > maxPossession {
		return fmt.Errorf("a proof of possession of %d bytes: the most is %d", len(proof), maxPossession)
	}
	p, err := openPossession(thumbprint, proof)
	if err != nil {
		return err
	}
	binding, err := c.Binding()
	if err != nil {
		return err
	}
	equal := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	now := v.c.Now()
	age := now.Sub(time.Unix(p.Issued, 0))
	switch {
	case p.Method != possessionMethod || p.URI != possessionURI:
		return errors.New("the proof of possession was made for something else than a session of wardfs")
	case !equal(p.Token, digest(token)):
		return errors.New("the proof of possession was made for another token")
	case !equal(p.Nonce, b64(binding)):
		return errors.New("the proof of possession was made for another channel: it was relayed, or is an old one")
	case age > possessionAge+v.c.Skew || age < -possessionAge-v.c.Skew:
		return errors.New("the proof of possession was not made just now: a clock is wrong")
	case len(p.ID) < 8 || len(p.ID) > 200:
		return errors.New("the proof of possession has no name of its own (jti)")
	}
	return v.seen.once(thumbprint+" "+p.ID, now, 2*(possessionAge+v.c.Skew))
}

// openPossession answers what the key with that thumbprint has signed.
func openPossession(thumbprint, proof string) (p possession, err error) {
	bad := errors.New("the proof of possession is none")
	signed, err := jose.ParseSignedCompact(proof, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return p, bad
	}
	head := signed.Signatures[0].Protected
	key := head.JSONWebKey
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); typ != possessionType || key == nil || !key.Valid() || !key.IsPublic() {
		return p, bad
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return p, bad
	}
	if subtle.ConstantTimeCompare([]byte(b64(sum)), []byte(thumbprint)) != 1 {
		return p, errors.New("the token is bound to another key than this client has")
	}
	text, err := signed.Verify(key.Key)
	if err != nil {
		return p, errors.New("the proof of possession is not signed by its key")
	}
	if json.Unmarshal(text, &p) != nil {
		return p, bad
	}
	return p, nil
}

// seen are the proofs that were taken, for as long as they would be good.
type seen struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

func (s *seen) once(name string, now time.Time, life time.Duration) error {
	key := sha256.Sum256([]byte(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.until[key]; ok && !now.After(t) {
		return errors.New("the proof of possession was shown before")
	}
	if len(s.until) >= maxSeen {
		for k, t := range s.until {
			if now.After(t) {
				delete(s.until, k)
			}
		}
		if len(s.until) >= maxSeen { // to forget one would be to take it twice
			return errors.New("too many proofs of possession were shown of late: try again in a minute")
		}
	}
	if s.until == nil {
		s.until = map[[sha256.Size]byte]time.Time{}
	}
	s.until[key] = now.Add(life)
	return nil
}
