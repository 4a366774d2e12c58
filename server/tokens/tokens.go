// Package tokens keeps what a server knows of delegation tokens: whose each is,
// who may renew it, until when it is good, and the public half of its key.
//
// It refuses to know sessions: who may ask for what is in its rules, and who
// asks, the server says.
package tokens

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// Config is what a Table needs. The zero value of all but Engine has defaults.
type Config struct {
	Engine  engine.Engine
	MaxLife time.Duration    // until when a token can be renewed at most; default 7 days
	Renewal time.Duration    // for how long it is good, and each renewal; default 1 day
	Most    int              // tokens of one owner; default 1000
	Now     func() time.Time // default time.Now
}

// Token is one. It is stored under 'T' and its id, as JSON.
type Token struct {
	ID      delegation.ID `json:"-"`
	Version int           `json:"v"`
	Owner   string        `json:"owner"`
	Renewer string        `json:"renewer"`
	Public  []byte        `json:"public"` // of Ed25519
	Issued  time.Time     `json:"issued"`
	Expires time.Time     `json:"expires"`
	Max     time.Time     `json:"max"`
}

const (
	prefix  = 'T'
	version = 1
)

func key(id delegation.ID) []byte { return append([]byte{prefix}, id[:]...) }

// Table is all tokens of a server. It keeps nothing in memory, and is safe for
// concurrent use.
type Table struct{ c Config }

// New makes a Table over the engine.
func New(c Config) *Table {
	if c.MaxLife == 0 {
		c.MaxLife = 7 * 24 * time.Hour
	}
	if c.Renewal == 0 {
		c.Renewal = 24 * time.Hour
	}
	if c.Most == 0 {
		c.Most = 1000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Table{c}
}

var (
	errNone   = errors.New("there is no such token, or it has expired, or it is not yours")
	errPublic = errors.New("the public key of a token has 32 bytes")
)

// Issue notes a token of owner, which renewer may renew, and forgets those that
// have expired. The same once more is no error: its answer may have been lost. EEXIST, EINVAL, EDQUOT.
func (t *Table) Issue(ctx context.Context, id delegation.ID, public []byte, owner, renewer string) (Token, error) {
	if len(public) != 32 {
		return Token{}, posix.E("token issue", posix.EINVAL, errPublic)
	}
	if err := identity.CheckName(renewer); err != nil {
		return Token{}, posix.E("token issue", posix.EINVAL, fmt.Errorf("renewer: %w", err))
	}
	now := t.c.Now().UTC().Truncate(time.Millisecond)
	token := Token{
		ID: id, Version: version, Owner: owner, Renewer: renewer, Public: public,
		Issued: now, Expires: now.Add(min(t.c.Renewal, t.c.MaxLife)), Max: now.Add(t.c.MaxLife),
	}
	err := t.c.Engine.Update(ctx, func(tx engine.Tx) error {
		if was, there, err := get(tx, id); there || err != nil {
			if err == nil && (was.Owner != owner || was.Renewer != renewer || !bytes.Equal(was.Public, public)) {
				return posix.EEXIST
			}
			token = was
			return err
		}
		of := 0
		all, err := scan(tx)
		if err != nil {
			return err
		}
		for _, other := range all {
			if !now.Before(other.Expires) {
				tx.Delete(key(other.ID))
			} else if other.Owner == owner {
				of++
			}
		}
		if of >= t.c.Most {
			return posix.E("token issue", posix.EDQUOT, fmt.Errorf("%s has %d tokens: cancel some", owner, of))
		}
		return token.put(tx)
	})
	return token, wrap("token issue", err)
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return posix.E(op, posix.ErrnoOf(err), err)
}

func (t Token) put(tx engine.Tx) error {
	v, err := json.Marshal(t)
	if err == nil {
		tx.Put(key(t.ID), v)
	}
	return err
}

func decode(k, v []byte) (t Token, err error) {
	if err := json.Unmarshal(v, &t); err != nil || len(k) != len(key(t.ID)) {
		return t, posix.E("token", posix.EIO, fmt.Errorf("the record of token %x is damaged", k[1:]))
	}
	if t.Version != version {
		return t, posix.E("token", posix.EIO, fmt.Errorf("token record %x has version %d, this server knows %d", k[1:], t.Version, version))
	}
	copy(t.ID[:], k[1:])
	return t, nil
}

func scan(r engine.Reader) (all []Token, err error) {
	var bad error
	err = r.Scan([]byte{prefix}, []byte{prefix + 1}, func(k, v []byte) bool {
		t, err := decode(k, v)
		if err != nil {
			bad = err
			return false
		}
		all = append(all, t)
		return true
	})
	return all, cmp.Or(err, bad)
}

func get(r engine.Reader, id delegation.ID) (t Token, ok bool, err error) {
	v, ok, err := r.Get(key(id))
	if !ok || err != nil {
		return t, false, err
	}
	t, err = decode(key(id), v)
	return t, err == nil, err
}

// Lookup is what a [delegation.Verifier] asks.
func (t *Table) Lookup(ctx context.Context, id delegation.ID) (g delegation.Grant, ok bool, err error) {
	err = t.c.Engine.View(ctx, func(r engine.Reader) error {
		var token Token
		token, ok, err = get(r, id)
		g = delegation.Grant{Owner: token.Owner, Public: token.Public, Expires: token.Expires}
		return err
	})
	return g, ok, err
}

// Renew makes a token good for another time, up to its end. Only its renewer
// may: ENOENT for anybody else, EKEYEXPIRED for one that has expired or has
// come to its end.
func (t *Table) Renew(ctx context.Context, id delegation.ID, who string) (token Token, err error) {
	err = t.c.Engine.Update(ctx, func(tx engine.Tx) error {
		var ok bool
		token, ok, err = get(tx, id)
		now := t.c.Now().UTC().Truncate(time.Millisecond)
		switch {
		case err != nil:
			return err
		case !ok || token.Renewer != who && token.Owner != who:
			return posix.E("token renew", posix.ENOENT, errNone)
		case token.Renewer != who:
			return posix.E("token renew", posix.EPERM, fmt.Errorf("only %s may renew it", token.Renewer))
		case !now.Before(token.Expires) || !now.Before(token.Max):
			return posix.E("token renew", posix.EKEYEXPIRED, errors.New("it has expired: have another one issued"))
		}
		until := now.Add(t.c.Renewal)
		if until.After(token.Max) {
			until = token.Max
		}
		if until.After(token.Expires) {
			token.Expires = until
		}
		return token.put(tx)
	})
	return token, wrap("token renew", err)
}

// Cancel forgets a token. Its owner may, its renewer and a superuser: ENOENT
// for anybody else.
func (t *Table) Cancel(ctx context.Context, id delegation.ID, who string, super bool) error {
	return wrap("token cancel", t.c.Engine.Update(ctx, func(tx engine.Tx) error {
		token, ok, err := get(tx, id)
		if err != nil && !super { // a damaged one can be taken away
			return err
		}
		if err == nil && (!ok || !super && token.Owner != who && token.Renewer != who) {
			return posix.E("token cancel", posix.ENOENT, errNone)
		}
		tx.Delete(key(id))
		return nil
	}))
}

// List answers the tokens that are who's, or that who may renew, of a superuser
// all, the oldest first. Those that have expired are not among them.
func (t *Table) List(ctx context.Context, who string, super bool) (all []Token, err error) {
	err = t.c.Engine.View(ctx, func(r engine.Reader) error {
		all, err = scan(r)
		return err
	})
	now := t.c.Now()
	all = slices.DeleteFunc(all, func(x Token) bool {
		return !super && x.Owner != who && x.Renewer != who || !now.Before(x.Expires)
	})
	slices.SortFunc(all, func(a, b Token) int { return a.Issued.Compare(b.Issued) })
	return all, wrap("token list", err)
}
