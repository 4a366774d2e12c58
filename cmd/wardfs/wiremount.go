package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/cmd/wardfs/control"
	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/fuse"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
)

// mounting is what to mount where.
type mounting struct {
	spec     mountopt.Spec
	mnt      string // a real path
	options  *mountopt.Options
	log      *slog.Logger
	registry *prometheus.Registry // nil makes one
}

// mount is a mount that is up: the session, the kernel's side, the socket.
type mount struct {
	mounting
	certs  *certs.Store
	names  *idmap.Map // nil: numbers are as they are
	as     func(posix.Cred) posix.Namespace
	client *client.Mount
	fuse   *fuse.Mounted
	socket *control.Server
	since  time.Time

	cut           chan struct{} // closed when what is not flushed by then is to be given up
	cutting, once sync.Once
	closed        chan struct{} // when all is flushed and gone
	done          chan struct{} // when those who asked know it
	err           error         // what was lost at the end; read after closed
}

// openMount connects, mounts and answers once it is usable. Either all of it is
// up or nothing.
func openMount(ctx context.Context, e *env, m mounting) (*mount, error) {
	alone := m.registry == nil // in a dev the server has exported what both have
	if alone {
		m.registry = newRegistry()
	}
	up := &mount{mounting: m, since: time.Now(), cut: make(chan struct{}), closed: make(chan struct{}), done: make(chan struct{})}
	static, err := readIdmap(m.options.Idmap)
	if err != nil {
		return nil, err
	}
	cc, err := up.clientConfig(e)
	if err != nil {
		return nil, err
	}
	if alone {
		registerCerts(m.registry, map[string]*certs.Store{"mount": up.certs})
	}
	if up.client, err = client.Connect(ctx, cc); err != nil {
		return nil, err
	}
	up.translate(static)
	if up.fuse, err = fuse.Mount(m.mnt, up.fuseConfig()); err != nil {
		err = errors.Join(&failure{exitMountPoint, err.Error(), "`wardfs doctor` checks what mounting needs", err}, up.client.Close(ctx))
		return nil, err
	}
	up.client.OnRecall(up.fuse.Recall)
	up.fuse.Recall(nil, true) // what came before went nowhere
	exportClient(up.registry, up.client)
	up.socket, err = control.Listen(controlDir(e), "mount", m.mnt, up.handler())
	if err != nil {
		m.log.Warn("`wardfs status` will not see this mount", "err", err)
	}
	go func() { // unmounted from outside, or by close
		up.fuse.Wait()
		up.end()
	}()
	go up.giveUp()
	up.watch()
	return up, nil
}

func (m *mount) clientConfig(e *env) (client.Config, error) {
	o := m.options
	store, err := loadMaterial(o, m.log)
	if err != nil {
		return client.Config{}, err
	}
	m.certs = store
	c := client.Config{
		Servers: m.spec.Servers, TLS: func() *tls.Config { return store.Client("") }, Mechanism: o.Mechanism, User: o.User,
		Path: m.spec.Path, Impersonate: o.Impersonate,
		Trusted: o.Identity == "trusted", Name: clientName(m.mnt), Release: version,
		Memory: int64(o.Memory), Timeout: o.Timeout, Soft: o.Soft, Age: timeout(o.AttrTimeout), Log: m.log,
	}
	if o.ServerJudges() {
		c.Age = -1
	}
	if o.PerCaller() {
		if c.Callers, err = m.callers(e); err != nil {
			return c, err
		}
	}
	if o.Identity == "caller" {
		c.Mechanism = "" // that is the callers'
	}
	if c.Mechanism == "" {
		c.Mechanism = identity.Simple
		if o.HasCert() {
			c.Mechanism = identity.X509
		}
	}
	if o.Identity == "caller" {
		c.Prover, err = ownProver(e, o, m.spec.Servers[0])
		return c, err
	}
	if c.Prover, err = prover(e, o, m.spec.Servers[0]); err != nil {
		return c, err
	}
	if c.User == "" && c.Mechanism == identity.Simple {
		c.User, err = userName()
	}
	return c, err
}

// watch follows the material until the mount has ended, and hangs up on servers
// that are trusted no more.
func (m *mount) watch() {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		<-m.closed
		stop()
	}()
	go m.certs.Watch(ctx, func() {
		m.client.JudgeServers(func(st tls.ConnectionState) error { return m.certs.Judge(st, true) })
	})
}

// clientName is what the server shows people of this mount.
func clientName(mnt string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return host + ":" + mnt
}

func (m *mount) fuseConfig() fuse.Config {
	o := m.options
	source := o.Fsname
	if source == "" {
		source = m.spec.String()
	}
	// Where one principal acts for everyone who comes, nobody else comes
	// unless that was asked for.
	everyone := os.Geteuid() == 0 && (o.Identity == "trusted" || o.PerCaller())
	seen := observe(m.registry, "wardfs_fuse_seconds", "Time of a request of the kernel.", "op")
	failed := counter(m.registry, "wardfs_fuse_errors_total", "Requests of the kernel answered with an error.", "errno")
	return fuse.Config{
		PerCaller: o.PerCaller(), Identity: identityOf(o), As: m.as, Files: m.client.Files(), Source: source, Log: m.log,
		Options: fuse.Options{
			AllowOther: o.AllowOther.Or(everyone), ReadOnly: o.ReadOnly || m.client.Status().Session.ReadOnly, NoSuid: o.NoSuid, NoDev: o.NoDev, NoExec: o.NoExec,
			NoAtime: o.NoAtime, NonEmpty: o.NonEmpty, NoDefaultPermissions: o.ServerJudges(),
			MaxWrite: int(o.MaxWrite), ReadAhead: int(o.ReadAhead),
			AttrTimeout: timeout(o.AttrTimeout), EntryTimeout: timeout(o.EntryTimeout), NegativeTimeout: timeout(o.NegativeTimeout),
			Debug: o.Debug,
		},
		Observe: func(op string, errno posix.Errno, d time.Duration) {
			seen(op, d)
			if errno != 0 {
				failed(errno.String(), 1)
			}
		},
	}
}

// timeout turns unset (negative) and none (zero) into fuse's zero and negative.
func timeout(d time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return -1
	}
	return d
}

// controlDir is where this user's sockets lie.
func controlDir(e *env) string { return control.Dir(os.Geteuid(), e.getenv) }

// absolute makes the paths of the options independent of the folder we are in.
func absolute(o *mountopt.Options) error {
	for _, p := range []*string{&o.CA, &o.Cert, &o.Key, &o.Keystore, &o.Truststore, &o.TLSDir, &o.KeyPassword, &o.KeystorePassword, &o.TruststorePassword, &o.Keytab, &o.Token, &o.Proof, &o.DPoPKey, &o.TokenFile, &o.Log, &o.Idmap} {
		if *p == "" || p == &o.Token && *p == tokenOfLogin || p == &o.Idmap && *p == idmapOff || strings.HasPrefix(*p, "env:") {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

// exportClient exports what a mount counts.
func exportClient(r prometheus.Registerer, c *client.Mount) {
	gauge := func(name, help string, f func(client.Status) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return f(c.Status()) }))
	}
	count := func(name, help string, f func(client.Status) int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f(c.Status())) }))
	}
	gauge("wardfs_mount_connected", "1 while a session has a server.", func(client.Status) float64 {
		if c.Connected() {
			return 1
		}
		return 0
	})
	if c.Status().Callers != nil {
		gauge("wardfs_mount_sessions", "Sessions of local users.", func(s client.Status) float64 { return float64(s.Callers.Sessions) })
		count("wardfs_mount_handshakes_total", "Handshakes for local users.", func(s client.Status) int64 { return s.Callers.Handshakes })
		count("wardfs_mount_handshake_failures_total", "Those that failed.", func(s client.Status) int64 { return s.Callers.Failures })
		count("wardfs_mount_refusals_total", "Calls of local users who have no session.", func(s client.Status) int64 { return s.Callers.Refusals })
		count("wardfs_mount_evictions_total", "Sessions closed to make room for others.", func(s client.Status) int64 { return s.Callers.Evictions })
	}
	gauge("wardfs_mount_buffered_bytes", "Written data that is not committed yet.", func(s client.Status) float64 { return float64(s.Files.Buffered) })
	gauge("wardfs_mount_cached_bytes", "Data in the block cache.", func(s client.Status) float64 { return float64(s.Files.Cached) })
	gauge("wardfs_mount_calls_waiting", "Calls that have no reply yet.", func(s client.Status) float64 { return float64(s.Session.Calls) })
	gauge("wardfs_mount_open_handles", "Open files and directories.", func(s client.Status) float64 { return float64(s.Session.Handles) })
	count("wardfs_mount_cache_hits_total", "Reads of the block cache that found it.", func(s client.Status) int64 { return s.Files.CacheHits })
	count("wardfs_mount_cache_misses_total", "Reads of the block cache that did not.", func(s client.Status) int64 { return s.Files.CacheMisses })
	count("wardfs_mount_read_bytes_total", "Bytes that programs read.", func(s client.Status) int64 { return s.Files.ReadBytes })
	count("wardfs_mount_written_bytes_total", "Bytes that programs wrote.", func(s client.Status) int64 { return s.Files.WrittenBytes })
	count("wardfs_mount_fetched_bytes_total", "Bytes fetched from the chunk role.", func(s client.Status) int64 { return s.Files.FetchBytes })
	count("wardfs_mount_commits_total", "Commits of written data.", func(s client.Status) int64 { return s.Files.Commits })
	count("wardfs_mount_memory_waits_total", "Writes that waited for memory.", func(s client.Status) int64 { return s.Files.Waits })
}
