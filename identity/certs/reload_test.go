package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// serial is which certificate the server shows.
func serial(t *testing.T, server string, c *tls.Config) string {
	t.Helper()
	c = c.Clone()
	var got string
	c.VerifyConnection = func(s tls.ConnectionState) error {
		got = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}
	if err := probe(t, server, c); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRotationUnderOneListener(t *testing.T) {
	dir := t.TempDir()
	m := make1(t, dir, nil)
	var log bytes.Buffer
	m.server.Log = logTo(&log)
	store, client := load(t, m.server), load(t, m.client)
	server := hello(t, store.Server())
	first := serial(t, server, client.Client(""))

	// The certificate arrives half, then whole but its key late, then both.
	next := make1(t, t.TempDir(), nil) // of another authority
	cert, key := get(t, next.server.Cert), get(t, next.server.Key)
	for i, step := range []func(){
		func() { put(t, m.server.Cert, cert[:len(cert)/2]) },
		func() { put(t, m.server.Cert, cert) },
		func() { put(t, m.server.Key, key[:10]) },
	} {
		step()
		if got := serial(t, server, client.Client("")); got != first {
			t.Fatalf("step %d: certificate %s, want the last good one", i, got)
		}
		if n := strings.Count(log.String(), "can't be used"); n != i+1 {
			t.Errorf("step %d: %d log lines:\n%s", i, n, log.String())
		}
	}
	if err := store.Reload(); err == nil {
		t.Error("Reload found nothing wrong with half a pair")
	}
	put(t, m.server.Key, key)
	if err := probe(t, server, client.Client("")); !errors.Is(err, posix.EACCES) {
		t.Fatalf("the new server certificate is of another authority, got %v", err)
	}

	// Now the anchors follow, on both sides, and then our own certificate.
	put(t, m.client.CA, get(t, next.client.CA)) // the server's file too
	if err := probe(t, server, client.Client("")); !errors.Is(err, posix.EACCES) {
		t.Fatalf("the client's certificate is of the old authority, got %v", err)
	}
	put(t, m.client.Cert, get(t, next.client.Cert))
	put(t, m.client.Key, get(t, next.client.Key))
	if got := serial(t, server, client.Client("")); got == first {
		t.Error("still the old certificate")
	}
}

func TestAnExpiredPairDoesNotReplaceAGoodOne(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	store := load(t, m.server)
	was := store.Leaf().SerialNumber
	old := make1(t, t.TempDir(), ago(500*24*time.Hour))
	put(t, m.server.Cert, get(t, old.server.Cert))
	put(t, m.server.Key, get(t, old.server.Key))
	if err := store.Reload(); !errors.Is(err, posix.EKEYEXPIRED) {
		t.Errorf("got %v", err)
	}
	if store.Leaf().SerialNumber.Cmp(was) != 0 {
		t.Error("it was taken")
	}
}

func TestFilesAreNotAskedAtEachHandshake(t *testing.T) {
	m := make1(t, t.TempDir(), nil)
	now := time.Now()
	m.server.Every, m.server.Now = time.Minute, func() time.Time { return now }
	store := load(t, m.server)
	was := store.Leaf()
	again := make1(t, t.TempDir(), nil)
	put(t, m.server.Cert, get(t, again.server.Cert))
	put(t, m.server.Key, get(t, again.server.Key))
	if !store.Leaf().Equal(was) {
		t.Error("asked at once")
	}
	now = now.Add(time.Minute)
	if store.Leaf().Equal(was) {
		t.Error("never asked")
	}
}
