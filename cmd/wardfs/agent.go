package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/control"
	"github.com/wardfs/wardfs/identity/agent"
	"github.com/wardfs/wardfs/identity/local"
	"github.com/wardfs/wardfs/identity/oidc"
)

type agentFlags struct {
	socket, cache, conf, token, exec, service string
	peers                                     []uint
}

func newAgent(e *env) *cobra.Command {
	var f agentFlags
	c := &cobra.Command{
		Use: "agent", Short: "prove who this user is, for the mounts of this machine with identity=caller",
		Long: `agent runs as a user, and proves who that is when a mount with identity=caller asks: by the user's ticket
cache, of whatever type (KCM and KEYRING too, which no other process can read), or by a token. It
answers the superuser and the user alone, proves nothing to other services, and hands out no key.
It runs until SIGINT or SIGTERM.`,
		Example: `  wardfs agent &
  WARDFS_TOKEN=... wardfs agent --socket /run/jobs/17/agent.sock`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return runAgent(c.Context(), e, f) },
	}
	s := c.Flags()
	s.StringVar(&f.socket, "socket", "", "where to listen: `PATH`; default agent.sock in the folder wardfs of XDG_RUNTIME_DIR, else in /tmp/wardfs-UID")
	s.StringVar(&f.cache, "ccache", "", "the ticket cache: `TYPE:NAME`; default KRB5CCNAME, else FILE:/tmp/krb5cc_UID")
	s.StringVar(&f.conf, "krb5-conf", "", "`FILE`; default KRB5_CONFIG, or /etc/krb5.conf")
	s.StringVar(&f.token, "token", "", "a `FILE` with a token of OIDC, read anew each time, instead of tickets; or set WARDFS_TOKEN")
	s.StringVar(&f.exec, "token-exec", "", "a `COMMAND` that prints one, as kubectl's plugins do")
	s.StringVar(&f.service, "service", "wardfs", "the primary of the servers to which it proves: `NAME`")
	s.UintSliceVar(&f.peers, "peer", nil, "the `UID` of a mount's owner who may ask too, as this process sees it: 65534 in most containers")
	return c
}

// source is the credential that the flags and the environment mean.
func (f agentFlags) source(e *env) (local.Own, error) {
	own := local.Own{
		Cache: cmp.Or(f.cache, e.getenv("KRB5CCNAME"), "FILE:/tmp/krb5cc_"+strconv.Itoa(os.Geteuid())),
		Conf:  cmp.Or(f.conf, e.getenv("KRB5_CONFIG")), Env: e.environ,
	}
	if f.token != "" && f.exec != "" {
		return own, usage("leave one of them out", "agent: --token and --token-exec both say where the token comes from")
	}
	switch env := e.getenv("WARDFS_TOKEN"); {
	case f.token != "":
		path, err := filepath.Abs(f.token)
		if err != nil {
			return own, err
		}
		own.Token, own.TokenFile = oidc.File(path), path
	case f.exec != "":
		own.Token = oidc.Exec(strings.Fields(f.exec), e.environ, time.Now)
	case env != "" && f.cache == "":
		own.Token = oidc.Fixed(env)
	}
	return own, nil
}

func runAgent(ctx context.Context, e *env, f agentFlags) error {
	log := newLogger(e.stderr, "info", "text")
	harden(log)
	source, err := f.source(e)
	if err != nil {
		return err
	}
	l, err := f.listen(e)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c := agent.Config{Source: source, Service: f.service, Log: log}
	for _, p := range f.peers {
		c.Peers = append(c.Peers, uint32(p))
	}
	log.Info("answering", "socket", l.Addr().String())
	notifySystemd(e, "READY=1")
	return agent.Serve(ctx, l, c) // which closes the socket, and that removes it
}

// listen makes the socket; one that a dead agent left behind is replaced.
func (f agentFlags) listen(e *env) (*net.UnixListener, error) {
	path := f.socket
	if path == "" {
		dir := control.Dir(os.Geteuid(), e.getenv)
		if err := control.MakeDir(dir); err != nil {
			return nil, fail(exitConfig, "give --socket PATH", "agent: %w", err)
		}
		path = filepath.Join(dir, "agent.sock")
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fail(exitInUse, "end it, or give --socket PATH", "agent: another one answers at %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fail(exitConfig, "give --socket PATH", "agent: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fail(exitConfig, "give --socket PATH", "agent: can't listen on %s: %w", path, cause(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
