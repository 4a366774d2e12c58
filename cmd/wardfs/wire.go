package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server"
	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/disk"
	"github.com/wardfs/wardfs/server/engine"
	"github.com/wardfs/wardfs/server/engine/pebble"
)

// backend is a server with the stores under it: the one place that chooses
// their bodies.
type backend struct {
	c        *config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	certs    *certs.Store // of mounts
	others   *certs.Store // of metrics; certs where nothing else was said
	watching context.CancelFunc

	lock    *dirLock
	engine  engine.Engine
	blocks  chunk.Store
	server  *server.Server
	super   string                         // the superuser's name
	reload  func() (*config.Config, error) // reads the configuration again; nil where there is no file
	metrics *metricsServer
	ended   chan error // why serving ended by itself

	listener, metricsListener net.Listener // the latter nil if metrics are off
}

// openBackend takes the folder of a checked configuration, opens the ports and
// the stores, and makes a server over them; nobody is answered yet. Either all
// is open or nothing. locked is called once the folder is ours. With free set, a
// port that is taken is replaced by any that is not.
func openBackend(ctx context.Context, c *config.Config, log *slog.Logger, free bool, locked func() error) (b *backend, err error) {
	b = &backend{c: c, log: log, registry: newRegistry(), ended: make(chan error, 2)}
	defer func() {
		if err != nil {
			b.abandon()
			b = nil
		}
	}()
	if b.lock, err = lockDir(c.Dir); err != nil {
		return b, err
	}
	if err = locked(); err != nil {
		return b, err
	}
	if err = b.loadCerts(); err != nil {
		return b, err
	}
	for _, w := range c.Warnings() {
		log.Warn(w)
	}
	if b.listener, err = listenOr(c.Listen, free); err != nil {
		return b, err
	}
	if c.Metrics.Listen != "" {
		if b.metricsListener, err = listenOr(c.Metrics.Listen, free); err != nil {
			return b, err
		}
	}
	if err = b.openStores(); err != nil {
		return b, err
	}
	sc, err := b.serverConfig()
	if err != nil {
		return b, err
	}
	b.server, err = server.New(ctx, sc)
	return b, err
}

// abandon closes what a failed start had opened. What fails here is of no
// weight beside why the start did.
func (b *backend) abandon() {
	for _, l := range []net.Listener{b.listener, b.metricsListener} {
		if l != nil {
			l.Close()
		}
	}
	if err := b.closeStores(); err != nil {
		b.log.Error("closing after a failed start", "err", err)
	}
}

func (b *backend) openStores() error {
	engineDir := orJoin(b.c.Engine.Dir, b.c.Dir, "engine")
	db, err := pebble.Open(pebble.Config{
		Dir: engineDir, Cache: int64(b.c.Engine.Cache), Log: b.log.With("part", "engine"),
		Observe: observe(b.registry, "wardfs_engine_seconds", "Time of an engine's operation.", "op"),
		OnFail:  func(err error) { b.ended <- err },
	})
	if err != nil {
		return fmt.Errorf("engine %s: %w", engineDir, err)
	}
	b.engine = db
	chunkDir := orJoin(b.c.Chunk.Dir, b.c.Dir, "chunks")
	seen := observe(b.registry, "wardfs_chunk_seconds", "Time of a chunk store's operation.", "op")
	moved := counter(b.registry, "wardfs_chunk_bytes_total", "Bytes that a chunk store's operations moved.", "op")
	blocks, err := disk.Open(disk.Config{
		Dir: chunkDir, VolumeSize: int64(b.c.Chunk.VolumeSize), CompactRate: int64(b.c.Chunk.CompactRate), Log: b.log.With("part", "chunk"),
		Observe: func(op string, d time.Duration, n int) {
			seen(op, d)
			moved(op, n)
		},
	})
	if err != nil {
		return fmt.Errorf("chunk store %s: %w", chunkDir, err)
	}
	b.blocks = blocks
	return nil
}

func (b *backend) serverConfig() (server.Config, error) {
	c := b.c
	b.super = c.Auth.Superuser
	if b.super == "" {
		me, err := userName()
		if err != nil {
			return server.Config{}, err
		}
		b.super = me
	}
	source, err := b.groups()
	if err != nil {
		return server.Config{}, err
	}
	checks, err := verifiers(c, b.super, b.log)
	if err != nil {
		return server.Config{}, err
	}
	sc := server.Config{
		Engine: b.engine, Blocks: b.blocks, TLS: b.certs.Server(), HandshakeTime: c.TLS.HandshakeTime,
		Judge: func(st tls.ConnectionState) error { return b.certs.Judge(st, false) },
		Auth: server.Auth{Mechanisms: c.Auth.Mechanisms, Verifiers: checks, SimpleAnywhere: c.Auth.SimpleAnywhere,
			CertificateName: certificateNames[c.Auth.CertName],
			Superuser:       b.super, Supergroup: c.Auth.Supergroup,
			TokenLife: c.Auth.Token.MaxLife, TokenRenewal: c.Auth.Token.Renewal, TokenUnproven: c.Auth.Token.Unproven, Groups: source, Recheck: b.recheck()},
		Rules:          c.Rules(b.super),
		CapabilityLife: c.Capability.Lifetime, CapabilityKeyLife: c.Capability.KeyLifetime,
		KeepAlive: c.Session.KeepAlive, SessionTimeout: c.Session.Timeout, Grace: c.Session.Grace,
		SweepAge: c.Chunk.SweepAge, Release: version, Log: b.log, Registry: b.registry,
	}
	sc.Audit, sc.Limits = auditConfig(c), limits(c)
	sc.Root.UID, sc.Root.GID, sc.Root.Mode = posix.UID(c.Root.UID), posix.GID(c.Root.GID), posix.Mode(c.Root.Mode)
	sc.Root.User, sc.Root.Group = c.Root.Owner, c.Root.Group
	return sc, nil
}

// serve begins to answer.
func (b *backend) serve() {
	b.watch()
	if b.metricsListener != nil {
		b.metrics = b.serveMetrics()
		b.log.Info("metrics", "addr", b.metricsListener.Addr().String())
	}
	go func() { b.ended <- b.server.Serve(b.listener) }()
	b.log.Info("serving", "addr", b.addr(), "dir", b.c.Dir, "mechanisms", b.c.Auth.Mechanisms)
}

// addr is where the server listens.
func (b *backend) addr() string { return b.listener.Addr().String() }

// close ends the serving gracefully, as far as ctx lets it, and closes the
// stores.
func (b *backend) close(ctx context.Context) error {
	b.watching()
	err := b.server.Shutdown(ctx)
	b.metrics.Close()
	b.listener.Close()
	return errors.Join(err, b.closeStores())
}

func (b *backend) closeStores() (err error) {
	if b.blocks != nil {
		err = b.blocks.Close()
	}
	if b.engine != nil {
		err = errors.Join(err, b.engine.Close())
	}
	b.lock.Unlock()
	return err
}

// listenOr listens on addr, or if that port is taken and free is set on any of
// the same host.
func listenOr(addr string, free bool) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	if host, _, e := net.SplitHostPort(addr); e == nil && free && exitCode(err) == exitInUse {
		return net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if exitCode(err) == exitInUse {
		return nil, fail(exitInUse, "end what listens there (`ss -ltnp` shows it), or configure another port", "%s: the port is in use", addr)
	}
	return nil, fail(exitConfig, "check listen and metrics.listen", "can't listen on %s: %w", addr, cause(err))
}

// loadCerts loads the material of every listener.
func (b *backend) loadCerts() (err error) {
	if b.certs, err = loadCerts(b.c.TLS, b.log); err != nil {
		return err
	}
	all := map[string]*certs.Store{"mounts": b.certs}
	if b.others = b.certs; b.c.Metrics.Listen != "" && b.c.Metrics.TLS.Apart() {
		if b.others, err = loadCerts(b.c.TLS.Other(b.c.Metrics.TLS), b.log.With("listener", "metrics")); err != nil {
			return fmt.Errorf("metrics.tls: %w", err)
		}
		all["metrics"] = b.others
	}
	registerCerts(b.registry, all)
	return nil
}

// watch follows the material until the backend is closed, and ends what it
// trusts no more.
func (b *backend) watch() {
	ctx, stop := context.WithCancel(context.Background())
	b.watching = stop
	go b.certs.Watch(ctx, b.server.JudgeChannels)
	if b.others != b.certs {
		go b.others.Watch(ctx, func() {}) // metrics judges each request
	}
}

// loadCerts loads a listener's material; log may be nil.
func loadCerts(t config.TLS, log *slog.Logger) (*certs.Store, error) {
	cc, err := certsConfig(t, log)
	if err != nil {
		return nil, err
	}
	return certs.Load(cc)
}

// userName is the name of who runs this process.
func userName() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("this process's user %d has no name: %w", os.Getuid(), err)
	}
	return u.Username, nil
}

func orJoin(path string, elem ...string) string {
	if path != "" {
		return path
	}
	return filepath.Join(elem...)
}

// cause is the innermost error of the system, without the words around it.
func cause(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		err = e
	}
	return err
}
