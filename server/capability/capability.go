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
//	50      4     uid of who opened it
//	54      1     n: how many origins, at most 64
//	55      8 n   origins: the other files whose blocks the file shares
//	55+8n   32    HMAC-SHA-256 of all before
package capability

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
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
	UID     posix.UID // who opened the file

	// Origins are the files beside File whose blocks the token opens for
	// reading: those that slices shared with File were written for.
	Origins []posix.Ino
}

// Reads reports whether the grant is one for reading blocks of file.
func (g Grant) Reads(file posix.Ino) bool {
	return file == g.File || slices.Contains(g.Origins, file)
}

const (
	version  = 1
	headSize = 55
	// MaxOrigins is how many origins a token has room for.
	MaxOrigins = 64
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

// Seal makes the token of g, which has at most MaxOrigins.
func (r Ring) Seal(g Grant) []byte {
	if len(g.Origins) > MaxOrigins {
		panic("capability: too many origins")
	}
	b := make([]byte, headSize, headSize+8*len(g.Origins)+sha256.Size)
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
	binary.BigEndian.PutUint32(b[50:], uint32(g.UID))
	b[54] = byte(len(g.Origins))
	for _, o := range g.Origins {
		b = binary.BigEndian.AppendUint64(b, uint64(o))
	}
	return append(b, r[0].sum(b)...)
}

// Open answers what a token of that kind says, if one of the keys signed it
// and it has not expired: ErrForged, ErrExpired.
func (r Ring) Open(kind Kind, token []byte, now time.Time) (Grant, error) {
	if len(token) < headSize || token[0] != version || token[1] != byte(kind) {
		return Grant{}, ErrForged
	}
	size := headSize + 8*int(token[54])
	if token[54] > MaxOrigins || len(token) != size+sha256.Size {
		return Grant{}, ErrForged
	}
	body, mac := token[:size], token[size:]
	number := binary.BigEndian.Uint32(body[2:])
	for _, k := range r {
		if k.Number != number || !hmac.Equal(k.sum(body), mac) {
			continue
		}
		g := parse(body)
		if !g.Expires.IsZero() && !now.Before(g.Expires) {
			return Grant{}, ErrExpired
		}
		return g, nil
	}
	return Grant{}, ErrForged
}

// parse reads a body whose length is right.
func parse(body []byte) Grant {
	g := Grant{
		Kind:    Kind(body[1]),
		Session: binary.BigEndian.Uint64(body[6:]),
		Epoch:   binary.BigEndian.Uint64(body[14:]),
		File:    posix.Ino(binary.BigEndian.Uint64(body[22:])),
		Handle:  posix.Handle(binary.BigEndian.Uint64(body[30:])),
		Rights:  posix.OpenFlags(binary.BigEndian.Uint32(body[38:])),
		UID:     posix.UID(binary.BigEndian.Uint32(body[50:])),
	}
	if s := binary.BigEndian.Uint64(body[42:]); s != 0 {
		g.Expires = time.Unix(int64(s), 0)
	}
	for b := body[headSize:]; len(b) > 0; b = b[8:] {
		g.Origins = append(g.Origins, posix.Ino(binary.BigEndian.Uint64(b)))
	}
	return g
}
