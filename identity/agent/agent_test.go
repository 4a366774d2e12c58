package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
)

// held is a credential whose proof names what it is for.
type held struct{ mechanism string }

func (h held) Stamp() (string, string) { return h.mechanism, "now" }

func (h held) Prove(_ context.Context, mechanism, server string, binding []byte) (identity.Proof, error) {
	if mechanism != h.mechanism {
		return identity.Proof{}, errors.New("no credential of that kind")
	}
	return identity.Proof{Bytes: append([]byte(server+" "), binding...), Confirm: func(reply []byte) error {
		if string(reply) != "genuine" {
			return errors.New("not the server's")
		}
		return nil
	}}, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen serves connections by f, for as long as the test runs.
func listen(t *testing.T, f func(*net.UnixConn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	if f == nil {
		go Serve(t.Context(), l, Config{Source: held{identity.Kerberos}})
		return path
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
	return path
}

// channel is one end of a TLS connection that is up.
func channel(t *testing.T) identity.Channel {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"s"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	go tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}).Handshake()
	conn := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	must(t, conn.Handshake())
	return identity.Channel{TLS: conn.ConnectionState()}
}

func TestProve(t *testing.T) {
	path, uid := listen(t, nil), uint32(os.Geteuid())
	mechanism, stamp, err := Stamp(t.Context(), path, uid)
	if err != nil || mechanism != identity.Kerberos || stamp != "now" {
		t.Fatalf("%q %q %v", mechanism, stamp, err)
	}
	ch := channel(t)
	binding, err := ch.Binding()
	must(t, err)
	p := Prover{Path: path, UID: uid, Server: "wardfs/host", Kind: identity.Kerberos}
	for reply, good := range map[string]bool{"genuine": true, "forged": false} {
		proof, err := p.Prove(t.Context(), ch)
		if err != nil || string(proof.Bytes) != "wardfs/host "+string(binding) {
			t.Fatalf("%q %v", proof.Bytes, err)
		}
		if err := proof.Confirm([]byte(reply)); (err == nil) != good {
			t.Errorf("%s reply: %v", reply, err)
		}
	}
	p.Server = "nfs/host"
	if _, err := p.Prove(t.Context(), ch); !errors.Is(err, identity.ErrCredential) || !strings.Contains(err.Error(), "only to wardfs/HOST") {
		t.Errorf("for another service: %v", err)
	}
	p.Server, p.Kind = "wardfs/host", identity.OIDC
	if _, err := p.Prove(t.Context(), ch); err == nil {
		t.Error("a token is asked for, for a server that nobody has verified")
	}
}

// What answers there must be the user's, and an agent; and it must answer.
func TestHostileAgent(t *testing.T) {
	uid := uint32(os.Geteuid())
	says := func(b string) func(*net.UnixConn) {
		return func(c *net.UnixConn) { c.Write([]byte(b)); c.CloseWrite() }
	}
	for name, c := range map[string]struct {
		path string
		uid  uint32
		want string
	}{
		"another user's": {listen(t, nil), uid + 1, "and not user"},
		"noise":          {listen(t, says("GET / HTTP/1.1\r\n\r\n")), uid, "not a message"},
		"a huge length":  {listen(t, says("\xff\xff\xff\xff")), uid, "not a message"},
		"no length":      {listen(t, says("\x00\x00\x00\x00")), uid, "not a message"},
		"cut short":      {listen(t, says("\x00\x00\x00\x10{")), uid, "not a message"},
		"no JSON":        {listen(t, says("\x00\x00\x00\x02{]")), uid, "not a message"},
		"two values":     {listen(t, says("\x00\x00\x00\x0a{\"v\":1}{} ")), uid, "not a message"},
		"unknown field":  {listen(t, says("\x00\x00\x00\x07{\"x\":1}")), uid, "not a message"},
		"a newer one":    {listen(t, says("\x00\x00\x00\x07{\"v\":2}")), uid, "version 2"},
		"nothing":        {listen(t, says("")), uid, "does not answer"},
		"never":          {listen(t, func(*net.UnixConn) {}), uid, "does not answer"},
		"nobody":         {filepath.Join(t.TempDir(), "none"), uid, "no such file"},
	} {
		start := time.Now()
		_, _, err := Stamp(t.Context(), c.path, c.uid)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// Who asks must be let; and must ask what there is.
func TestHostileMount(t *testing.T) {
	path := listen(t, nil)
	for _, b := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x02{]", "GET / HTTP/1.1\r\n\r\n"} {
		c, err := net.Dial("unix", path)
		must(t, err)
		c.Write([]byte(b))
		c.SetDeadline(time.Now().Add(time.Minute))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: %d bytes, %v; want the end", b, n, err)
		}
		c.Close()
	}
	for _, q := range []question{{Op: "key"}, {Op: opConfirm, Reply: []byte("genuine")}, {Op: opProve, Mechanism: identity.Kerberos, Server: "wardfs/h"}, {Op: opProve, Mechanism: "SIMPLE"}} {
		c, err := dial(t.Context(), path, uint32(os.Geteuid()), time.Minute)
		must(t, err)
		if _, err := c.ask(q); err == nil {
			t.Errorf("%+v is answered", q)
		}
		c.conn.Close()
	}
	c := Config{Peers: []uint32{65534}}
	for uid, want := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, 65534: true, 4343: false} {
		if c.may(uid) != want {
			t.Errorf("user %d may ask: %v", uid, !want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	for _, v := range []any{question{V: 1, Op: opStamp}, question{V: 1, Op: opProve, Binding: make([]byte, 32)}, answer{V: 1, Error: "no"}} {
		var b bytes.Buffer
		must(f, send(&b, v))
		f.Add(b.Bytes())
	}
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q question
		if receive(bytes.NewReader(b), &q) != nil {
			return
		}
		var again bytes.Buffer
		must(t, send(&again, q))
		var r question
		must(t, receive(&again, &r))
		if r.Op != q.Op || r.Server != q.Server || !bytes.Equal(r.Binding, q.Binding) {
			t.Errorf("%+v became %+v", q, r)
		}
	})
}
