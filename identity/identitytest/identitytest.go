// Package identitytest is the contract of a mechanism: what the server's
// Verifier must make of the proofs of a Prover, of others', and of noise. A new
// mechanism is a row of its test.
package identitytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
)

// Mechanism is one, set up so that Prover proves to Verifier that it is Name.
type Mechanism struct {
	Name     string
	Prover   identity.Prover
	Verifier identity.Verifier

	// Foreign proves the same name to somebody else: by another authority, key
	// or secret. Nil: a name is only stated.
	Foreign identity.Prover
	// Bound says that a proof is good on the channel alone for which it was
	// made, Once that it is good once there.
	Bound, Once bool
	// Channel says that the channel is the proof, and that the bytes are not
	// looked at.
	Channel bool
}

// Pair is both ends of one TLS channel, on which the client has shown a
// certificate of alice or, if it is bare, none.
type Pair struct{ Client, Server identity.Channel }

// Channels makes pairs.
type Channels struct {
	t    testing.TB
	addr string
	came chan *tls.Conn
	with func(bare bool) *tls.Config
}

// NewChannels listens on loopback until t ends.
func NewChannels(t testing.TB) *Channels {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	a, err := certs.Open(filepath.Join(dir, "tls"), nil)
	must(err)
	server, err := a.Server("server", certs.Hosts())
	must(err)
	alice, err := a.Client("alice", "alice")
	must(err)
	srv, err := certs.Load(certs.Config{Cert: server.Cert, Key: server.Key, CA: a.CA(), ClientAuth: certs.RequestCert})
	must(err)
	own, err := certs.Load(certs.Config{Cert: alice.Cert, Key: alice.Key, CA: a.CA()})
	must(err)
	bare, err := certs.Load(certs.Config{CA: a.CA()})
	must(err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", srv.Server())
	must(err)
	t.Cleanup(func() { l.Close() })
	c := &Channels{t: t, addr: l.Addr().String(), came: make(chan *tls.Conn), with: func(none bool) *tls.Config {
		if none {
			return bare.Client("127.0.0.1")
		}
		return own.Client("127.0.0.1")
	}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.came <- conn.(*tls.Conn)
		}
	}()
	return c
}

// Open opens one.
func (c *Channels) Open(bare bool) Pair {
	c.t.Helper()
	done := make(chan error, 1)
	var mine *tls.Conn
	conf := c.with(bare)
	conf.NextProtos = nil
	go func() {
		var err error
		mine, err = tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", c.addr, conf)
		if err == nil {
			err = mine.Handshake()
		}
		done <- err
	}()
	its := <-c.came
	if err := errors.Join(its.Handshake(), <-done); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { mine.Close(); its.Close() })
	return Pair{
		identity.Channel{Remote: mine.RemoteAddr(), TLS: mine.ConnectionState()},
		identity.Channel{Remote: its.RemoteAddr(), TLS: its.ConnectionState()},
	}
}

// Run holds a mechanism to the contract.
func Run(t *testing.T, m Mechanism) {
	channels := NewChannels(t)
	if m.Prover.Mechanism() != m.Verifier.Mechanism() {
		t.Fatalf("the Prover is of %s, the Verifier of %s", m.Prover.Mechanism(), m.Verifier.Mechanism())
	}
	t.Run("right", func(t *testing.T) { m.right(t, channels) })
	t.Run("wrong", func(t *testing.T) { m.wrong(t, channels) })
	t.Run("relayed", func(t *testing.T) { m.relayed(t, channels) })
	t.Run("foreign", func(t *testing.T) { m.foreign(t, channels) })
}

func prove(t *testing.T, p identity.Prover, c identity.Channel) identity.Proof {
	t.Helper()
	proof, err := p.Prove(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func (m Mechanism) right(t *testing.T, channels *Channels) {
	c := channels.Open(false)
	proof := prove(t, m.Prover, c.Client)
	who, err := m.Verifier.Verify(t.Context(), c.Server, proof.Bytes)
	if err != nil || who.Name != m.Name || who.Mechanism != m.Prover.Mechanism() || who.Via != "" {
		t.Fatalf("%v, %v", who.Principal, err)
	}
	if !who.Expires.IsZero() && time.Until(who.Expires) <= 0 {
		t.Errorf("it has expired at %v", who.Expires)
	}
	if proof.Confirm == nil {
		return
	}
	if err := proof.Confirm(who.Reply); err != nil {
		t.Errorf("the server's own proof: %v", err)
	}
	for name, reply := range map[string][]byte{"none": nil, "changed": flipped(who.Reply, len(who.Reply)/2), "cut": who.Reply[:len(who.Reply)/2]} {
		if proof.Confirm(reply) == nil {
			t.Errorf("a server's proof that is %s is taken", name)
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x01
	return b
}

// wrong shows what is no proof. One that states a name is as good as another;
// what is no name is refused there too.
func (m Mechanism) wrong(t *testing.T, channels *Channels) {
	if m.Channel {
		c := channels.Open(true)
		m.refused(t, "a channel without a certificate", c.Server, nil)
		m.refused(t, "no TLS", identity.Channel{Remote: c.Server.Remote}, nil)
		return
	}
	c := channels.Open(false)
	proof := prove(t, m.Prover, c.Client).Bytes
	bad := map[string][]byte{
		"none": {}, "zeros": make([]byte, 64), "noise": {0xff, 0x60, 0x82, 0x01, 0x00, '\n', 0x1b, '[', 'm'}, "huge": bytes.Repeat([]byte("x"), 4<<20),
		"twice itself": append(append(bytes.Clone(proof), '\n'), proof...),
	}
	if m.Foreign != nil {
		bad["a byte short"], bad["half"] = proof[:len(proof)-1], proof[:len(proof)/2]
		for i := range 8 {
			at := i * (len(proof) - 1) / 8
			bad["changed at "+string(rune('0'+i))] = flipped(proof, at)
		}
	}
	for name, b := range bad {
		m.refused(t, name, c.Server, b)
	}
}

// relayed shows a proof on another channel than it was made for, and again.
func (m Mechanism) relayed(t *testing.T, channels *Channels) {
	if m.Channel {
		return
	}
	a, b := channels.Open(false), channels.Open(false)
	proof := prove(t, m.Prover, a.Client).Bytes
	if _, err := m.Verifier.Verify(t.Context(), b.Server, proof); (err != nil) != m.Bound {
		t.Errorf("relayed: %v; bound: %v", err, m.Bound)
	}
	if m.Bound {
		m.refused(t, "relayed", b.Server, proof)
		proof = prove(t, m.Prover, a.Client).Bytes // whoever relayed the other may have used it up
	}
	if _, err := m.Verifier.Verify(t.Context(), a.Server, proof); err != nil {
		t.Errorf("on its own channel: %v", err)
	}
	if _, err := m.Verifier.Verify(t.Context(), a.Server, proof); (err != nil) != m.Once {
		t.Errorf("replayed: %v; once: %v", err, m.Once)
	}
}

func (m Mechanism) foreign(t *testing.T, channels *Channels) {
	if m.Foreign == nil {
		return
	}
	c := channels.Open(false)
	m.refused(t, "foreign", c.Server, prove(t, m.Foreign, c.Client).Bytes)
}

// refused fails unless the proof is, with a reason in one line that has nothing
// of the proof.
func (m Mechanism) refused(t *testing.T, name string, c identity.Channel, proof []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	who, err := m.Verifier.Verify(ctx, c, proof)
	if !errors.Is(err, identity.ErrRefused) {
		t.Errorf("%s: %v, %v", name, who.Principal, err)
		return
	}
	text := err.Error()
	if len(text) > 700 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s: the reason is %.900q", name, text)
	}
	if m.Foreign != nil && len(proof) >= 40 && strings.Contains(text, string(proof[len(proof)-20:])) {
		t.Errorf("%s: the reason has some of the proof in it", name)
	}
}
