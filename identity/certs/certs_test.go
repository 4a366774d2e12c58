package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// material of one authority, with a server and a client certificate.
type made struct {
	a              *Authority
	server, client Config
}

func ago(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(-d) } }

func make1(t *testing.T, dir string, now func() time.Time, hosts ...string) made {
	t.Helper()
	if len(hosts) == 0 {
		hosts = Hosts()
	}
	a, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Server("server", hosts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Client("client", "alice")
	if err != nil {
		t.Fatal(err)
	}
	return made{a, Config{Cert: s.Cert, Key: s.Key, CA: a.CA(), Every: -1, Now: now},
		Config{Cert: c.Cert, Key: c.Key, CA: a.CA(), Every: -1}}
}

func load(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listen serves each connection with f until the test ends.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}

// hello is a TLS server that shakes hands and says one byte.
func hello(t *testing.T, c *tls.Config) string {
	return listen(t, func(raw net.Conn) {
		conn := tls.Server(raw, c)
		if conn.Handshake() == nil {
			_, _ = conn.Write([]byte("!"))
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

func probe(t *testing.T, server string, c *tls.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return Probe(ctx, server, c)
}

func TestBothSidesTrustEachOther(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	server := hello(t, load(t, m.server).Server())
	_, port, _ := net.SplitHostPort(server)
	client := load(t, m.client)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if err := probe(t, net.JoinHostPort(host, port), client.Client(host)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if got := client.Principal(); got != "alice" {
		t.Errorf("principal %q", got)
	}
	if left := time.Until(client.NotAfter()); left < 390*24*time.Hour || left > leafLife {
		t.Errorf("expires in %v", left)
	}
}

// TestRefusals is about what users meet: each must say the cause, name the
// server, and tell what to do.
func TestRefusals(t *testing.T) {
	good := make1(t, t.TempDir(), nil)
	other := make1(t, t.TempDir(), nil)
	named := make1(t, t.TempDir(), nil, "files.example.com", "files")
	old := make1(t, t.TempDir(), ago(500*24*time.Hour))
	early := make1(t, t.TempDir(), ago(-48*time.Hour))
	noCert := good.client
	noCert.Cert, noCert.Key = "", ""
	swapped := good.server // a server's certificate is none for a client

	server := func(m made) string { return hello(t, load(t, m.server).Server()) }
	client := func(c Config) *tls.Config { return load(t, c).Client("") }
	old.client.Now = old.server.Now // so that it loads; it shakes hands now
	oldClient := client(old.client)
	oldClient.Time, oldClient.RootCAs = nil, client(good.client).RootCAs

	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()

	for name, tc := range map[string]struct {
		server string
		client *tls.Config
		errno  posix.Errno
		want   string
	}{
		"wrong CA":           {server(good), with(client(other.client), client(good.client)), posix.EACCES, "not issued by an authority trusted here"},
		"wrong name":         {server(named), client(named.client), posix.EACCES, `not for "127.0.0.1" but for files.example.com, files`},
		"expired":            {server(old), client(old.client2()), posix.EKEYEXPIRED, "expired at"},
		"not yet valid":      {server(early), client(early.client2()), posix.EKEYEXPIRED, "not valid before"},
		"no certificate":     {server(good), client(noCert), posix.EACCES, "wants a client certificate"},
		"stranger":           {server(good), with(client(good.client), client(other.client)), posix.EACCES, "does not know its authority"},
		"client expired":     {server(good), oldClient, posix.EKEYEXPIRED, "refused our certificate as expired"},
		"not for clients":    {server(good), client(swapped), posix.EACCES, "refused our certificate"},
		"plain HTTP":         {listen(t, say("HTTP/1.1 400 Bad Request\r\n\r\n")), client(good.client), posix.EPROTO, "plain HTTP server"},
		"SSH":                {listen(t, say("SSH-2.0-OpenSSH_9.2\r\n")), client(good.client), posix.EPROTO, "SSH server"},
		"hangs up":           {listen(t, func(net.Conn) {}), client(good.client), posix.EPROTO, "closed the connection"},
		"nobody":             {refused.Addr().String(), client(good.client), posix.EHOSTDOWN, "connection refused"},
		"no port":            {"127.0.0.1", client(good.client), posix.EINVAL, "is no address"},
		"TLS 1.2 only":       {hello(t, &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: load(t, good.server).Server().Certificates}), client(good.client), posix.EPROTO, "TLS"},
		"other TLS protocol": {hello(t, &tls.Config{NextProtos: []string{"acme-tls/1"}, Certificates: load(t, good.server).Server().Certificates}), client(good.client), posix.EPROTO, "speaks TLS but not wardfs"},
	} {
		t.Run(name, func(t *testing.T) {
			err := probe(t, tc.server, tc.client)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %#v (%v)", err, err)
			}
			if !errors.Is(err, tc.errno) || !strings.Contains(e.Text, tc.want) || !strings.HasPrefix(e.Text, tc.server) || strings.Contains(e.Text, "\n") {
				t.Errorf("got %v %q", e.Errno, e.Text)
			}
			if e.Next == "" {
				t.Error("no next step")
			}
		})
	}
}

// with is c that shows another's certificate.
func with(c, other *tls.Config) *tls.Config {
	c = c.Clone()
	c.GetClientCertificate = other.GetClientCertificate
	return c
}

// client2 is the client's material without its certificate, so that it loads
// at any time: what is tested is the server's.
func (m made) client2() Config { return Config{CA: m.client.CA, Every: -1} }

func say(s string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, s)
		_, _ = io.Copy(io.Discard, c)
	}
}

func TestExplainKeepsWhatItDoesNotKnow(t *testing.T) {
	odd := errors.New("odd")
	if got := Explain(odd, "h:1"); got != odd {
		t.Errorf("got %v", got)
	}
	if Explain(nil, "h:1") != nil {
		t.Error("nil became an error")
	}
}

func TestLoadNamesTheCause(t *testing.T) {
	dir := t.TempDir()
	m := make1(t, dir, nil)
	other := make1(t, t.TempDir(), nil)
	junk, empty := filepath.Join(dir, "junk.pem"), filepath.Join(dir, "empty.pem")
	put(t, junk, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	put(t, empty, nil)
	locked := filepath.Join(dir, "locked.key")
	put(t, locked, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	old := make1(t, t.TempDir(), ago(500*24*time.Hour))
	old.server.Now = nil

	for name, tc := range map[string]struct {
		c    Config
		want string
	}{
		"missing":        {Config{Cert: dir + "/no.pem", Key: m.server.Key, CA: m.server.CA}, "no.pem is not there"},
		"missing key":    {Config{Cert: m.server.Cert, Key: dir + "/no.key", CA: m.server.CA}, "no.key is not there"},
		"missing ca":     {Config{CA: dir + "/ca2.pem"}, "ca2.pem is not there"},
		"half":           {Config{Cert: m.server.Cert, CA: m.server.CA}, "needs its key"},
		"not a pair":     {Config{Cert: m.server.Cert, Key: other.server.Key}, "don't make a pair"},
		"damaged ca":     {Config{CA: junk}, "certificate 1 is damaged"},
		"empty ca":       {Config{CA: empty}, "holds no certificate"},
		"empty cert":     {Config{Cert: empty, Key: m.server.Key}, "holds no certificate"},
		"empty key":      {Config{Cert: m.server.Cert, Key: empty}, "holds no key"},
		"passphrase":     {Config{Cert: m.server.Cert, Key: locked}, "passphrase"},
		"expired":        {old.server, "expired at"},
		"folder as file": {Config{CA: dir}, "can't be read"},
		"too old TLS":    {Config{CA: m.server.CA, MinVersion: tls.VersionTLS11}, "below 1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(tc.c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestServerWithoutAnchorsTrustsNobody(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	m.server.CA = ""
	err := probe(t, hello(t, load(t, m.server).Server()), load(t, m.client).Client(""))
	if !errors.Is(err, posix.EACCES) {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	if w := load(t, m.server).Warnings(); len(w) != 0 {
		t.Errorf("fresh: %v", w)
	}
	if err := os.Chmod(m.server.Key, 0o640); err != nil {
		t.Fatal(err)
	}
	m.server.Now = ago(-380 * 24 * time.Hour)
	w := strings.Join(load(t, m.server).Warnings(), "; ")
	if !strings.Contains(w, "chmod 600") || !strings.Contains(w, "expires at") {
		t.Errorf("got %q", w)
	}
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
