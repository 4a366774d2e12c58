package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// dial opens a connection for one question, which lasts until ctx ends, and
// logs in.
func (s *Source) dial(ctx context.Context, u *url.URL) (*ldap.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	raw.SetDeadline(deadline) // of the handshake and all answers too
	var conn net.Conn = &bounded{Conn: raw, left: maxAnswer}
	secret, err := s.tls(u)
	if err == nil && u.Scheme == "ldaps" {
		t := tls.Client(conn, secret)
		err = t.HandshakeContext(ctx)
		conn = t
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	l := ldap.NewConn(conn, u.Scheme == "ldaps")
	l.SetTimeout(s.c.Timeout)
	l.Start()
	if u.Scheme == "ldap" && s.c.StartTLS {
		if err := l.StartTLS(secret); err != nil {
			l.Close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	if err := s.bind(l); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// tls reads the authorities anew, so that they change without a restart.
func (s *Source) tls(u *url.URL) (*tls.Config, error) {
	c := &tls.Config{ServerName: s.c.ServerName, MinVersion: tls.VersionTLS12}
	if c.ServerName == "" {
		c.ServerName = u.Hostname()
	}
	if s.c.CA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(s.c.CA)
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in it", s.c.CA)
	}
	return c, nil
}

func (s *Source) bind(l *ldap.Conn) error {
	if s.c.BindDN == "" {
		return nil // a connection begins as nobody's
	}
	if s.c.Password == nil {
		return fmt.Errorf("%s has no password", s.c.BindDN)
	}
	password, err := s.c.Password()
	if err != nil {
		return fmt.Errorf("the password of %s: %w", s.c.BindDN, err)
	}
	secret := strings.TrimRight(string(password), "\r\n")
	if secret == "" { // a bind without a password succeeds, as nobody
		return fmt.Errorf("the password of %s is empty", s.c.BindDN)
	}
	if err := l.Bind(s.c.BindDN, secret); err != nil {
		return fmt.Errorf("bind as %s: %w", s.c.BindDN, err)
	}
	return nil
}

// bounded is a connection that ends when too much has come.
type bounded struct {
	net.Conn
	left int64 // bytes
}

var errTooMuch = errors.New("the answer is too large")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
