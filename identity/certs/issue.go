package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// KeyType is a kind of key; the zero value is ECDSA with P-256.
type KeyType string

// KeyTypes are those that can be made.
var KeyTypes = []string{"ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"}

func (k KeyType) generate() (crypto.Signer, error) {
	switch k {
	case "", "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "rsa-3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, &Error{Errno: posix.EINVAL, Text: fmt.Sprintf("%q is no type of key", string(k)), Next: "write " + strings.Join(KeyTypes, ", ")}
}

// Order is a certificate to make.
type Order struct {
	Name  string        // the common name; a client's principal
	Hosts []string      // whom a server may be called; none: it is a client's
	Key   KeyType       //
	Life  time.Duration // 0: ten years for an authority, 397 days for others; never beyond its authority's
}

// Found makes a new authority in dir, where there must be none; now is nil for
// the clock.
func Found(dir string, o Order, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cannotMake(dir, err)
	}
	a := &Authority{dir: dir, now: now}
	if err := absent(a.CA(), a.caKey()); err != nil {
		return nil, err
	}
	var err error
	if a.key, err = newKey(a.caKey(), o.Key, writeNew); err != nil {
		return nil, cannotMake(a.caKey(), err)
	}
	if o.Life == 0 {
		o.Life = caLife
	}
	if err := a.certifySelf(o.Name, o.Life, writeNew); err != nil {
		os.Remove(a.caKey())
		return nil, cannotMake(a.CA(), err)
	}
	return a, nil
}

// Existing opens the authority of dir, where there must be one.
func Existing(dir string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	a := &Authority{dir: dir, now: now}
	if _, err := os.Lstat(a.CA()); errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Errno: posix.ENOENT, Text: dir + " has no authority: there is no " + a.CA(), Next: "make one: wardfs cert ca " + dir}
	}
	return a, a.open()
}

// Issue makes FILE.pem and FILE.key beside the authority, where neither may be.
func (a *Authority) Issue(file string, o Order) (Pair, error) {
	p := a.pair(file)
	if file == "" || strings.ContainsAny(file, "/\x00") || strings.HasPrefix(file, ".") {
		return p, &Error{Errno: posix.EINVAL, Text: fmt.Sprintf("%q is no name for a file", file), Next: "give another"}
	}
	if err := absent(p.Cert, p.Key); err != nil {
		return p, err
	}
	if o.Life == 0 {
		o.Life = leafLife
	}
	t := a.template(o.Name, o.Life)
	if len(o.Hosts) > 0 {
		for _, h := range o.Hosts {
			if err := checkHost(h); err != nil {
				return p, err
			}
		}
		forHosts(t, o.Hosts)
	} else {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	key, err := newKey(p.Key, o.Key, writeNew)
	if err != nil {
		return p, cannotMake(p.Key, err)
	}
	if _, err := a.certify(p.Cert, t, a.cert, key, writeNew); err != nil {
		os.Remove(p.Key)
		return p, cannotMake(p.Cert, err)
	}
	return p, nil
}

func absent(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			return &Error{Errno: posix.EEXIST, Text: path + " is there already, and is not written over", Next: "name another, or move it away"}
		}
	}
	return nil
}

func cannotMake(path string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, fs.ErrExist) {
		return absent(path)
	}
	return &Error{Errno: posix.ErrnoOf(err), Text: path + " can't be made: " + err.Error(), Err: err}
}

// checkHost refuses what no host is called: a wildcard may stand for the first
// label alone.
func checkHost(h string) error {
	if net.ParseIP(h) != nil {
		return nil
	}
	good := h != "" && len(h) <= 253
	for i, label := range strings.Split(h, ".") {
		if i == 0 && label == "*" && strings.Contains(h, ".") {
			continue
		}
		good = good && checkLabel(label)
	}
	if good {
		return nil
	}
	return &Error{Errno: posix.EINVAL, Text: fmt.Sprintf("%q is no name of a host", h), Next: "write names and addresses as mounts write them, without port: files.example.com, *.example.com, 10.1.2.3, ::1"}
}

func checkLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for _, r := range l {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
