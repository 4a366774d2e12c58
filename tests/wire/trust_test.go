package wire

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// trustFile makes the house trust whom a file of its own names, and answers it.
func (h *house) trustFile() string {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "trusted.pem")
	copyFile(h.t, h.ca.CA(), file)
	pair, err := h.ca.Server("server", certs.Hosts())
	must(h.t, err)
	h.certs, err = certs.Load(certs.Config{Cert: pair.Cert, Key: pair.Key, CA: file, ClientAuth: certs.RequestCert, Every: -1})
	must(h.t, err)
	h.stop()
	h.start()
	return file
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

func stranger(t testing.TB) *certs.Authority {
	t.Helper()
	a, err := certs.Open(t.TempDir(), nil)
	must(t, err)
	return a
}

// Whoever is trusted no more is out, not at the next connection but at once: with
// the cause named, and back with what was open when trust is.
func TestRevokedByRemoval(t *testing.T) {
	h := newHouse(t)
	file := h.trustFile()
	m := h.connect()
	ns := m.As(root)
	const handle = posix.Handle(1) << 40
	_, err := ns.Open(t.Context(), posix.RootIno, handle, posix.OpenDir|posix.OpenRead)
	must(t, err)

	h.srv.JudgeChannels()
	if _, err := ns.Statfs(t.Context(), posix.RootIno); err != nil || m.Status().Session.Streams != 1 {
		t.Fatalf("a session that is trusted as before: %v, %d streams", err, m.Status().Session.Streams)
	}
	copyFile(t, stranger(t).CA(), file)
	h.srv.JudgeChannels()
	_, err = ns.Statfs(t.Context(), posix.RootIno)
	for err == nil { // until the mount has heard
		must(t, t.Context().Err())
		_, err = ns.Statfs(t.Context(), posix.RootIno)
	}
	for errors.Is(err, posix.EIO) { // the one that was under way
		_, err = ns.Statfs(t.Context(), posix.RootIno)
	}
	if !errors.Is(err, posix.EACCES) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
	}
	if _, err := client.Connect(t.Context(), h.config()); !errors.Is(err, posix.EACCES) || !strings.Contains(err.Error(), "does not know its authority") {
		t.Errorf("a new mount: %v", err)
	}

	copyFile(t, h.ca.CA(), file)
	for err != nil {
		must(t, t.Context().Err())
		time.Sleep(10 * time.Millisecond)
		_, err = ns.Statfs(t.Context(), posix.RootIno)
	}
	if _, err := ns.Readdir(t.Context(), posix.RootIno, handle, 0, 10, false); err != nil {
		t.Errorf("what was open before: %v", err)
	}
}

// A channel that was good when it came up admits no session when it is not any
// more, also before anybody has looked.
func TestHandshakeOnARevokedChannel(t *testing.T) {
	h := newHouse(t)
	file := h.trustFile()
	conn := dial(h)
	first, err := conn.NewStream(t.Context(), &proto.SessionStream, proto.SessionMethod)
	must(t, err)
	copyFile(t, stranger(t).CA(), file)
	must(t, first.SendMsg(&proto.ToServer{Body: &proto.ToServer_Hello{Hello: trustedHello()}}))
	m := new(proto.ToClient)
	must(t, first.RecvMsg(m))
	if w := m.GetWelcome(); w.GetErrno() == 0 || !strings.Contains(w.GetMessage(), "good no more") {
		t.Errorf("got %d %q", w.GetErrno(), w.GetMessage())
	}
}

// A mount hangs up on a server whose authority it trusts no more.
func TestServerRevokedByRemoval(t *testing.T) {
	h := newHouse(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	copyFile(t, h.ca.CA(), file)
	mine, err := certs.Load(certs.Config{CA: file, Every: -1})
	must(t, err)
	c := h.config()
	c.TLS = func() *tls.Config {
		t := mine.Client("127.0.0.1")
		t.GetClientCertificate = h.mount.Client("").GetClientCertificate
		return t
	}
	c.Soft, c.Timeout = true, 200*time.Millisecond
	m, err := client.Connect(t.Context(), c)
	must(t, err)
	defer m.Close(t.Context())
	judge := func() { m.JudgeServers(func(st tls.ConnectionState) error { return mine.Judge(st, true) }) }
	judge()
	_, err = m.As(root).Statfs(t.Context(), posix.RootIno)
	must(t, err)
	if n := m.Status().Session.Streams; n != 1 {
		t.Errorf("%d streams to a server that is trusted", n)
	}
	copyFile(t, stranger(t).CA(), file)
	judge()
	for err == nil {
		must(t, t.Context().Err())
		_, err = m.As(root).Statfs(t.Context(), posix.RootIno)
	}
	if !errors.Is(err, posix.ETIMEDOUT) || !strings.Contains(m.Status().Session.LastError, "not issued by an authority trusted here") {
		t.Errorf("got %v; the mount says %q", err, m.Status().Session.LastError)
	}
	copyFile(t, h.ca.CA(), file)
	for err != nil {
		must(t, t.Context().Err())
		_, err = m.As(root).Statfs(t.Context(), posix.RootIno)
	}
}
