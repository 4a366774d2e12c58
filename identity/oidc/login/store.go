package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/identity"
)

const version = 1

// Login is one that was done and is kept: who is asked, how, and what was got.
type Login struct {
	Version  int       `json:"v"`
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes"`
	CA       string    `json:"ca,omitempty"`     // a file; empty: the system's
	Access   bool      `json:"access,omitempty"` // what is shown is the access token, not the ID token
	Token    string    `json:"token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Got      time.Time `json:"got"`
	Expires  time.Time `json:"expires"`
}

// take puts what an issuer gave into the login.
func (l *Login) take(t Tokens) error {
	token := t.ID
	if l.Access {
		token = t.Access
	}
	if token == "" {
		return errors.New("the issuer gave no token of the kind that is shown")
	}
	l.Token, l.Refresh, l.Got, l.Expires = token, t.Refresh, t.Got, t.Expires
	return nil
}

// Store is a folder of a user's logins, one for each issuer and client, in
// files of mode 0600 that are replaced whole. Several processes may use it at
// once: a refresh token is good for one use, and one of them makes it.
type Store struct {
	Dir string
	Now func() time.Time // default time.Now
	// Provider asks the issuer of a login.
	Provider func(ctx context.Context, l Login) (*Provider, error)
}

func (s Store) path(issuer, client string) string {
	sum := sha256.Sum256([]byte(issuer + "\n" + client))
	return filepath.Join(s.Dir, hex.EncodeToString(sum[:12])+".json")
}

// Put keeps what a login gave.
func (s Store) Put(l Login, t Tokens) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	unlock, err := s.lock(l.Issuer, l.ClientID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.take(t); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return s.write(l)
}

// Find answers the login at an issuer, by a client. Either may be left out
// where that leaves one.
func (s Store) Find(issuer, client string) (Login, error) {
	names, err := filepath.Glob(filepath.Join(s.Dir, "*.json"))
	if err != nil {
		return Login{}, err
	}
	var found []Login
	for _, name := range names {
		l, err := s.read(name)
		if err != nil {
			return Login{}, err
		}
		if (issuer == "" || l.Issuer == issuer) && (client == "" || l.ClientID == client) {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 0:
		return Login{}, fmt.Errorf("%w: nobody is logged in: run `wardfs login`", identity.ErrCredential)
	case 1:
		return found[0], nil
	}
	var all []string
	for _, l := range found {
		all = append(all, l.Issuer+" as "+l.ClientID)
	}
	return Login{}, fmt.Errorf("there are several logins, at %s: choose one by --issuer and --client-id", strings.Join(all, ", "))
}

// Token answers a login with a token that is good, a newer one where less than
// half of its life is left. Where that can't be had, the old one is good to its
// end.
func (s Store) Token(ctx context.Context, issuer, client string) (Login, error) {
	l, err := s.Find(issuer, client)
	if err != nil {
		return l, err
	}
	unlock, err := s.lock(l.Issuer, l.ClientID)
	if err != nil {
		return l, err
	}
	defer unlock()
	if l, err = s.read(s.path(l.Issuer, l.ClientID)); err != nil { // another may have refreshed it
		return l, err
	}
	left := l.Expires.Sub(s.now())
	if left > l.Expires.Sub(l.Got)/2 {
		return l, nil
	}
	if err = s.refresh(ctx, &l); err != nil && left > 0 {
		err = nil
	}
	return l, err
}

func (s Store) refresh(ctx context.Context, l *Login) error {
	if l.Refresh == "" {
		return fmt.Errorf("%w: the token of %s has expired: run `wardfs login`; the scope offline_access gives longer ones", identity.ErrCredential, l.Issuer)
	}
	p, err := s.Provider(ctx, *l)
	if err != nil {
		return err
	}
	t, err := p.Refresh(ctx, l.Refresh)
	if err != nil {
		return err
	}
	if err := l.take(t); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return s.write(*l)
}

// Remove forgets a login, and answers what it was.
func (s Store) Remove(issuer, client string) (Login, error) {
	l, err := s.Find(issuer, client)
	if err != nil {
		return l, err
	}
	unlock, err := s.lock(l.Issuer, l.ClientID)
	if err != nil {
		return l, err
	}
	defer unlock()
	if now, err := s.read(s.path(l.Issuer, l.ClientID)); err == nil {
		l = now
	}
	if err := os.Remove(s.path(l.Issuer, l.ClientID)); err != nil {
		return l, fmt.Errorf("login: %w", err)
	}
	return l, nil
}

func (s Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// read refuses a file that others can read or that is another's: it would be
// no secret, or somebody else's.
func (s Store) read(name string) (l Login, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("%w: nobody is logged in: run `wardfs login`", identity.ErrCredential)
	}
	if err != nil {
		return l, fmt.Errorf("login: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return l, fmt.Errorf("login: %w", err)
	}
	if own, ok := info.Sys().(*syscall.Stat_t); !ok || info.Mode().Perm()&0o077 != 0 || int(own.Uid) != os.Geteuid() {
		return l, fmt.Errorf("login: %s can be read by others, or is another's: remove it, and log in again", name)
	}
	err = json.NewDecoder(f).Decode(&l)
	switch {
	case err != nil:
		return l, fmt.Errorf("login: %s is damaged: remove it, and log in again", name)
	case l.Version != version:
		return l, fmt.Errorf("login: %s is of version %d, and this wardfs knows %d", name, l.Version, version)
	}
	return l, nil
}

func (s Store) write(l Login) error {
	l.Version = version
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	name := s.path(l.Issuer, l.ClientID)
	f, err := os.CreateTemp(s.Dir, ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	// A refresh token that is lost is a login that is lost.
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return nil
}

// lock keeps other processes of the user from the same login.
func (s Store) lock(issuer, client string) (unlock func(), err error) {
	f, err := os.OpenFile(s.path(issuer, client)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("login: %w", err)
	}
	return func() { f.Close() }, nil
}
