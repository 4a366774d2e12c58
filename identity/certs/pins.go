package certs

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Pin is the fingerprint of a certificate: SHA-256, 32 bytes, or SHA-1, 20,
// for those who have it from Flink's configuration.
type Pin []byte

// ParsePin reads hexadecimal, with or without colons, as openssl x509
// -fingerprint and keytool print it.
func ParsePin(s string) (Pin, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || len(b) != sha256.Size && len(b) != sha1.Size {
		return nil, fmt.Errorf("%q is no fingerprint: write the 64 hexadecimal digits of SHA-256, or the 40 of SHA-1", s)
	}
	return b, nil
}

func (p Pin) is(c *x509.Certificate) bool {
	if len(p) == sha1.Size {
		sum := sha1.Sum(c.Raw)
		return subtle.ConstantTimeCompare(p, sum[:]) == 1
	}
	sum := sha256.Sum256(c.Raw)
	return subtle.ConstantTimeCompare(p, sum[:]) == 1
}

// pinned refuses a peer none of whose verified certificates, leaf to authority,
// has one of the fingerprints. It comes after the chain's check, never instead.
func pinned(pins []Pin) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		for _, chain := range s.VerifiedChains {
			for _, c := range chain {
				if slices.ContainsFunc(pins, func(p Pin) bool { return p.is(c) }) {
					return nil
				}
			}
		}
		if len(s.PeerCertificates) == 0 {
			return nil // a server's client that shows none; whether it may, is said elsewhere
		}
		sum := sha256.Sum256(s.PeerCertificates[0].Raw)
		return &Error{Errno: posix.EACCES, Text: fmt.Sprintf("the certificate of %s has none of the fingerprints that are pinned", names(s.PeerCertificates[0])),
			Next: "if it is the right one, pin " + hex.EncodeToString(sum[:])}
	}
}

// ParseVersion reads TLSv1.2 or TLSv1.3.
func ParseVersion(s string) (uint16, error) {
	switch strings.TrimPrefix(strings.ToUpper(s), "TLSV") {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.0", "1.1", "1":
		return 0, fmt.Errorf("%s is not spoken: it is broken (RFC 8996); write TLSv1.2 or TLSv1.3", s)
	}
	return 0, fmt.Errorf("%q is no version of TLS: write TLSv1.2 or TLSv1.3", s)
}

// ParseSuites reads names of cipher suites as IANA has them. Those of TLS 1.3
// are all spoken, whatever is named: Go does not let them be chosen.
func ParseSuites(list []string) (ids []uint16, err error) {
	for _, name := range list {
		at := func(all []*tls.CipherSuite) int {
			return slices.IndexFunc(all, func(c *tls.CipherSuite) bool { return c.Name == name })
		}
		good, bad := at(tls.CipherSuites()), at(tls.InsecureCipherSuites())
		switch {
		case good >= 0:
			ids = append(ids, tls.CipherSuites()[good].ID)
		case bad >= 0:
			return nil, fmt.Errorf("cipher suite %s is not spoken: it is weak; choose one of ECDHE with GCM or CHACHA20", name)
		case strings.HasPrefix(name, "TLS_DHE_"):
			return nil, fmt.Errorf("cipher suite %s is not spoken: Go has no DHE; %s is what comes nearest", name, strings.Replace(name, "TLS_DHE_", "TLS_ECDHE_", 1))
		default:
			return nil, fmt.Errorf("cipher suite %q is not known: write its name as IANA has it, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", name)
		}
	}
	return ids, nil
}
