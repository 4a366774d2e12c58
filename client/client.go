// Package client is the mount's side of wardfs without the kernel: a session
// with a server, its namespace as each caller sees it, and the bytes of files.
// Package fuse shows it to the kernel.
//
//	m, err := client.Connect(ctx, client.Config{Servers: []string{"host:7470"}, TLS: t, User: "user1"})
//	attr, err := m.As(cred).Lookup(ctx, posix.RootIno, "home")
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/wardfs/wardfs/client/blocks"
	"github.com/wardfs/wardfs/client/cache"
	"github.com/wardfs/wardfs/client/callers"
	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/simple"
	"github.com/wardfs/wardfs/identity/x509"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/lane"
)

// Config is what a Mount needs.
type Config struct {
	Servers []string // "host:port", tried in turn; at least one
	// TLS is asked at each handshake, so that new anchors and certificates are
	// taken without a restart; required. No ServerName means the server's host.
	TLS func() *tls.Config
	// Mechanism is identity.Simple, the default, or identity.X509; others have
	// a Prover, and that counts if it is set.
	Mechanism string
	Prover    identity.Prover
	User      string // whom SIMPLE states
	Trusted   bool   // state the caller of each call; the server must agree
	// Impersonate is the user for whom the mount acts; the server must agree.
	Impersonate string
	// Callers, if not nil, gives each local user a session of its own; what is
	// above is then of the mount's own session, if it has one.
	Callers *Callers
	Path    string // the server's directory that is the root here; default /

	Name    string // for people: host and mount point
	Release string // for people: the version

	Memory  int64         // bytes of buffered data; default 256 MiB
	Timeout time.Duration // how long a soft mount waits for a server; default 60 s
	Soft    bool

	// Age is how old an attribute or a name may be that is answered without
	// asking the server, in spite of its recalls: default 30 s, less than 0 is
	// always to ask. So it must be where the kernel does not judge by itself.
	Age time.Duration

	Log *slog.Logger
}

// Mount is a session with what stands on it. It is safe for concurrent use.
type Mount struct {
	c       Config
	session *session.Session // the mount's own; nil if there are only its callers'
	callers *callers.Table   // nil: all callers act in the mount's own
	secret  []byte           // what its sessions have in common; nil if there is but one
	blocks  *blocks.Client
	files   *file.Files

	trust   certs.Conns  // what is up, to the servers
	cache   *cache.Cache // nil if there is none
	closing sync.Once
	closed  error

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn // of sessions, by whose it is and server
	recall func([]posix.Change, bool)
	last   *session.Session // that was opened for a caller

	opened atomic.Uint64 // tells the connections of a user's session from those of its next
}

// Connect opens a session with the first server that answers. Its error names
// the cause, and through Hint() the next step.
func Connect(ctx context.Context, c Config) (*Mount, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Servers) == 0 || c.TLS == nil {
		return nil, errors.New("client: a server and a TLS configuration are needed")
	}
	m := &Mount{c: c, conns: map[string]*grpc.ClientConn{}}
	if c.Age >= 0 {
		m.cache = cache.New(cache.Config{Age: c.Age})
	}
	if err := m.attach(ctx); err != nil {
		m.hangUp()
		return nil, err
	}
	m.blocks = blocks.New(blocks.Config{
		Dial: func(ctx context.Context) (*lane.Conn, error) {
			return lane.Dial(ctx, m.server(), c.TLS(), &m.trust)
		},
		Soft: c.Soft, Timeout: c.Timeout,
	})
	m.mu.Lock()
	m.files = file.New(file.Config{Blocks: m.blocks, Memory: c.Memory, Inline: m.inline, Log: c.Log, Moved: m.moved})
	m.mu.Unlock()
	return m, nil
}

// attach opens the mount's own session, if it has one, and the table of its
// callers'.
func (m *Mount) attach(ctx context.Context) error {
	c := &m.c
	if c.Callers != nil {
		if err := m.openTable(ctx); err != nil || !c.Callers.Own {
			return err
		}
	}
	prover, err := c.prover()
	if err != nil {
		return err
	}
	m.session, err = m.open(ctx, "session", c.Impersonate, prover, c.Log)
	return err
}

// open opens a session over connections of its own.
func (m *Mount) open(ctx context.Context, whose, impersonate string, p identity.Prover, log *slog.Logger) (*session.Session, error) {
	c := &m.c
	size := large
	if m.callers != nil {
		size = small
	}
	sc := session.Config{
		Dial: func(_ context.Context, attempt int) (*grpc.ClientConn, string, error) {
			server := c.Servers[attempt%len(c.Servers)]
			conn, err := m.conn(whose, server, size)
			return conn, server, err
		},
		Explain: m.explain, Servers: len(c.Servers), Prover: p, Trusted: c.Trusted,
		Impersonate: impersonate, Path: c.Path, Client: c.Name, Release: c.Release, Mount: m.secret,
		Soft: c.Soft, Timeout: c.Timeout, Recall: m.recalled, Down: m.down, Lost: m.lost, Log: log,
	}
	if m.callers != nil {
		// Not by Down alone: what others of this mount have learned meanwhile is
		// not told in this session, and its locks shall see it.
		sc.Up = m.down
	}
	return session.Open(ctx, sc)
}

func (c Config) prover() (identity.Prover, error) {
	if c.Prover != nil {
		return c.Prover, nil
	}
	switch c.Mechanism {
	case identity.X509:
		return x509.Prover{}, nil
	case identity.Simple, "":
		if err := identity.CheckName(c.User); err != nil {
			return nil, fmt.Errorf("client: user %q: %w", c.User, err)
		}
		return simple.Prover{Name: c.User}, nil
	}
	return nil, fmt.Errorf("client: mechanism %q is not known; there are %s and %s", c.Mechanism, identity.Simple, identity.X509)
}

// buffers are the bytes that one connection takes at most on its way in, and
// keeps at both ends.
type buffers struct{ window, each int }

var (
	large = buffers{4 << 20, 256 << 10}
	small = buffers{256 << 10, 16 << 10} // where there may be thousands
)

// conn is the connection of one session to a server; gRPC keeps it up.
func (m *Mount) conn(whose, server string, size buffers) (*grpc.ClientConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := whose + " " + server
	if c, ok := m.conns[key]; ok {
		c.ResetConnectBackoff() // whoever asks has waited
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(following{credentials.NewTLS(m.c.TLS()), m.c.TLS, &m.trust}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec()),
			grpc.MaxCallRecvMsgSize(proto.MaxMessage), grpc.MaxCallSendMsgSize(proto.MaxMessage)),
		grpc.WithInitialWindowSize(int32(size.window)), grpc.WithInitialConnWindowSize(int32(2*size.window)),
		grpc.WithWriteBufferSize(size.each), grpc.WithReadBufferSize(size.each),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 4 * time.Second,
		}),
	)
	if err != nil {
		return nil, err
	}
	m.conns[key] = c
	return c, nil
}

// following is TLS by the configuration of the moment, whose connections are kept
// in a set.
type following struct {
	credentials.TransportCredentials
	now func() *tls.Config
	set *certs.Conns
}

func (f following) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, auth, err := credentials.NewTLS(f.now()).ClientHandshake(ctx, authority, c)
	if err != nil {
		return nil, nil, err
	}
	if info, ok := auth.(credentials.TLSInfo); ok {
		conn = f.set.Add(conn, info.State)
	}
	return conn, auth, nil
}

func (f following) Clone() credentials.TransportCredentials { return f }

// JudgeServers asks judge about every connection that is up, and cuts those that
// it refuses: for when other authorities are trusted than before. The mount looks
// for a server that is good, and its operations wait for one.
func (m *Mount) JudgeServers(judge func(tls.ConnectionState) error) {
	m.trust.Judge(judge, func(c net.Conn, why error) {
		m.c.Log.Error("the server's certificate is good no more, hanging up", "server", c.RemoteAddr().String(), "err", why)
	})
}

// refused is a server's no, in its own words.
type refused struct {
	server string
	err    error
}

func (r *refused) Error() string {
	return r.server + ": " + strings.TrimPrefix(r.err.Error(), "hello: "+posix.ErrnoOf(r.err).Error()+": ")
}
func (r *refused) Unwrap() error { return r.err }

// explain says plainly why a stream could not be had: what the server
// answered, or what a fresh handshake finds out where gRPC has only text.
func (m *Mount) explain(ctx context.Context, err error, server string) error {
	if e := (*posix.Error)(nil); errors.As(err, &e) {
		return &refused{server, err}
	}
	if cause := certs.Probe(ctx, server, m.c.TLS()); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w", server, err)
}

// As is the namespace as that caller sees it; a mount that is not trusted acts
// as its principal for every caller.
func (m *Mount) As(c posix.Cred) posix.Namespace { return m.cache.Over(remote.As(m.of(c.UID), c)) }

// Table is the server's table of names.
func (m *Mount) Table() idmap.Table { return remote.Table{S: m.self()} }

// Whoami answers as whom the mount acts; false if it states each caller.
func (m *Mount) Whoami(ctx context.Context) (posix.Cred, bool, error) {
	return remote.Whoami(ctx, m.self())
}

// Quotas are the server's, for a caller who is a superuser.
func (m *Mount) Quotas(c posix.Cred) remote.Quotas { return remote.QuotasAs(m.of(c.UID), c) }

// Sessions answers all sessions of the server, and Evict ends one; both are
// EPERM for whoever is no superuser.
func (m *Mount) Sessions(ctx context.Context) ([]remote.Session, error) {
	return remote.Sessions(ctx, m.self())
}

func (m *Mount) Evict(ctx context.Context, id uint64) error { return remote.Evict(ctx, m.self(), id) }

// Session is the relation to the server, for what package remote asks about it.
func (m *Mount) Session() *session.Session { return m.session }

// Files is the bytes of the mount's files.
func (m *Mount) Files() *file.Files { return m.files }

// OnRecall says who is told what others have changed; everything means all.
func (m *Mount) OnRecall(f func(changes []posix.Change, everything bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recall = f
}

func (m *Mount) recalled(changes []posix.Change, everything bool) {
	m.mu.Lock()
	f, files := m.recall, m.files
	m.mu.Unlock()
	// From the server's side to the kernel's, so that who forgets and asks
	// again does not get the old answer.
	if m.cache != nil {
		m.cache.Forget(changes, everything)
	}
	if files != nil && everything {
		files.InvalidateAll()
	} else if files != nil {
		for _, c := range changes {
			files.Invalidate(c.Ino)
		}
	}
	if f != nil {
		f(changes, everything)
	}
}

// down is called when nobody says any more what others change.
func (m *Mount) down() { m.recalled(nil, true) }

// moved is called when what was appended here has found another place: to the
// kernel that is as if others had changed the file.
func (m *Mount) moved(ino posix.Ino) {
	m.mu.Lock()
	f := m.recall
	m.mu.Unlock()
	if f != nil {
		f([]posix.Change{{Ino: ino}}, false)
	}
}

// lost is called when every open file of a session has gone stale.
func (m *Mount) lost(life *posix.Life) {
	m.mu.Lock()
	files := m.files
	m.mu.Unlock()
	if m.callers == nil {
		life = nil // all that is open
	}
	if files != nil {
		files.Lost(life)
	}
	m.recalled(nil, true)
}

// Status is a mount for people and for --json.
type Status struct {
	Session session.State `json:"session"`
	Files   file.Stats    `json:"files"`
	Cache   cache.Stats   `json:"cache"`
	Unsaved uint64        `json:"unsaved_bytes"` // written and not committed
	Reached bool          `json:"reached"`       // some session has a server
	// Callers are the local users' sessions, where each has one.
	Callers *CallersStatus `json:"callers,omitempty"`
}

// Status answers how the mount stands.
func (m *Mount) Status() Status {
	s := Status{Files: m.files.Stats(), Reached: m.Connected()}
	if m.session != nil {
		s.Session = m.session.State()
	}
	if m.callers != nil {
		s.Callers = m.callersStatus()
	}
	if m.cache != nil {
		s.Cache = m.cache.Stats()
	}
	for _, u := range m.files.Unsaved() {
		s.Unsaved += u.Bytes
	}
	return s
}

// Close commits what is buffered, as far as ctx lets it, and ends the session.
// A second Close answers what the first did.
func (m *Mount) Close(ctx context.Context) error {
	m.closing.Do(func() {
		err := m.files.Shutdown(ctx)
		m.blocks.Close()
		if m.callers != nil {
			m.callers.Close()
		}
		if m.session != nil {
			err = errors.Join(err, m.session.Close())
		}
		m.closed = err
		m.hangUp()
	})
	return m.closed
}

func (m *Mount) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
}
