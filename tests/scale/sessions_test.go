package scale

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/tests/harness"
)

// Sessions that nothing is asked of cost what they cost: each a connection of
// its own, with TLS. All answer at the end.
func TestSessions(t *testing.T) {
	many := harness.Size(200, 1000)
	s := harness.StartServer(t, "--set", "limits.sessions=100000")
	dir := filepath.Join(s.Dir(), "tls")
	store, err := certs.Load(certs.Config{Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key"), CA: filepath.Join(dir, "ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	open := func() *client.Mount {
		m, err := client.Connect(t.Context(), client.Config{
			Servers: []string{s.Address()}, TLS: func() *tls.Config { return store.Client("") }, Mechanism: identity.X509, Name: t.Name(), Trusted: true,
		})
		if err != nil {
			t.Error(err)
			return nil
		}
		return m
	}
	if m := open(); m != nil { // what the first costs is not each one's
		defer m.Close(context.Background())
	}
	server, mine := status(t, s.Pid(), "VmRSS:"), heap()
	all := make([]*client.Mount, many)
	var making sync.WaitGroup
	room := make(chan struct{}, 16)
	start := time.Now()
	for i := range all {
		room <- struct{}{}
		making.Go(func() { all[i] = open(); <-room })
	}
	making.Wait()
	took := time.Since(start)
	server, mine = status(t, s.Pid(), "VmRSS:")-server, heap()-mine
	for _, m := range all {
		if m == nil {
			return // told
		}
		if _, err := m.As(posix.Cred{Super: true}).Statfs(t.Context(), posix.RootIno); err != nil {
			t.Error(err)
		}
		defer m.Close(context.Background())
	}
	t.Logf("%d sessions in %v, %.0f handshakes a second; the server grew by %d KiB, %.1f each; the mounts' side by %d KiB, %.1f each",
		many, took.Round(time.Millisecond), float64(many)/took.Seconds(), server, float64(server)/float64(many), mine>>10, float64(mine>>10)/float64(many))
	if most := 512; server/many > most {
		t.Errorf("a session costs the server %d KiB, more than %d", server/many, most)
	}
}

// heap is what lives in this process, and its stacks, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
