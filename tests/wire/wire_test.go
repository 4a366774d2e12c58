// Package wire tests the two sides together, in one process, over real TLS on
// loopback: what is true of a tree must be true of it through the wire, and
// what a hostile or unlucky peer does must stay that peer's trouble.
package wire

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/chunk"
	chunkmem "github.com/wardfs/wardfs/server/chunk/mem"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/mem"
	"github.com/wardfs/wardfs/server/export"
	"github.com/wardfs/wardfs/server/session"
)

// house is a server that can be restarted over the same stores.
type house struct {
	t      testing.TB
	engine engine.Engine
	blocks chunk.Store
	auth   server.Auth
	rules  export.Rules
	ca     *certs.Authority
	certs  *certs.Store // of the server
	mount  *certs.Store // of a client with a certificate
	addr   string       // through the proxy
	direct string
	now    func() time.Time // the server's clock; nil is the real one
	audit  *audit.Config
	// laneTimeout is the server's; 0 is its default.
	laneTimeout time.Duration
	limits      server.Limits

	registry *prometheus.Registry // nil: metrics are not exported
	term     time.Duration        // of promises; 0 is the server's default

	srv   *server.Server
	proxy *proxy
	done  chan error
}

var root = posix.Cred{Super: true}

func newHouse(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	ca, err := certs.Open(dir, nil)
	must(t, err)
	pair, err := ca.Server("server", certs.Hosts())
	must(t, err)
	me, err := ca.Client("client", "root")
	must(t, err)
	h := &house{t: t, ca: ca, engine: mem.New(), blocks: chunkmem.New(), auth: server.Auth{
		Mechanisms: []string{identity.X509, identity.Simple}, Superuser: "root",
	}, rules: export.Everything("root")}
	h.certs, err = certs.Load(certs.Config{Cert: pair.Cert, Key: pair.Key, CA: ca.CA(), ClientAuth: certs.RequestCert})
	must(t, err)
	h.mount, err = certs.Load(certs.Config{Cert: me.Cert, Key: me.Key, CA: ca.CA()})
	must(t, err)
	h.start()
	t.Cleanup(h.stop)
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) start() {
	h.t.Helper()
	var err error
	var registry prometheus.Registerer
	if h.registry != nil {
		h.registry = prometheus.NewRegistry()
		registry = h.registry
	}
	h.srv, err = server.New(context.Background(), server.Config{
		Engine: h.engine, Blocks: h.blocks, TLS: h.certs.Server(), Auth: h.auth,
		Judge: func(st tls.ConnectionState) error { return h.certs.Judge(st, false) },
		Rules: h.rules,
		// What lost its last name is gone at once: what lingers would hide that it is.
		SessionTimeout: 20 * time.Second, Linger: -1, LaneTimeout: h.laneTimeout, Now: h.now, Audit: h.audit, PromiseTerm: h.term, Limits: h.limits, Registry: registry, Log: slog.New(slog.DiscardHandler),
	})
	must(h.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(h.t, err)
	if h.proxy == nil {
		h.proxy = newProxy(h.t)
	}
	h.addr, h.direct = h.proxy.addr, l.Addr().String()
	h.proxy.to(h.direct)
	h.done = make(chan error, 1)
	go func(s *server.Server, done chan error) { done <- s.Serve(l) }(h.srv, h.done)
}

func (h *house) stop() {
	if h.srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		h.t.Errorf("shutdown: %v", err)
	}
	<-h.done
	h.srv = nil
}

func (h *house) config() client.Config {
	return client.Config{
		Servers: []string{h.addr}, TLS: func() *tls.Config { return h.mount.Client("127.0.0.1") }, Mechanism: identity.X509, Trusted: true,
		Name: h.t.Name(), Age: -1, // there is no kernel above that would judge
	}
}

func (h *house) connect() *client.Mount {
	h.t.Helper()
	m, err := client.Connect(h.t.Context(), h.config())
	must(h.t, err)
	h.t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// proxy passes TCP on to a server that may change, and cuts when told to.
type proxy struct {
	addr string
	mu   sync.Mutex
	dest string
	live map[net.Conn]struct{}
}

func newProxy(t testing.TB) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: l.Addr().String(), live: map[net.Conn]struct{}{}}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c)
		}
	}()
	return p
}

func (p *proxy) to(addr string) {
	p.mu.Lock()
	p.dest = addr
	p.mu.Unlock()
}

func (p *proxy) pass(c net.Conn) {
	p.mu.Lock()
	dest := p.dest
	p.mu.Unlock()
	s, err := net.Dial("tcp", dest)
	if err != nil {
		c.Close()
		return
	}
	p.mu.Lock()
	p.live[c], p.live[s] = struct{}{}, struct{}{}
	p.mu.Unlock()
	copyTo := func(dst, src net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			if n > 0 {
				if _, werr := dst.Write(buf[:n]); werr != nil {
					err = werr
				}
			}
			if err != nil {
				break
			}
		}
		dst.Close()
		src.Close()
		p.mu.Lock()
		delete(p.live, dst)
		delete(p.live, src)
		p.mu.Unlock()
	}
	go copyTo(s, c)
	copyTo(c, s)
}

// cut ends every connection at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.live {
		c.Close()
	}
}

// forgetSessions makes the next server know none, as if they had expired.
func (h *house) forgetSessions() {
	ctx := context.Background()
	r, err := session.Open(ctx, session.Config{Engine: h.engine})
	must(h.t, err)
	defer r.Close()
	for _, s := range r.List() {
		must(h.t, r.End(ctx, s.ID))
	}
}
