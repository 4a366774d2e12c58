package kerberos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"

	"github.com/wardfs/wardfs/identity"
)

// ErrExpired is the answer of a ticket cache whose ticket is no longer good.
var ErrExpired = fmt.Errorf("%w: the ticket has expired", identity.ErrCredential)

// CachePath is the file behind the name of a ticket cache, as KRB5CCNAME has
// it: FILE:path, a path, DIR:directory (its primary cache) or DIR::file. read
// reads a file, as os.ReadFile does.
func CachePath(name string, read func(path string) ([]byte, error)) (string, error) {
	kind, rest, ok := strings.Cut(name, ":")
	switch {
	case name == "":
		return "", errors.New("no ticket cache is named")
	case !ok || strings.Contains(kind, "/"):
		return name, nil
	case kind == "FILE":
		return rest, nil
	case kind == "DIR" && strings.HasPrefix(rest, ":"):
		return rest[1:], nil
	case kind == "DIR":
		b, err := read(filepath.Join(rest, "primary"))
		primary := strings.TrimSpace(string(b))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return filepath.Join(rest, "tkt"), nil
		case err != nil:
			return "", err
		case primary != filepath.Base(primary) || !strings.HasPrefix(primary, "tkt"):
			return "", fmt.Errorf("%s/primary names no ticket cache", rest)
		}
		return filepath.Join(rest, primary), nil
	}
	return "", fmt.Errorf("a ticket cache of type %s can't be read here: run kinit -c FILE:/path and name that", kind)
}

// loadCache reads a ticket cache with a ticket-granting ticket that is good at
// now. What is wrong, its error says with the next step.
func loadCache(name string, read func(string) ([]byte, error), now time.Time) (*credentials.CCache, error) {
	path, err := CachePath(name, read)
	if err != nil {
		return nil, err
	}
	b, err := read(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: no ticket cache at %s: run kinit", identity.ErrCredential, path)
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCache(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	tgt := "krbtgt/" + c.GetClientRealm() + "@" + c.GetClientRealm()
	for _, e := range c.GetEntries() {
		if e.Server.PrincipalName.PrincipalNameString()+"@"+e.Server.Realm != tgt {
			continue
		}
		if !now.Before(e.EndTime) {
			return nil, fmt.Errorf("%s: %w: run kinit", path, ErrExpired)
		}
		return c, nil
	}
	return nil, fmt.Errorf("%w: %s: no ticket in it: run kinit", identity.ErrCredential, path)
}

func parseCache(b []byte) (*credentials.CCache, error) {
	c := new(credentials.CCache)
	if err := safely(func() error { return c.Unmarshal(b) }); err != nil {
		return nil, fmt.Errorf("not a ticket cache: %w", err)
	}
	return c, nil
}
