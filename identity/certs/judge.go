package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// Listed is a certificate of the material, for people and metrics.
type Listed struct {
	Use         string // "own": it is shown, or sent beside; "trusted"
	Name        string // of the subject
	Fingerprint string // SHA-256, hexadecimal
	NotAfter    time.Time
}

// Certificates lists the material in use.
func (s *Store) Certificates() []Listed { return s.current().list() }

func (m *material) list() (all []Listed) {
	add := func(use string, list []*x509.Certificate) {
		for _, c := range list {
			sum := sha256.Sum256(c.Raw)
			all = append(all, Listed{use, name(c), hex.EncodeToString(sum[:]), c.NotAfter})
		}
	}
	add("own", m.chain)
	add("trusted", m.cas)
	return all
}

// anyName makes of c one that takes a server of any name, but of a good chain.
func (s *Store) anyName(c *tls.Config, m *material) {
	c.InsecureSkipVerify = true // crypto/tls knows no chain without a name; it is checked here
	c.VerifyConnection = func(st tls.ConnectionState) error {
		return s.verify(st, m.anchors, x509.ExtKeyUsageServerAuth)
	}
}

// Judge reports what the material of now says to the other side of a connection
// that is up: nil, or why its certificate would be refused at a handshake. A
// client that showed none is none of its business.
func (s *Store) Judge(st tls.ConnectionState, server bool) error {
	m := s.current()
	if len(st.PeerCertificates) == 0 {
		return nil
	}
	usage, anchors := x509.ExtKeyUsageServerAuth, m.anchors
	if !server {
		if usage = x509.ExtKeyUsageClientAuth; anchors == nil {
			anchors = x509.NewCertPool()
		}
	}
	return s.verify(st, anchors, usage)
}

// verify checks chain, dates and pins as a handshake does, but no name.
func (s *Store) verify(st tls.ConnectionState, anchors *x509.CertPool, usage x509.ExtKeyUsage) error {
	if len(st.PeerCertificates) == 0 {
		return &Error{Errno: posix.EACCES, Text: "shows no certificate"}
	}
	opts := x509.VerifyOptions{Roots: anchors, Intermediates: x509.NewCertPool(), CurrentTime: s.c.Now(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range st.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := st.PeerCertificates[0].Verify(opts)
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: st.PeerCertificates, Err: err}
	}
	if st.VerifiedChains = chains; len(s.c.Pins) > 0 {
		return pinned(s.c.Pins)(st)
	}
	return nil
}
