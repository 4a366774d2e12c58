package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/identity/certs"
)

// authority makes one with a server's certificate and one of name.
func authority(t *testing.T, name string) (a *certs.Authority, server, client certs.Pair) {
	t.Helper()
	a, err := certs.Open(t.TempDir(), nil)
	if err == nil {
		server, err = a.Server("server", certs.Hosts())
	}
	if err == nil {
		client, err = a.Client("client", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, server, client
}

func material(t *testing.T, c certs.Config) *certs.Store {
	t.Helper()
	c.Every = -1
	s, err := certs.Load(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scrape asks the metrics of a server and answers the status and the text.
func scrape(addr string, c *http.Client) (int, string, error) {
	r, err := c.Get("https://" + addr + "/metrics")
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}

// The listener of metrics has an authority of its own: whom mounts trust may not
// read there, and who may read there may not mount.
func TestMetricsApart(t *testing.T) {
	mounts, server, mounter := authority(t, "alice")
	readers, own, reader := authority(t, "prometheus")
	trust := filepath.Join(t.TempDir(), "trust.pem")
	copyTo(t, readers.CA(), trust)
	c := config.Default()
	c.TLS.Cert, c.TLS.Key, c.TLS.CA = server.Cert, server.Key, mounts.CA()
	c.Metrics.TLS = config.Material{Cert: own.Cert, Key: own.Key, CA: trust}
	b := &backend{c: c, registry: newRegistry(), log: slog.New(slog.DiscardHandler)}
	if err := b.loadCerts(); err != nil {
		t.Fatal(err)
	}
	b.others = material(t, certs.Config{Cert: own.Cert, Key: own.Key, CA: trust})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.metricsListener = l
	m := b.serveMetrics()
	defer m.Close()
	as := func(p certs.Pair, ca string) *http.Client {
		conf := material(t, certs.Config{Cert: p.Cert, Key: p.Key, CA: ca}).Client("")
		conf.NextProtos = nil
		return &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: time.Minute}
	}
	client := as(reader, readers.CA())
	code, text, err := scrape(m.addr.String(), client)
	if err != nil || code != http.StatusOK {
		t.Fatalf("a reader: %d %v", code, err)
	}
	for _, want := range []string{`wardfs_certificate_seconds_left{for="metrics",`, `wardfs_certificate_seconds_left{for="mounts",`,
		`use="own"`, `use="trusted"`, `subject="wardfs server"`, "wardfs_certificate_not_after_seconds"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if code, _, err := scrape(m.addr.String(), as(mounter, readers.CA())); err == nil {
		t.Errorf("whom mounts trust reads metrics: %d", code)
	}
	copyTo(t, mounts.CA(), trust)
	if code, text, err := scrape(m.addr.String(), client); err == nil && code != http.StatusForbidden {
		t.Errorf("over a connection of before its authority went: %d %.40s", code, text)
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What another listener says counts instead of what tls says, and not beside it.
func TestOtherMaterial(t *testing.T) {
	base := config.TLS{Cert: "c", Key: "k", CA: "a", Pins: []string{"p"}, MinVersion: "TLSv1.3"}
	for name, c := range map[string]struct {
		base config.TLS
		say  config.Material
		want config.TLS
	}{
		"nothing":          {base, config.Material{}, base},
		"another to show":  {base, config.Material{Keystore: "s", Alias: "x"}, config.TLS{Keystore: "s", Alias: "x", CA: "a", Pins: base.Pins, MinVersion: "TLSv1.3"}},
		"others to trust":  {base, config.Material{Truststore: "t"}, config.TLS{Cert: "c", Key: "k", Truststore: "t", MinVersion: "TLSv1.3"}},
		"a directory":      {base, config.Material{Dir: "d"}, config.TLS{Dir: "d", MinVersion: "TLSv1.3"}},
		"both over a dir":  {config.TLS{Dir: "d"}, config.Material{Cert: "x", Key: "y", CA: "z"}, config.TLS{Cert: "x", Key: "y", CA: "z"}},
		"one over a dir":   {config.TLS{Dir: "d"}, config.Material{Cert: "x", Key: "y"}, config.TLS{Cert: "x", Key: "y"}},
		"a dir over a dir": {config.TLS{Dir: "d"}, config.Material{Dir: "e"}, config.TLS{Dir: "e"}},
	} {
		got := c.base.Other(c.say)
		if len(got.Pins) != len(c.want.Pins) {
			t.Errorf("%s: pins %v", name, got.Pins)
		}
		if got.Pins, c.want.Pins = nil, nil; !sameTLS(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func sameTLS(a, b config.TLS) bool {
	return a.Cert == b.Cert && a.Key == b.Key && a.CA == b.CA && a.Keystore == b.Keystore && a.Alias == b.Alias &&
		a.Dir == b.Dir && a.Truststore == b.Truststore && a.MinVersion == b.MinVersion
}

// A silent peer does not hold a listener's place for longer than it may.
func TestSilentHandshake(t *testing.T) {
	ca, server, _ := authority(t, "alice")
	c := config.Default()
	c.TLS.Cert, c.TLS.Key, c.TLS.CA, c.TLS.HandshakeTime = server.Cert, server.Key, ca.CA(), 50*time.Millisecond
	b := &backend{c: c, registry: newRegistry(), log: slog.New(slog.DiscardHandler)}
	if err := b.loadCerts(); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.metricsListener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	m := b.serveMetrics()
	defer m.Close()
	conn, err := net.Dial("tcp", m.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a server spoke to who had said nothing")
	}
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var log strings.Builder
	env := func(name string) string { return map[string]string{"PASS": "from the environment"}[name] }
	for _, c := range []struct{ ref, want, err string }{
		{file("a", "hush\n", 0o600), "hush", ""},
		{file("crlf", "hu sh\r\n", 0o600), "hu sh", ""},
		{file("open", "hush", 0o644), "hush", ""},
		{"env:PASS", "from the environment", ""},
		{"env:NONE", "", "variable NONE of the environment is empty"},
		{"vault:kv/wardfs#key", "", "vault: is no way to a secret"},
		{filepath.Join(dir, "none"), "", "no such file"},
		{file("huge", strings.Repeat("x", secretMost+1), 0o600), "", "too large"},
	} {
		got, err := secret(c.ref, env, newLogger(&log, "info", "text"))()
		if c.err == "" && (err != nil || string(got) != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %q, %v", c.ref, got, err)
		}
		if strings.Contains(log.String(), "hush") {
			t.Error("a secret is in the log")
		}
	}
	if n := strings.Count(log.String(), "may be read by others"); n != 1 || !strings.Contains(log.String(), "/open") {
		t.Errorf("the log has\n%s", log.String())
	}
	if secret("", env, nil) != nil {
		t.Error("none is one")
	}
}
