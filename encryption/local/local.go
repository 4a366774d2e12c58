// Package local keeps zone keys under a wrapping key in a file of this host: for
// tests and `wardfs dev` alone. Who can read the file can read every zone, which
// is why it is called unsafe wherever it shows.
package local

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wardfs/wardfs/encryption"
	"github.com/wardfs/wardfs/encryption/segment"
)

// prefix begins each wrapped key, so that whoever sees one knows what it is.
const prefix = "local-unsafe:1:"

// Keys is a directory, mode 0700, of one file for each wrapping key, 0600, of 32
// bytes. A wrapping key is made when it is first used to make a zone key.
//
//	wrapped  "local-unsafe:1:" base64( nonce 12 | AES-256-GCM of the zone key 32 | tag 16 )
//	         the associated data is the wrapping key's name
type Keys struct{ dir string }

var _ encryption.Keys = (*Keys)(nil)

// Open uses dir, which it makes if it is not there.
func Open(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Keys{dir}, nil
}

// New makes a zone key.
func (k *Keys) New(_ context.Context, wrapping string) (encryption.Wrapped, error) {
	a, err := k.aead(wrapping, true)
	if err != nil {
		return "", err
	}
	b := make([]byte, a.NonceSize()+segment.KeySize, a.NonceSize()+segment.KeySize+a.Overhead())
	defer clear(b)
	rand.Read(b) // the nonce and the key
	nonce, key := b[:a.NonceSize()], b[a.NonceSize():]
	sealed := a.Seal(key[:0], nonce, key, []byte(wrapping))
	return encryption.Wrapped(prefix + base64.StdEncoding.EncodeToString(b[:len(nonce)+len(sealed)])), nil
}

// Unwrap opens keys.
func (k *Keys) Unwrap(ctx context.Context, wrapping string, keys []encryption.Wrapped) ([]encryption.Opened, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := k.aead(wrapping, false)
	if err != nil {
		return nil, err
	}
	opened := make([]encryption.Opened, len(keys))
	for i, w := range keys {
		opened[i].Secret, opened[i].Err = unwrap(a, wrapping, w)
	}
	return opened, nil
}

func unwrap(a cipher.AEAD, wrapping string, w encryption.Wrapped) (*encryption.Secret, error) {
	text, ok := strings.CutPrefix(string(w), prefix)
	if !ok {
		return nil, fmt.Errorf("%w: it was not made by the local key store", encryption.ErrDenied)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < a.NonceSize() {
		return nil, fmt.Errorf("%w: it is damaged", encryption.ErrDenied)
	}
	key, err := a.Open(nil, b[:a.NonceSize()], b[a.NonceSize():], []byte(wrapping))
	if err != nil {
		return nil, fmt.Errorf("%w: it is damaged, or of another wrapping key", encryption.ErrDenied)
	}
	return encryption.NewSecret(key)
}

// aead reads a wrapping key, or makes it.
func (k *Keys) aead(wrapping string, make bool) (cipher.AEAD, error) {
	if wrapping == "" || strings.ContainsAny(wrapping, "/\x00") || strings.HasPrefix(wrapping, ".") {
		return nil, fmt.Errorf("%w: %q is no name of a wrapping key", encryption.ErrDenied, wrapping)
	}
	file := filepath.Join(k.dir, wrapping)
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err = publish(file); err == nil {
			key, err = os.ReadFile(file)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w", encryption.ErrDenied, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", encryption.ErrUnavailable, err)
	case len(key) != segment.KeySize:
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d", encryption.ErrUnavailable, file, len(key), segment.KeySize)
	}
	defer clear(key)
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// publish makes a wrapping key; of several who do so at once one wins.
func publish(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, segment.KeySize)
	defer clear(key)
	rand.Read(key)
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
