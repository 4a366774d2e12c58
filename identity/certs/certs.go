// Package certs is the TLS material of both sides: it makes a private
// authority and its certificates, reads what others made, gives out tls.Configs
// that follow the files as they change, and says in plain words why a
// connection was refused.
//
// It knows files and crypto/tls, nothing of sessions or principals. It never
// gives out a configuration that leaves a chain unchecked, and one that takes
// any name only where its own authorities or pins are named; never resumes a
// session (a resumed one would outlive its trust anchor); and never writes over
// an authority that is there.
//
//	store, err := certs.Load(certs.Config{Cert: "server.pem", Key: "server.key", CA: "ca.pem"})
//	listener = tls.NewListener(listener, store.Server())
//
// The client asks for a tls.Config at each dial, because crypto/tls has no
// hook that would let one Config follow its trust anchors:
//
//	conn := tls.Client(tcp, store.Client("files.example.com"))
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// The ALPN names: of sessions, which both sides ask for, and of the lanes for
// blocks, which a server has beside them and package lane asks for.
const (
	Proto  = "h2"
	Blocks = "wardfs-blocks/1"
)

// DefaultEvery is how long the files are trusted not to have changed.
const DefaultEvery = time.Second

// ClientAuth is what a server asks of a client's certificate.
type ClientAuth int

// The three ways to ask. One that is given must always be good.
const (
	RequireCert ClientAuth = iota // the default: none, no session
	RequestCert                   // checked when there is one
	IgnoreCert                    // not asked for
)

// Secret answers a password, read anew each time the material is.
type Secret func() ([]byte, error)

// Config says where the material lies: its own certificate in one of three
// ways or, for a client, not at all; and whom to trust.
type Config struct {
	Cert, Key        string // PEM files
	KeyPassword      Secret // of Key or of the key in Keystore; nil: none, or the keystore's
	Keystore         string // a JKS or PKCS#12 file
	KeystorePassword Secret
	Alias            string // which key of it; needed where there are several
	Dir              string // a directory of pairs NAME.key, NAME.crt: the first name is shown, all are trusted

	CA                 string // PEM file: whom the other side must be certified by; for a client "" is the host's own list
	Truststore         string // a JKS or PKCS#12 file that says it instead
	TruststorePassword Secret
	Pins               []Pin // if any: one certificate of the other side's chain must have one of these, beside all else

	ServerName string        // for a client: the name to expect instead of the host it dials
	AnyName    bool          // for a client: take whatever name the other side is certified for; needs CA, Truststore, Dir or Pins
	ClientAuth ClientAuth    // for a server
	MinVersion uint16        // default and least sensible: tls.VersionTLS13; tls.VersionTLS12 for old peers
	MaxVersion uint16        // default: the newest
	Suites     []uint16      // of TLS 1.2; default: Go's choice
	Every      time.Duration // look at the files at most this often: default [DefaultEvery], < 0 at every handshake
	Log        *slog.Logger  // nil discards
	Now        func() time.Time
}

// Store holds material and follows its files. When they change into something
// that can't be used, as while they are being written, it keeps the last good
// and logs it once. All methods are safe for concurrent use.
type Store struct {
	c Config

	mu      sync.Mutex
	now     *material // in use; never nil
	looked  time.Time // when the files were last looked at
	refused stamps    // what was found last and could not be used
	warned  time.Time // when Warnings were last logged
}

// Load reads the material. Every error names the file and what to do.
func Load(c Config) (*Store, error) {
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
	if c.MinVersion < tls.VersionTLS12 {
		return nil, fmt.Errorf("certs: TLS below 1.2 is not supported")
	}
	if c.MaxVersion != 0 && c.MaxVersion < c.MinVersion {
		return nil, fmt.Errorf("certs: the highest version of TLS is below the lowest")
	}
	if c.AnyName && c.CA == "" && c.Truststore == "" && c.Dir == "" && len(c.Pins) == 0 {
		return nil, &Error{Errno: posix.EINVAL, Text: "without a check of the name, every certificate that this host trusts would do for a server",
			Next: "name the server's authority (ca=) or its fingerprint (pin=) too"}
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m, err := read(c)
	if err != nil {
		return nil, err
	}
	if err := m.timely(c.Now()); err != nil {
		return nil, err
	}
	return &Store{c: c, now: m, looked: c.Now()}, nil
}

// Server is for a listener. It is asked afresh at each handshake.
func (s *Store) Server() *tls.Config {
	base := s.server(s.current())
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return s.server(s.current()), nil
	}
	return base
}

func (s *Store) server(m *material) *tls.Config {
	c := s.common()
	c.NextProtos = append(c.NextProtos, Blocks)
	c.ClientAuth = map[ClientAuth]tls.ClientAuthType{
		RequireCert: tls.RequireAndVerifyClientCert,
		RequestCert: tls.VerifyClientCertIfGiven,
		IgnoreCert:  tls.NoClientCert,
	}[s.c.ClientAuth]
	c.ClientCAs = m.anchors
	if c.ClientCAs == nil { // nil would mean the host's own list, which certifies no one to us
		c.ClientCAs = x509.NewCertPool()
	}
	if m.leaf != nil {
		c.Certificates = []tls.Certificate{*m.leaf}
	}
	return c
}

// Client is for one connection to host, or for several with host "" when the
// caller sets ServerName itself. Its trust anchors are those of now; its own
// certificate is read again when the server asks for it.
func (s *Store) Client(host string) *tls.Config {
	m := s.current()
	c := s.common()
	c.ServerName = host
	if s.c.ServerName != "" {
		c.ServerName = s.c.ServerName
	}
	c.RootCAs = m.anchors
	if s.c.AnyName {
		s.anyName(c, m)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if leaf := s.current().leaf; leaf != nil {
			return leaf, nil
		}
		return new(tls.Certificate), nil // none, and the server judges that
	}
	return c
}

func (s *Store) common() *tls.Config {
	c := &tls.Config{
		MinVersion:             s.c.MinVersion,
		MaxVersion:             s.c.MaxVersion,
		CipherSuites:           s.c.Suites,
		NextProtos:             []string{Proto},
		SessionTicketsDisabled: true,
		Time:                   s.c.Now,
	}
	if len(s.c.Pins) > 0 {
		c.VerifyConnection = pinned(s.c.Pins)
	}
	return c
}

// Leaf is the certificate in use, nil for a client without one.
func (s *Store) Leaf() *x509.Certificate {
	if m := s.current(); m.leaf != nil {
		return m.leaf.Leaf
	}
	return nil
}

// Principal is the common name of the certificate in use, "" without one.
func (s *Store) Principal() string {
	if l := s.Leaf(); l != nil {
		return l.Subject.CommonName
	}
	return ""
}

// NotAfter is when the first certificate of the material expires, its own or
// its authority's: what a metric should watch. Zero if there is none.
func (s *Store) NotAfter() time.Time { return s.current().notAfter() }
