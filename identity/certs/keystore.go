package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// This file reads what Java's keytool and openssl pkcs12 write: JKS, which
// begins with the magic 0xfeedfeed, and PKCS#12, which is DER.

var jksMagic = []byte{0xfe, 0xed, 0xfe, 0xed}

// entry is one key of a keystore with its chain, leaf first.
type entry struct {
	alias string
	key   crypto.PrivateKey
	chain []*x509.Certificate
}

// readKeystore answers the key pair of a keystore: of the alias, which must be
// named where there are several keys and does not matter where there is one.
func readKeystore(path, alias string, password, keyPassword []byte) (*tls.Certificate, error) {
	data, err := readFile(path, "keystore")
	if err != nil {
		return nil, err
	}
	entries, err := keysOf(data, alias, password, keyPassword)
	if err != nil {
		return nil, unusableStore(path, err)
	}
	if len(entries) == 0 {
		return nil, unusableStore(path, errors.New("it holds no key"))
	}
	names := make([]string, len(entries))
	at := -1
	for i, e := range entries {
		names[i] = e.alias
		if strings.EqualFold(e.alias, alias) || len(entries) == 1 {
			at = i
		}
	}
	slices.Sort(names)
	switch {
	case at < 0 && alias == "":
		return nil, unusableStore(path, fmt.Errorf("it holds %d keys and no alias is named; there are: %s", len(names), strings.Join(names, ", ")))
	case at < 0:
		return nil, unusableStore(path, fmt.Errorf("there is no key of alias %q; there are: %s", alias, strings.Join(names, ", ")))
	}
	e := entries[at]
	if len(e.chain) == 0 {
		return nil, unusableStore(path, fmt.Errorf("the key of alias %q has no certificate", e.alias))
	}
	signer, ok := e.key.(crypto.Signer)
	if !ok {
		return nil, unusableStore(path, fmt.Errorf("the key of alias %q can't sign", e.alias))
	}
	if pub, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(e.chain[0].PublicKey) {
		return nil, unusableStore(path, fmt.Errorf("key and certificate of alias %q don't make a pair", e.alias))
	}
	pair := &tls.Certificate{PrivateKey: e.key, Leaf: e.chain[0]}
	for _, c := range e.chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}

// keysOf reads all keys of a keystore. Those of a JKS have passwords of their
// own, so of several only the one of the alias is opened.
func keysOf(data []byte, alias string, password, keyPassword []byte) ([]entry, error) {
	if bytes.HasPrefix(data, jksMagic) {
		return jksKeys(data, alias, password, keyPassword)
	}
	return p12Keys(data, password)
}

func jksKeys(data []byte, alias string, password, keyPassword []byte) (all []entry, err error) {
	ks, err := loadJKS(data, password)
	if err != nil {
		return nil, err
	}
	if keyPassword == nil {
		keyPassword = password // as keytool has it
	}
	var names []string
	for _, name := range ks.Aliases() {
		if ks.IsPrivateKeyEntry(name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		e := entry{alias: name}
		if len(names) == 1 || strings.EqualFold(name, alias) {
			k, err := ks.GetPrivateKeyEntry(name, keyPassword)
			if err != nil {
				return nil, fmt.Errorf("the key of alias %q can't be opened: wrong key password", name)
			}
			if e.key, err = x509.ParsePKCS8PrivateKey(k.PrivateKey); err != nil {
				return nil, fmt.Errorf("the key of alias %q: %w", name, err)
			}
			for _, c := range k.CertificateChain {
				cert, err := x509.ParseCertificate(c.Content)
				if err != nil {
					return nil, fmt.Errorf("the certificate of alias %q: %w", name, err)
				}
				e.chain = append(e.chain, cert)
			}
		}
		all = append(all, e)
	}
	return all, nil
}

func loadJKS(data, password []byte) (keystore.KeyStore, error) {
	ks := keystore.New(keystore.WithMinPasswordLen(0))
	if err := ks.Load(bytes.NewReader(data), password); err != nil {
		return ks, errors.New("it can't be opened: a wrong password, or it is damaged")
	}
	return ks, nil
}

// p12Keys reads PKCS#12. The library's functions for one key refuse several;
// its older one takes them apart and leaves the rest to us.
func p12Keys(data, password []byte) (all []entry, err error) {
	//lint:ignore SA1019 the only way to a store with several keys
	blocks, err := pkcs12.ToPEM(data, string(password))
	if err != nil {
		return nil, p12Error(err)
	}
	var certs []*x509.Certificate
	leaf := map[string]*x509.Certificate{} // by localKeyId
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
		if id := b.Headers["localKeyId"]; id != "" {
			leaf[id] = c
		}
	}
	for _, b := range blocks {
		if b.Type == "CERTIFICATE" {
			continue
		}
		e := entry{alias: b.Headers["friendlyName"]}
		if e.key, err = parseKey(b.Bytes); err != nil {
			return nil, fmt.Errorf("the key of alias %q: %w", e.alias, err)
		}
		if c := leaf[b.Headers["localKeyId"]]; c != nil {
			e.chain = chainOf(c, certs)
		}
		all = append(all, e)
	}
	return all, nil
}

func p12Error(err error) error {
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return errors.New("wrong password")
	}
	return fmt.Errorf("neither JKS nor PKCS#12, or damaged: %w", err)
}

// parseKey reads the forms that a key has in DER.
func parseKey(der []byte) (crypto.PrivateKey, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return x509.ParsePKCS1PrivateKey(der)
}

// chainOf is leaf and those that issued it, as far as they are among all.
func chainOf(leaf *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for c := leaf; !bytes.Equal(c.RawIssuer, c.RawSubject) && len(chain) < 10; {
		at := slices.IndexFunc(all, func(i *x509.Certificate) bool {
			return bytes.Equal(i.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(i) == nil
		})
		if at < 0 {
			break
		}
		c = all[at]
		chain = append(chain, c)
	}
	return chain
}

// readTruststore answers the certificates of a JKS or a PKCS#12 file.
func readTruststore(path string, password []byte) (cas []*x509.Certificate, err error) {
	data, err := readFile(path, "truststore")
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, jksMagic) {
		ks, err := loadJKS(data, password)
		if err != nil {
			return nil, unusableStore(path, err)
		}
		names := ks.Aliases()
		slices.Sort(names)
		for _, name := range names {
			if !ks.IsTrustedCertificateEntry(name) {
				continue
			}
			e, err := ks.GetTrustedCertificateEntry(name)
			if err != nil {
				return nil, unusableStore(path, err)
			}
			ca, err := x509.ParseCertificate(e.Certificate.Content)
			if err != nil {
				return nil, unusableStore(path, fmt.Errorf("the certificate of alias %q: %w", name, err))
			}
			cas = append(cas, ca)
		}
	} else if cas, err = pkcs12.DecodeTrustStore(data, string(password)); err != nil {
		return nil, unusableStore(path, p12Error(err))
	}
	if len(cas) == 0 {
		return nil, unusableStore(path, errors.New("it holds no certificate to trust"))
	}
	return cas, nil
}

// decrypt opens a PEM key that has a passphrase: PKCS#8 (RFC 5958), which
// openssl writes today. The older way (DEK-Info) has no proof against change
// and is refused.
func decrypt(b *pem.Block, password []byte) (*pem.Block, error) {
	if password == nil {
		return nil, errors.New("the key has a passphrase, and none is named")
	}
	k, err := pkcs8.ParsePKCS8PrivateKey(b.Bytes, password)
	if err != nil {
		return nil, errors.New("the key can't be opened: wrong passphrase, or encrypted in a way that is not known")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}, nil
}

func unusableStore(path string, err error) error {
	e := unusable(path, err.Error(), nil).(*Error)
	e.Next, e.Err = "check it: keytool -list -keystore "+path, err
	return e
}
