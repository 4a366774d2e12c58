package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/cmd/wardfs/control"
)

// stopTime bounds the graceful end of a server.
const stopTime = 30 * time.Second

func newServe(e *env) *cobra.Command {
	var file string
	var sets []string
	c := &cobra.Command{
		Use: "serve --config FILE", Short: "run a server",
		Long: `serve runs a server until SIGINT or SIGTERM, and then ends gracefully: requests under way are
finished and everything is flushed. SIGHUP reads the certificates again, which are also read when they
change, and exports and proxy, and opens the audit log by its name again; what else has changed in FILE
waits for a restart. It prints one line, ready: HOST:PORT, when it can be used, and tells systemd so.`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, log, err := readConfig(e, file, sets)
			if err != nil {
				return err
			}
			return runServe(c.Context(), e, cfg, log, func() (*config.Config, error) {
				cfg, _, err := readConfig(e, file, sets)
				return cfg, err
			})
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration `FILE`; without one, the defaults and what is set")
	c.Flags().StringArrayVar(&sets, "set", nil, "set one key of the configuration: `KEY=VALUE`")
	return c
}

// readConfig is the configuration of a server, from all its sources, and the
// log that it names.
func readConfig(e *env, file string, sets []string) (*config.Config, *slog.Logger, error) {
	c := config.Default()
	if file != "" {
		if err := c.File(file); err != nil {
			return nil, nil, err
		}
	}
	log, err := finish(e, c, sets)
	if err != nil {
		return nil, nil, err
	}
	return c, log, c.Check()
}

// finish lays environment and flags over the configuration, and answers the
// log that it names.
func finish(e *env, c *config.Config, sets []string) (*slog.Logger, error) {
	odd := map[string]string{}
	if err := c.Env(e.environ, func(name, hint string) { odd[name] = hint }); err != nil {
		return nil, err
	}
	for _, s := range sets {
		if err := c.Set(s); err != nil {
			return nil, err
		}
	}
	log := newLogger(e.stderr, c.Log.Level, c.Log.Format)
	for name, hint := range odd {
		log.Warn("a variable in the environment is no key", "name", name, "hint", hint)
	}
	return log, nil
}

func runServe(ctx context.Context, e *env, c *config.Config, log *slog.Logger, reload func() (*config.Config, error)) error {
	harden(log)
	raiseFiles(log)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b, err := openBackend(ctx, c, log, false, func() error { return nil })
	if err != nil {
		return err
	}
	b.reload = reload
	b.serve()
	socket := b.socket(e)
	notifySystemd(e, "READY=1")
	fmt.Fprintf(e.stdout, "ready: %s\n", b.addr())
	err = b.wait(ctx)
	stop() // a second signal ends us as it would any program
	notifySystemd(e, "STOPPING=1")
	log.Info("stopping")
	end, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	socket.Close(end)
	return first(err, b.close(end))
}

// socket lets `wardfs status` see the server.
func (b *backend) socket(e *env) *control.Server {
	dir, err := realPath(b.c.Dir)
	if err != nil {
		return nil
	}
	s, err := control.Listen(controlDir(e), "server", dir, b.handler())
	if err != nil {
		b.log.Warn("`wardfs status` will not see this server", "err", err)
	}
	return s
}

// wait returns nil when ctx is done, or why the server ended by itself.
// SIGHUP reads certificates, exports and proxy again.
func (b *backend) wait(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			_ = b.certs.Reload() // logged there
			b.server.ReopenAudit()
			b.reloadRules(ctx)
		case <-ctx.Done():
			return nil
		case err := <-b.ended:
			return first(err, fail(exitFailure, "see the log", "the server ended by itself"))
		}
	}
}

// reloadRules puts the exports and proxy rules in force that the configuration
// has now. If it is wrong, those of before hold.
func (b *backend) reloadRules(ctx context.Context) {
	if b.reload == nil {
		return
	}
	c, err := b.reload()
	if err != nil {
		for _, one := range flatten(err) {
			b.log.Error("exports and proxy are not reloaded: the configuration is wrong", "err", one)
		}
		return
	}
	ended := b.server.SetRules(ctx, c.Rules(b.super))
	b.log.Info("exports and proxy reloaded", "exports", len(c.Exports), "proxy", len(c.Proxy), "sessions_ended", ended)
}

// withClosed closes what was opened before err.
func withClosed(err error, b *backend) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if e := b.close(ctx); e != nil {
		b.log.Error("closing", "err", e)
	}
	return err
}

// first is the first error that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
