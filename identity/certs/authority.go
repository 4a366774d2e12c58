package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// How long what an Authority makes is valid, and when it is made anew.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 397 * 24 * time.Hour
	backdate = time.Hour // for peers whose clock is behind
	Renew    = 30 * 24 * time.Hour
)

// Authority is a private certificate authority in a directory: ca.pem and
// ca.key. It serves `wardfs dev` and tests; who runs servers for others brings
// certificates of their own.
type Authority struct {
	dir  string
	now  func() time.Time
	cert *x509.Certificate
	key  crypto.Signer
}

// Pair names the files of a certificate and its key.
type Pair struct{ Cert, Key string }

// Open opens the authority of dir, and makes it if dir has none; now is nil for
// the clock. What is there is never written over: a damaged, expired or half
// authority is an error. One process at a time may use dir.
func Open(dir string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, now: now}
	_, noCert := os.Lstat(a.CA())
	_, noKey := os.Lstat(a.caKey())
	switch {
	case errors.Is(noCert, fs.ErrNotExist):
		// A key alone is what a crash between the two writes leaves; nothing
		// was certified with it yet.
		return a, a.found(noKey == nil)
	case errors.Is(noKey, fs.ErrNotExist):
		return nil, &Error{Errno: posix.ENOENT, Text: "authority " + a.CA() + " has lost its key " + a.caKey(),
			Next: "restore the key, or move the folder away to begin a new authority"}
	}
	return a, a.open()
}

// CA is the path of the authority's certificate.
func (a *Authority) CA() string    { return filepath.Join(a.dir, "ca.pem") }
func (a *Authority) caKey() string { return filepath.Join(a.dir, "ca.key") }

func (a *Authority) open() error {
	pair, err := readPair(a.CA(), a.caKey(), nil)
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return unusable(a.CA(), "is not an authority's certificate", nil)
	}
	if err := timely("authority's certificate", pair.Leaf, a.now()); err != nil {
		return err
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

// found makes a new authority, with the key that is there if there is one.
func (a *Authority) found(withKey bool) (err error) {
	if withKey {
		a.key, err = readKey(a.caKey())
	} else {
		a.key, err = newKey(a.caKey(), "", writeFile)
	}
	if err != nil {
		return err
	}
	return a.certifySelf("", caLife, writeFile)
}

// certifySelf makes the authority's own certificate.
func (a *Authority) certifySelf(name string, life time.Duration, write writer) (err error) {
	if name == "" {
		host, _ := os.Hostname()
		name = "wardfs authority of " + host
	}
	t := a.template(name, life)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a.cert, err = a.certify(a.CA(), t, t, a.key, write)
	return err
}

// Server sees to NAME.pem and NAME.key for a server with these host names and
// addresses, and makes them anew if they are missing, near their end, of
// another authority or for other names.
func (a *Authority) Server(name string, hosts []string) (Pair, error) {
	t := a.template("wardfs server", leafLife)
	forHosts(t, hosts)
	return a.ensure(name, t)
}

func forHosts(t *x509.Certificate, hosts []string) {
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if h != "" && !slices.Contains(t.DNSNames, h) {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
}

// Client is as Server, for a client whose principal is the given name.
func (a *Authority) Client(name, principal string) (Pair, error) {
	t := a.template(principal, leafLife)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.ensure(name, t)
}

// Hosts are the names this machine's server may be dialled by on this machine.
func Hosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if h, err := os.Hostname(); err == nil && h != "localhost" {
		hosts = append(hosts, h)
	}
	return hosts
}

func (a *Authority) pair(name string) Pair {
	return Pair{filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")}
}

func (a *Authority) ensure(name string, want *x509.Certificate) (Pair, error) {
	p := a.pair(name)
	if a.serves(p, want) {
		return p, nil
	}
	key, err := newKey(p.Key, "", writeFile)
	if err != nil {
		return p, err
	}
	_, err = a.certify(p.Cert, want, a.cert, key, writeFile)
	return p, err
}

// serves reports whether p is as wanted and will be for a while.
func (a *Authority) serves(p Pair, want *x509.Certificate) bool {
	pair, err := readPair(p.Cert, p.Key, nil)
	if err != nil {
		return false
	}
	c := pair.Leaf
	sameIPs := slices.EqualFunc(c.IPAddresses, want.IPAddresses, net.IP.Equal)
	return c.CheckSignatureFrom(a.cert) == nil && sameIPs &&
		c.Subject.CommonName == want.Subject.CommonName && slices.Equal(c.DNSNames, want.DNSNames) &&
		a.now().After(c.NotBefore) && a.now().Add(Renew).Before(c.NotAfter)
}

func (a *Authority) template(cn string, life time.Duration) *x509.Certificate {
	now, end := a.now(), a.now().Add(life)
	if a.cert != nil && end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: cn},
		NotBefore: now.Add(-backdate), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *Authority) certify(path string, t, parent *x509.Certificate, key crypto.Signer, write writer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if err := write(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newKey(path string, kind KeyType, write writer) (crypto.Signer, error) {
	key, err := kind.generate()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(text)
	return key, write(path, text, 0o600)
}

func readKey(path string) (crypto.Signer, error) {
	data, err := readFile(path, "key")
	if err != nil {
		return nil, err
	}
	defer clear(data)
	b, _ := pem.Decode(data)
	if b == nil {
		return nil, unusable(path, "holds no key", nil)
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, unusable(path, "key is damaged", err)
	}
	if k, ok := key.(crypto.Signer); ok {
		return k, nil
	}
	return nil, unusable(path, "is not a key that signs", nil)
}
