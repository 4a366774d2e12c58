// Package server is the side that holds the data: it answers the sessions of
// mounts in the namespace role and their blocks in the chunk role, behind TLS.
// Its parts are the packages below; here they are put together.
//
// It refuses to trust: what a call may do follows from what its session has
// proven, and each block is opened by a capability alone.
//
//	s, err := server.New(ctx, server.Config{Engine: e, Blocks: b, TLS: t, Auth: a})
//	err = s.Serve(listener) // until Shutdown
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/audit"
	"github.com/wardfs/wardfs/server/capability"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/export"
	"github.com/wardfs/wardfs/server/ids"
	"github.com/wardfs/wardfs/server/namespace"
	"github.com/wardfs/wardfs/server/session"
	"github.com/wardfs/wardfs/server/tokens"
)

// Config is what a Server needs. The engine and the store stay the caller's to
// close, after Shutdown.
type Config struct {
	Engine engine.Engine
	Blocks chunk.Store
	TLS    *tls.Config // of every listener; required
	// Judge says whether a client's certificate that was taken in a handshake is
	// still good; see JudgeChannels. Nil: for as long as the connection is up.
	Judge func(tls.ConnectionState) error
	// HandshakeTime bounds the TLS handshake; default 20 s.
	HandshakeTime time.Duration
	Auth          Auth
	// Rules say who may mount what; see SetRules. Without exports there is
	// [export.Only] for the superuser.
	Rules export.Rules

	// Root is who owns a fresh namespace's root, and its mode; mode 0 is 0755.
	Root struct {
		UID  posix.UID
		GID  posix.GID
		Mode posix.Mode
		// By name, instead of UID and GID, where not empty.
		User, Group string
	}

	// KeepAlive is how long a silent connection is left alone before it is
	// asked whether it lives; default 15 s.
	KeepAlive time.Duration
	// SessionTimeout is how long a session outlives its connection; default 60 s.
	SessionTimeout time.Duration
	// Grace is how long after a start sessions may come back for files that
	// were open and have no name; default SessionTimeout.
	Grace time.Duration
	// CapabilityLife is how long a capability opens blocks; default 1 h.
	CapabilityLife time.Duration
	// CapabilityKeyLife is how long a key signs them; default 24 h, at least four
	// times CapabilityLife. It is accepted for a quarter of that more.
	CapabilityKeyLife time.Duration
	// SweepAge is how old a block must be before it is taken for one that no
	// commit will ever name; default 1 h. Clients commit within half of it.
	SweepAge time.Duration
	// LaneTimeout is how long a connection for blocks may stay that has shown no
	// good capability; default 30 s.
	LaneTimeout time.Duration
	// Linger is for how long a file that lost its last name may still be opened
	// by a mount that has just looked it up; default 5 s, below 0 not at all.
	Linger time.Duration

	Limits Limits
	// PromiseTerm is how long a mount that hears nothing holds up those who
	// change what it has open, once or twice over: see promise.go; default 3 s.
	PromiseTerm time.Duration

	// Audit says where to write what was asked and what became of it, paths and
	// names being filled in here; nil: nowhere.
	Audit *audit.Config

	Release  string // the version, for people
	Now      func() time.Time
	Rand     io.Reader
	Log      *slog.Logger
	Registry prometheus.Registerer // nil: metrics are not exported
}

func (c *Config) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.HandshakeTime, 20*time.Second)
	set(&c.KeepAlive, 15*time.Second)
	set(&c.SessionTimeout, 60*time.Second)
	set(&c.Grace, c.SessionTimeout)
	set(&c.CapabilityLife, time.Hour)
	set(&c.CapabilityKeyLife, 24*time.Hour)
	set(&c.SweepAge, time.Hour)
	set(&c.LaneTimeout, helloTimeout)
	c.Limits.defaults()
	set(&c.Linger, 5*time.Second) // a kernel looks a name up and then opens what it found
	set(&c.PromiseTerm, defaultPromiseTerm)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
}

// Server serves one namespace. Its methods are safe for concurrent use.
type Server struct {
	c        Config
	tree     *namespace.Tree
	ids      *ids.Table
	blocks   blocks     // to read; changes go to c.Blocks
	audit    *audit.Log // nil: none
	sessions *session.Registry
	tickets  capability.Ring // signs tickets
	keys     keyring         // sign capabilities
	metrics  *metrics
	grpc     *grpc.Server
	boot     uint64 // another one at each start
	since    time.Time
	started  time.Time // likewise, by the machine's own clock
	promises promises

	tokens   *tokens.Table
	makers   makers
	pending  pending
	rules    atomic.Pointer[export.Rules]
	expelled expelled
	conns    certs.Conns

	// naming is held, to read, from finding that blocks are stored to naming
	// them; removeStray holds it to write.
	naming  sync.RWMutex
	freeing sync.Mutex

	mu    sync.Mutex
	talks map[*talk]struct{} // the session streams that are up

	lanes lanes

	stopping chan struct{} // closed when a Shutdown begins
	shut     sync.Once
	stop     context.CancelFunc // ends the work in the background
	working  sync.WaitGroup
}

// New opens the namespace in c.Engine, or makes one there, and begins the work
// in the background.
func New(ctx context.Context, c Config) (*Server, error) {
	c.defaults()
	if c.TLS == nil {
		return nil, errors.New("server: no TLS configuration, and nothing listens in plain text")
	}
	s := &Server{c: c, since: c.Now(), started: time.Now(), stopping: make(chan struct{}), talks: map[*talk]struct{}{}, metrics: newMetrics(c.Registry)}
	s.useTokens()
	if err := s.c.Auth.check(); err != nil {
		return nil, err
	}
	if len(c.Rules.Exports) == 0 {
		c.Rules.Exports = export.Only(c.Auth.Superuser)
	}
	s.rules.Store(&c.Rules)
	var boot [8]byte
	if _, err := io.ReadFull(c.Rand, boot[:]); err != nil {
		return nil, err
	}
	s.boot = binary.BigEndian.Uint64(boot[:])
	var err error
	// The tree first: it will not make itself in a store that has anything in it.
	if s.tree, err = namespace.Open(ctx, s.treeConfig()); err != nil {
		return nil, err
	}
	if s.ids, err = ids.Open(ctx, ids.Config{Engine: c.Engine}); err != nil {
		return nil, err
	}
	s.blocks = blocks{c.Blocks, s.tree}
	if err = s.nameRoot(ctx); err != nil {
		return nil, err
	}
	if s.tickets, err = loadTicketKey(ctx, c.Engine, c.Rand); err != nil {
		return nil, err
	}
	s.keys = keyring{engine: c.Engine, rand: c.Rand, life: c.CapabilityKeyLife}
	if _, err = s.keys.turn(ctx, c.Now()); err != nil {
		return nil, err
	}
	s.sessions, err = session.Open(ctx, session.Config{
		Engine: c.Engine, Timeout: c.SessionTimeout, Most: max(c.Limits.Sessions, 0), Ended: s.sessionEnded, Now: c.Now, Rand: c.Rand, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	if s.audit, err = s.openAudit(); err != nil {
		s.sessions.Close()
		return nil, err
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(dispatch{watching{credentials.NewTLS(c.TLS), &s.conns}, s}),
		grpc.ConnectionTimeout(c.HandshakeTime),
		grpc.ForceServerCodecV2(proto.Codec()),
		grpc.MaxRecvMsgSize(proto.MaxMessage), grpc.MaxSendMsgSize(proto.MaxMessage),
		// Windows that keep a fast link full; fixed, so that memory is bounded.
		grpc.InitialWindowSize(4<<20), grpc.InitialConnWindowSize(8<<20),
		grpc.WriteBufferSize(256<<10), grpc.ReadBufferSize(256<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: c.KeepAlive, Timeout: c.KeepAlive}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	proto.Register(s.grpc, wire{s})
	work, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.working.Go(func() { s.collect(work) })
	s.working.Go(func() { s.rotate(work) })
	return s, nil
}

func (s *Server) treeConfig() namespace.Config {
	c := namespace.Config{
		Linger: s.c.Linger, HandlesMost: max(s.c.Limits.Handles, 0), LocksMost: s.c.Limits.Locks,
		Limited: func(limit string) { s.metrics.limited.WithLabelValues(limit).Inc() },
		Engine:  s.c.Engine, Now: s.c.Now, Rand: s.c.Rand, Log: s.c.Log, Changed: s.changed,
		Usage: func(ctx context.Context) (uint64, uint64, error) {
			u, err := s.c.Blocks.Usage(ctx)
			return u.Capacity, u.Free, err
		},
	}
	c.Root.UID, c.Root.GID, c.Root.Mode = s.c.Root.UID, s.c.Root.GID, s.c.Root.Mode
	return c
}

// nameRoot gives a fresh root to those whom the configuration names. A root is
// fresh until it has changed, so that a start cut short is made good by the next.
func (s *Server) nameRoot(ctx context.Context) error {
	ns := s.tree.As(posix.Cred{Super: true})
	a, err := ns.Getattr(ctx, posix.RootIno)
	if err != nil || a.Change != 1 {
		return err
	}
	var set posix.SetAttr
	if name := s.c.Root.User; name != "" {
		id, err := s.ids.IDs(ctx, idmap.User, []string{name}, true)
		if err != nil {
			return err
		}
		set.Set, set.UID = set.Set|posix.SetOwner, posix.UID(id[0])
	}
	if name := s.c.Root.Group; name != "" {
		id, err := s.ids.IDs(ctx, idmap.Group, []string{name}, true)
		if err != nil {
			return err
		}
		set.Set, set.GID = set.Set|posix.SetGroup, posix.GID(id[0])
	}
	if set.Set != 0 {
		_, err = ns.Setattr(ctx, posix.RootIno, set)
	}
	return err
}

// Serve answers on l until Shutdown; it may run on several listeners.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Shutdown ends every stream, waits for the calls under way until ctx is done,
// and makes all of it durable. Sessions stay: their mounts come back.
func (s *Server) Shutdown(ctx context.Context) error {
	s.shut.Do(func() { close(s.stopping) })
	s.mu.Lock()
	for t := range s.talks {
		t.end()
	}
	s.mu.Unlock()
	graceful := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(graceful) }()
	select {
	case <-graceful:
	case <-time.After(time.Second): // a mount that does not hear us
		s.grpc.Stop()
	case <-ctx.Done():
		s.grpc.Stop()
	}
	s.lanes.shut(ctx)
	s.stop()
	s.working.Wait()
	s.sessions.Close()
	s.audit.Close()
	return s.c.Blocks.Sync(context.WithoutCancel(ctx))
}

func (s *Server) sessionEnded(ctx context.Context, id session.ID) {
	s.pending.ended(uint64(id))
	if err := s.tree.EndSession(ctx, namespace.SessionID(id)); err != nil {
		s.c.Log.Warn("what a session had could not be given back", "session", uint64(id), "err", err)
	}
}

// Status is a server for people and for --json.
type Status struct {
	Release    string         `json:"release"`
	Since      time.Time      `json:"since"`
	Mechanisms []string       `json:"mechanisms"`
	Sessions   []session.Info `json:"sessions"`
	Capacity   uint64         `json:"capacity_bytes"`
	Free       uint64         `json:"free_bytes"`
}

// Status answers what the server is doing.
func (s *Server) Status(ctx context.Context) Status {
	u, _ := s.c.Blocks.Usage(ctx)
	return Status{
		Release: s.c.Release, Since: s.since, Mechanisms: s.c.Auth.Mechanisms,
		Sessions: s.sessions.List(), Capacity: u.Capacity, Free: u.Free,
	}
}
