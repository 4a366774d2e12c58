// Package capability is the signed right that the namespace role gives to a
// client and the chunk role checks without asking. It is pure: time and
// randomness are arguments.
//
// A token, version 1, integers big-endian:
//
//	offset  size  what
//	0       1     version, 1
//	1       1     kind: 'c' a capability, 't' a ticket
//	2       4     the number of the key that signed it
//	6       8     session
//	14      8     epoch of the session
//	22      8     file
//	30      8     handle
//	38      4     rights, the flags of the open
//	42      8     expiry, seconds since the epoch; 0 for never
//	50      32    HMAC-SHA-256 of all before
package capability

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// What a refused token is.
var (
	ErrForged  = errors.New("capability: not signed by a key of this server")
	ErrExpired = errors.New("capability: expired")
)

// Kind says what a token is good for; one kind never passes for the other.
type Kind byte

// The kinds of token.
const (
	Capability Kind = 'c' // to a file's blocks, at the chunk role; short-lived
	Ticket     Kind = 't' // to open a handle again after a restart, at the namespace role
)

// Grant is what a token says.
type Grant struct {
	Kind    Kind
	Session uint64
	Epoch   uint64
	File    posix.Ino
	Handle  posix.Handle
	Rights  posix.OpenFlags
	Expires time.Time // zero: never
}

const (
	version  = 1
	bodySize = 50
	// TokenSize is the length of every token, in bytes.
	TokenSize = bodySize + sha256.Size
)

// Key signs and checks.
type Key struct {
	Number uint32
	Secret [32]byte
}

// NewKey draws a key's secret from rand.
func NewKey(number uint32, rand io.Reader) (Key, error) {
	k := Key{Number: number}
	_, err := io.ReadFull(rand, k.Secret[:])
	return k, err
}

func (k Key) sum(body []byte) []byte {
	h := hmac.New(sha256.New, k.Secret[:])
	h.Write(body)
	return h.Sum(nil)
}

// Ring is the keys in force: the first signs, all check. It is safe for
// concurrent use as long as nobody changes it: rotation makes a new Ring.
type Ring []Key

// Seal makes the token of g.
func (r Ring) Seal(g Grant) []byte {
	b := make([]byte, bodySize, TokenSize)
	b[0], b[1] = version, byte(g.Kind)
	binary.BigEndian.PutUint32(b[2:], r[0].Number)
	binary.BigEndian.PutUint64(b[6:], g.Session)
	binary.BigEndian.PutUint64(b[14:], g.Epoch)
	binary.BigEndian.PutUint64(b[22:], uint64(g.File))
	binary.BigEndian.PutUint64(b[30:], uint64(g.Handle))
	binary.BigEndian.PutUint32(b[38:], uint32(g.Rights))
	if !g.Expires.IsZero() {
		binary.BigEndian.PutUint64(b[42:], uint64(g.Expires.Unix()))
	}
	return append(b, r[0].sum(b)...)
}

// Open answers what a token of that kind says, if one of the keys signed it
// and it has not expired: ErrForged, ErrExpired.
func (r Ring) Open(kind Kind, token []byte, now time.Time) (Grant, error) {
	if len(token) != TokenSize || token[0] != version || token[1] != byte(kind) {
		return Grant{}, ErrForged
	}
	body, mac := token[:bodySize], token[bodySize:]
	number := binary.BigEndian.Uint32(body[2:])
	for _, k := range r {
		if k.Number != number || !hmac.Equal(k.sum(body), mac) {
			continue
		}
		g := Grant{
			Kind:    kind,
			Session: binary.BigEndian.Uint64(body[6:]),
			Epoch:   binary.BigEndian.Uint64(body[14:]),
			File:    posix.Ino(binary.BigEndian.Uint64(body[22:])),
			Handle:  posix.Handle(binary.BigEndian.Uint64(body[30:])),
			Rights:  posix.OpenFlags(binary.BigEndian.Uint32(body[38:])),
		}
		if s := binary.BigEndian.Uint64(body[42:]); s != 0 {
			if g.Expires = time.Unix(int64(s), 0); !now.Before(g.Expires) {
				return Grant{}, ErrExpired
			}
		}
		return g, nil
	}
	return Grant{}, ErrForged
}
