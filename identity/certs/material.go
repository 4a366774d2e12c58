package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// material is what was read at one moment.
type material struct {
	from    stamps
	leaf    *tls.Certificate    // with Leaf set; nil for a client without one
	chain   []*x509.Certificate // of leaf, with what is sent beside it
	anchors *x509.CertPool      // nil: the host's list
	cas     []*x509.Certificate
	open    string // a key file that others may read
}

// stamps are the state of the files as text, so that a change shows.
type stamps string

// look takes the stamps. A file that is not there has an empty one.
func look(c Config) stamps {
	paths := []string{c.Cert, c.Key, c.CA, c.Keystore, c.Truststore, c.Dir}
	if c.Dir != "" {
		certs, _, _ := listDir(c.Dir)
		for _, n := range certs {
			paths = append(paths, n, filepath.Join(c.Dir, n+".key"), filepath.Join(c.Dir, n+".crt"))
		}
	}
	var b strings.Builder
	for _, path := range paths {
		var st syscall.Stat_t
		if path != "" && syscall.Stat(path, &st) == nil {
			fmt.Fprint(&b, st.Ino, st.Size, st.Mtim, st.Ctim)
		}
		b.WriteByte(';')
	}
	return stamps(b.String())
}

// read reads all of it. The stamps are taken first: a file that changes while
// it is read is read again at the next look.
func read(c Config) (*material, error) {
	m := &material{from: look(c)}
	if (c.Cert == "") != (c.Key == "") {
		return nil, &Error{Errno: posix.EINVAL, Text: "a certificate needs its key and a key its certificate",
			Next: "give both cert and key, or neither"}
	}
	if ways := count(c.Cert != "", c.Keystore != "", c.Dir != ""); ways > 1 {
		return nil, &Error{Errno: posix.EINVAL, Text: "a certificate comes from cert and key, from a keystore or from a directory, and here from several",
			Next: "name one of them"}
	}
	if c.CA != "" && c.Truststore != "" {
		return nil, &Error{Errno: posix.EINVAL, Text: "whom to trust comes from ca or from a truststore, and here from both", Next: "name one of them"}
	}
	if err := m.readTrust(c); err != nil {
		return nil, err
	}
	if err := m.readOwn(c); err != nil {
		return nil, err
	}
	if err := m.parseChain(c); err != nil {
		return nil, err
	}
	if len(m.cas) > 0 {
		m.anchors = x509.NewCertPool()
		for _, ca := range m.cas {
			m.anchors.AddCert(ca)
		}
	}
	return m, nil
}

// parseChain parses what is sent with the leaf.
func (m *material) parseChain(c Config) error {
	if m.leaf == nil {
		return nil
	}
	for _, der := range m.leaf.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return unusable(c.Cert+c.Keystore+c.Dir, "a certificate of the chain is damaged", err)
		}
		m.chain = append(m.chain, one)
	}
	return nil
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func (m *material) readTrust(c Config) (err error) {
	switch {
	case c.CA != "":
		m.cas, err = readCAs(c.CA)
	case c.Truststore != "":
		var password []byte
		if password, err = c.TruststorePassword.get(); err == nil {
			m.cas, err = readTruststore(c.Truststore, password)
		}
	}
	return err
}

func (m *material) readOwn(c Config) (err error) {
	switch {
	case c.Dir != "":
		return m.readDir(c.Dir)
	case c.Keystore != "":
		var password, keyPassword []byte
		if password, err = c.KeystorePassword.get(); err != nil {
			return err
		}
		if keyPassword, err = c.KeyPassword.get(); err != nil {
			return err
		}
		m.noteOpen(c.Keystore)
		m.leaf, err = readKeystore(c.Keystore, c.Alias, password, keyPassword)
	case c.Cert != "":
		m.noteOpen(c.Key)
		m.leaf, err = readPair(c.Cert, c.Key, c.KeyPassword)
	}
	return err
}

// noteOpen notes a file with a key that others may read.
func (m *material) noteOpen(path string) {
	if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o077 != 0 {
		m.open = path
	}
}

// get answers nil for a secret that is not named.
func (s Secret) get() ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	b, err := s()
	if err != nil {
		return nil, &Error{Errno: posix.EINVAL, Text: "a password of the TLS material can't be had: " + err.Error(), Err: err}
	}
	return b, nil
}

func readCAs(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path, "trust anchors")
	if err != nil {
		return nil, err
	}
	var cas []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, unusable(path, fmt.Sprintf("certificate %d is damaged", len(cas)+1), err)
		}
		cas = append(cas, ca)
	}
	if len(cas) == 0 {
		return nil, unusable(path, "holds no certificate", nil)
	}
	return cas, nil
}

func readPair(cert, key string, passphrase Secret) (*tls.Certificate, error) {
	certPEM, err := readFile(cert, "certificate")
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(key, "key")
	if err != nil {
		return nil, err
	}
	defer clear(keyPEM)
	if b, _ := pem.Decode(certPEM); b == nil {
		return nil, unusable(cert, "holds no certificate", nil)
	}
	b, _ := pem.Decode(keyPEM)
	if b == nil {
		return nil, unusable(key, "holds no key", nil)
	}
	if _, old := b.Headers["DEK-Info"]; old {
		return nil, unusable(key, "the key has a passphrase in an old form: convert it by openssl pkcs8 -topk8", nil)
	}
	if b.Type == "ENCRYPTED PRIVATE KEY" {
		password, err := passphrase.get()
		if err != nil {
			return nil, err
		}
		plain, err := decrypt(b, password)
		if err != nil {
			return nil, unusable(key, err.Error(), nil)
		}
		keyPEM = pem.EncodeToMemory(plain)
		defer clear(keyPEM)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, unusable(cert, "certificate and key "+key+" don't make a pair", err)
	}
	if pair.Leaf == nil { // GODEBUG=x509keypairleaf=0
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, unusable(cert, "certificate is damaged", err)
		}
	}
	return &pair, nil
}

func readFile(path, what string) ([]byte, error) {
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{Errno: posix.ENOENT, Text: what + " file " + path + " is not there",
			Next: "check the path, in the configuration or the option that names it", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{Errno: posix.EACCES, Text: what + " file " + path + " may not be read by this user",
			Next: "run as its owner, or chown it to the user who runs wardfs", Err: err}
	}
	return nil, &Error{Errno: posix.EIO, Text: what + " file " + path + " can't be read: " + err.Error(), Err: err}
}

func unusable(path, why string, err error) error {
	text := path + ": " + why
	if err != nil {
		text += ": " + err.Error()
	}
	return &Error{Errno: posix.EINVAL, Text: text, Next: "the file must be PEM, whole, and of this certificate", Err: err}
}

// timely answers an error if the material's own certificate is not valid at t.
func (m *material) timely(t time.Time) error {
	if m.leaf == nil {
		return nil
	}
	return timely("own certificate", m.leaf.Leaf, t)
}

func timely(what string, c *x509.Certificate, t time.Time) error {
	switch {
	case t.After(c.NotAfter):
		return &Error{Errno: posix.EKEYEXPIRED, Text: fmt.Sprintf("%s of %q expired at %s", what, name(c), stampOf(c.NotAfter)),
			Next: "renew it; wardfs reads it again by itself"}
	case t.Before(c.NotBefore):
		return &Error{Errno: posix.EKEYEXPIRED, Text: fmt.Sprintf("%s of %q is not valid before %s, and here it is %s", what, name(c), stampOf(c.NotBefore), stampOf(t)),
			Next: "set the clocks of both hosts right"}
	}
	return nil
}

func (m *material) notAfter() (t time.Time) {
	for _, c := range slices.Concat(m.chain, m.cas) {
		if t.IsZero() || c.NotAfter.Before(t) {
			t = c.NotAfter
		}
	}
	return t
}

func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }
