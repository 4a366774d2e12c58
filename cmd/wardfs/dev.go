package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
)

// renewEvery is how often a dev looks whether its certificates near their end.
const renewEvery = 12 * time.Hour

type devFlags struct {
	dir, mnt      string
	options, sets []string
}

func newDev(e *env) *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use: "dev", Short: "run everything on this machine: server, certificates and a mount",
		Long: `dev makes certificates under DIR, starts a server with embedded stores there, and mounts it on MNT. It
prints one line, ready: MNT, when the mount can be used; everything else goes to stderr. SIGINT and
SIGTERM flush, unmount and end it. The same DIR finds the data again.

Only this user can speak to the server: it asks for the certificate in DIR/tls. Started by root, every
local user may use the mount, each under its own name.`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return runDev(c.Context(), e, f) },
	}
	c.Flags().StringVar(&f.dir, "dir", "", "the data `DIR`; default /var/lib/wardfs/dev for root, ~/.local/share/wardfs/dev for others")
	c.Flags().StringVar(&f.mnt, "mount", "", "the mount point `MNT`, made if it is not there; default /mnt/ward for root, ~/ward for others")
	c.Flags().StringArrayVarP(&f.options, "options", "o", nil, "mount options: `OPT,...`, as for mount")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "set one key of the server's configuration: `KEY=VALUE`")
	return c
}

// dev is a server and its mount in one process.
type dev struct {
	c       *config.Config
	mount   mounting
	freely  bool // take any port when the usual one is taken
	backend *backend
	up      *mount
}

func runDev(ctx context.Context, e *env, f devFlags) error {
	d, err := newDevConfig(e, f)
	if err != nil {
		return err
	}
	log := d.mount.log
	harden(log)
	raiseFiles(log)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := d.start(ctx, e); err != nil {
		if ctx.Err() != nil {
			return nil // the signal came first
		}
		return err
	}
	socket := d.backend.socket(e)
	notifySystemd(e, "READY=1")
	fmt.Fprintf(e.stdout, "ready: %s\n", d.mount.mnt)
	err = d.wait(ctx)
	stop() // a second signal ends us as it would any program
	notifySystemd(e, "STOPPING=1")
	log.Info("stopping")
	err = first(err, d.up.close())
	<-d.up.done
	end, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	socket.Close(end)
	return first(err, d.backend.close(end))
}

// start brings up all or nothing.
func (d *dev) start(ctx context.Context, e *env) (err error) {
	if _, err := os.Lstat(d.mount.mnt); !errors.Is(err, os.ErrNotExist) { // known to be wrong before anything is begun
		if err := checkMountPoint(d.mount.mnt, d.mount.options, d.mount.log); err != nil {
			return err
		}
	}
	d.backend, err = openBackend(ctx, d.c, d.mount.log, d.freely, func() error { return makeDevCerts(d.c) })
	if err != nil {
		return err
	}
	d.backend.serve()
	d.mount.registry = d.backend.registry
	err = first(d.makeMountPoint(), writeEndpoint(d.c.Dir, d.backend.addr()), d.mount.useDev())
	if err == nil {
		d.up, err = openMount(ctx, e, d.mount)
	}
	if err != nil {
		return withClosed(err, d.backend)
	}
	return nil
}

// makeMountPoint makes it if it is not there.
func (d *dev) makeMountPoint() error {
	mnt := d.mount.mnt
	if _, err := os.Lstat(mnt); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(mnt, 0o755); err != nil {
		return fail(exitMountPoint, "choose another with --mount", "mount point %s can't be made: %w", mnt, cause(err))
	}
	d.mount.log.Info("made the mount point", "mountpoint", mnt)
	return nil
}

// wait returns when a signal came, the mount was unmounted from outside (nil
// both), or the server ended by itself. Meanwhile it renews certificates.
func (d *dev) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.up.closed:
				cancel()
			case <-tick.C:
				if err := makeDevCerts(d.c); err != nil {
					d.mount.log.Error("certificates can't be renewed", "err", err)
				}
			}
		}
	}()
	return d.backend.wait(ctx)
}

// newDevConfig puts together what the flags, the environment and this user
// make of a dev.
func newDevConfig(e *env, f devFlags) (*dev, error) {
	c := config.Default()
	log, err := finish(e, c, f.sets)
	if err != nil {
		return nil, err
	}
	if f.dir != "" {
		c.Dir = f.dir
	} else if !c.IsSet("dir") {
		if c.Dir, err = devDir(e); err != nil {
			return nil, err
		}
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	d := &dev{c: c, freely: !c.IsSet("listen")}
	if d.freely {
		c.Listen = lastEndpoint(c.Dir, c.Listen)
	}
	if err := devDefaults(c); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if f.mnt == "" {
		if f.mnt, err = devMount(e); err != nil {
			return nil, err
		}
	}
	d.mount, err = newDevMounting(f, c.Dir, log)
	return d, err
}

func newDevMounting(f devFlags, dir string, log *slog.Logger) (m mounting, err error) {
	// The spec is completed once the server listens.
	if m, err = newMounting(f.options, "localhost", f.mnt, log); err != nil {
		return m, err
	}
	m.spec.Servers, m.spec.Dev = nil, dir
	return m, nil
}
