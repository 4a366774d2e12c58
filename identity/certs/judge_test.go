package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// A name may go unchecked where the issuer is not; every other check stays.
func TestAnyName(t *testing.T) {
	m := make1(t, t.TempDir(), nil, "files.example.com")
	other := make1(t, t.TempDir(), nil)
	old := make1(t, t.TempDir(), ago(500*24*time.Hour))
	any := func(c Config) *tls.Config {
		c.AnyName = true
		return load(t, c).Client("")
	}
	if err := probe(t, hello(t, load(t, m.server).Server()), any(m.client)); err != nil {
		t.Errorf("another name: %v", err)
	}
	if err := probe(t, hello(t, load(t, other.server).Server()), any(m.client)); !errors.Is(err, posix.EACCES) || !strings.Contains(err.Error(), "not issued by an authority trusted here") {
		t.Errorf("another authority: %v", err)
	}
	if err := probe(t, hello(t, load(t, old.server).Server()), any(old.client2())); !errors.Is(err, posix.EKEYEXPIRED) {
		t.Errorf("expired: %v", err)
	}
	client := m.client2()
	client.Cert, client.Key = m.server.Cert, m.server.Key
	server := load(t, m.client).Server() // a client's certificate is none for a server
	if err := probe(t, hello(t, server), any(client)); !errors.Is(err, posix.EACCES) {
		t.Errorf("a client's certificate: %v", err)
	}
	pinnedTo := m.client
	pinnedTo.Pins = []Pin{make([]byte, 32)}
	if err := probe(t, hello(t, load(t, m.server).Server()), any(pinnedTo)); !errors.Is(err, posix.EACCES) || !strings.Contains(err.Error(), "fingerprints") {
		t.Errorf("a pin that is another's: %v", err)
	}
	if _, err := Load(Config{AnyName: true}); !errors.Is(err, posix.EINVAL) {
		t.Errorf("with no authority of one's own: %v", err)
	}
	if w := load(t, Config{CA: m.client.CA, AnyName: true}).Warnings(); len(w) != 1 || !strings.Contains(w[0], "is not checked") {
		t.Errorf("warnings: %q", w)
	}
}

// state is what the other side knows of a connection of client to server.
func state(t *testing.T, server, client Config) tls.ConnectionState {
	t.Helper()
	states := make(chan tls.ConnectionState, 1)
	addr := listen(t, func(raw net.Conn) {
		conn := tls.Server(raw, load(t, server).Server())
		if conn.Handshake() == nil {
			states <- conn.ConnectionState()
			_, _ = conn.Write([]byte("!"))
		}
	})
	if err := probe(t, addr, load(t, client).Client("")); err != nil {
		t.Fatal(err)
	}
	return <-states
}

func TestJudge(t *testing.T) {
	m, other := make1(t, t.TempDir(), nil), make1(t, t.TempDir(), nil)
	st := state(t, m.server, m.client)
	late := m.server
	late.Now = ago(-500 * 24 * time.Hour)
	pins := m.server
	pins.Pins = []Pin{make([]byte, 20)}
	mute := m.server
	mute.ClientAuth = RequestCert
	none := state(t, mute, m.client2())
	lateStore, err := Load(Config{CA: m.server.CA, Now: late.Now})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		store *Store
		st    tls.ConnectionState
		want  string
	}{
		"as it was":           {load(t, m.server), st, ""},
		"none was shown":      {load(t, other.server), none, ""},
		"authority gone":      {load(t, other.server), st, "unknown authority"},
		"no authority at all": {load(t, Config{Cert: m.server.Cert, Key: m.server.Key}), st, "unknown authority"},
		"expired":             {lateStore, st, "expired"},
		"not pinned":          {load(t, pins), st, "fingerprints"},
	} {
		if err := c.store.Judge(c.st, false); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConnsCutThoseThatAreRefused(t *testing.T) {
	var set Conns
	good, far := net.Pipe()
	defer far.Close()
	bad, end := net.Pipe()
	a := set.Add(good, tls.ConnectionState{ServerName: "good"})
	set.Add(bad, tls.ConnectionState{ServerName: "bad"})
	judge := func(st tls.ConnectionState) error {
		if st.ServerName == "bad" {
			return errors.New("no")
		}
		return nil
	}
	cuts := 0
	for range 2 {
		set.Judge(judge, func(net.Conn, error) { cuts++ })
	}
	if _, err := end.Read(make([]byte, 1)); err == nil || cuts != 1 {
		t.Errorf("the other end reads %v, %d cuts", err, cuts)
	}
	if a.Close(); len(set.all) != 0 {
		t.Errorf("%d left", len(set.all))
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// Watch needs no handshake to see what has changed, and warns each day.
func TestWatch(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	var mu sync.Mutex
	now := time.Now().Add(380 * 24 * time.Hour)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	seen := &lines{}
	m.server.Now, m.server.Log = clock, slog.New(slog.NewTextHandler(seen, nil))
	s := load(t, m.server)
	ctx, stop := context.WithCancel(t.Context())
	changed, done := make(chan struct{}, 10), make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func() { changed <- struct{}{} })
	}()
	eventually(t, "a warning at the start", func() bool { return seen.count("expires at") == 1 })
	mu.Lock()
	now = now.Add(25 * time.Hour)
	mu.Unlock()
	eventually(t, "a warning the day after", func() bool { return seen.count("expires at") == 2 })
	if err := os.Chtimes(m.server.Cert, now, now); err != nil {
		t.Fatal(err)
	}
	<-changed
	stop()
	<-done
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// Who signs his own certificate is nobody, on either side; and neither side is
// talked down to a version below its least.
func TestSelfSignedAndDowngraded(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	dir := t.TempDir()
	cert, key := selfSigned(t, "alice")
	put(t, dir+"/own.pem", cert)
	put(t, dir+"/own.key", key)
	own := Config{Cert: dir + "/own.pem", Key: dir + "/own.key", CA: m.a.CA(), Every: -1}
	server := hello(t, load(t, m.server).Server())
	for name, c := range map[string]struct {
		server string
		client *tls.Config
		errno  posix.Errno
		want   string
	}{
		"a client of its own":      {server, load(t, own).Client(""), posix.EACCES, "does not know its authority"},
		"a server of its own":      {hello(t, load(t, own).Server()), load(t, m.client).Client(""), posix.EACCES, ""},
		"a client of TLS 1.2":      {server, limited(load(t, m.client).Client(""), tls.VersionTLS12, tls.VersionTLS12), posix.EPROTO, "no version of TLS that is accepted"},
		"a server of TLS 1.2":      {hello(t, limited(bare(load(t, m.server)), tls.VersionTLS12, tls.VersionTLS12)), load(t, m.client).Client(""), posix.EPROTO, "TLS"},
		"a server of a weak suite": {hello(t, weak(bare(load(t, m.server)))), limited(load(t, m.client).Client(""), tls.VersionTLS12, tls.VersionTLS12), posix.EPROTO, ""},
	} {
		if err := probe(t, c.server, c.client); !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bare is a server's configuration that does not ask the store again.
func bare(s *Store) *tls.Config {
	c := s.Server()
	c.GetConfigForClient = nil
	return c
}

func limited(c *tls.Config, least, most uint16) *tls.Config {
	c.MinVersion, c.MaxVersion = least, most
	return c
}

// weak is a server that has one suite alone, and that one broken.
func weak(c *tls.Config) *tls.Config {
	c = limited(c, tls.VersionTLS12, tls.VersionTLS12)
	c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
	return c
}
