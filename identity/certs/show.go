package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// Shown is a certificate for people.
type Shown struct {
	Alias     string    `json:"alias,omitempty"` // in a keystore
	Subject   string    `json:"subject"`
	Names     []string  `json:"names,omitempty"` // whom a server may be called
	Issuer    string    `json:"issuer"`
	Authority bool      `json:"authority,omitempty"`
	For       []string  `json:"for,omitempty"` // "server", "client"
	Key       string    `json:"key"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"`
	SHA1      string    `json:"sha1"`
	// Chain says where its issuer is: "self" for who issued itself, "file" if
	// it is among those shown, else "elsewhere".
	Chain string `json:"chain"`
}

// Show reads every certificate of a PEM, JKS or PKCS#12 file; of a keystore with
// its password. Keys are not looked at.
func Show(path string, password []byte) ([]Shown, error) {
	data, err := readFile(path, "certificate")
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	var aliases []string
	switch b, _ := pem.Decode(data); {
	case b != nil:
		all, err = readCAs(path)
	case bytes.HasPrefix(data, jksMagic):
		all, aliases, err = jksCertificates(data, password)
	default:
		all, aliases, err = p12Certificates(data, password)
	}
	if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
		err = unusableStore(path, err)
	}
	if err != nil {
		return nil, err
	}
	var shown []Shown
	for i, c := range all {
		s := show(c, all)
		if aliases != nil {
			s.Alias = aliases[i]
		}
		shown = append(shown, s)
	}
	return shown, nil
}

func show(c *x509.Certificate, all []*x509.Certificate) Shown {
	sum, old := sha256.Sum256(c.Raw), sha1.Sum(c.Raw)
	s := Shown{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Authority: c.IsCA, Key: keyName(c.PublicKey), Serial: c.SerialNumber.Text(16),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SHA256: hex.EncodeToString(sum[:]), SHA1: hex.EncodeToString(old[:]),
		Names: slices.Clone(c.DNSNames), Chain: "elsewhere",
	}
	for _, ip := range c.IPAddresses {
		s.Names = append(s.Names, ip.String())
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			s.For = append(s.For, "server")
		case x509.ExtKeyUsageClientAuth:
			s.For = append(s.For, "client")
		case x509.ExtKeyUsageAny:
			s.For = append(s.For, "any")
		}
	}
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		s.Chain = "self"
	} else if slices.ContainsFunc(all, func(i *x509.Certificate) bool { return c.CheckSignatureFrom(i) == nil }) {
		s.Chain = "file"
	}
	return s
}

func keyName(key any) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

func jksCertificates(data, password []byte) (all []*x509.Certificate, aliases []string, err error) {
	ks, err := loadJKS(data, password)
	if err != nil {
		return nil, nil, err
	}
	names := ks.Aliases()
	slices.Sort(names)
	add := func(name string, der []byte) error {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("the certificate of alias %q: %w", name, err)
		}
		all, aliases = append(all, c), append(aliases, name)
		return nil
	}
	for _, name := range names {
		if ks.IsTrustedCertificateEntry(name) {
			e, err := ks.GetTrustedCertificateEntry(name)
			if err == nil {
				err = add(name, e.Certificate.Content)
			}
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		chain, err := ks.GetPrivateKeyEntryCertificateChain(name)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range chain {
			if err := add(name, c.Content); err != nil {
				return nil, nil, err
			}
		}
	}
	return all, aliases, none(all)
}

func p12Certificates(data, password []byte) (all []*x509.Certificate, aliases []string, err error) {
	//lint:ignore SA1019 the only way to all of a store with several keys
	blocks, err := pkcs12.ToPEM(data, string(password))
	if err != nil {
		var trusted []*x509.Certificate
		if trusted, err2 := pkcs12.DecodeTrustStore(data, string(password)); err2 == nil {
			return trusted, make([]string, len(trusted)), none(trusted)
		}
		return trusted, nil, p12Error(err)
	}
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			clear(b.Bytes)
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, nil, err
		}
		all, aliases = append(all, c), append(aliases, b.Headers["friendlyName"])
	}
	return all, aliases, none(all)
}

func none(all []*x509.Certificate) error {
	if len(all) == 0 {
		return errors.New("it holds no certificate")
	}
	return nil
}
