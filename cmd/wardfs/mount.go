package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
)

// mountFlags are the flags of `wardfs mount`.
type mountFlags struct {
	options    []string
	foreground bool
	statusFD   int // of the parent's pipe; the daemon alone has it
}

func newMount(e *env) *cobra.Command {
	var f mountFlags
	c := &cobra.Command{
		Use:   "mount SERVER[,SERVER...][:/PATH] MNT",
		Short: "mount a server, in the background, and return when it is usable",
		Long:  mountHelp(),
		Example: `  wardfs mount files.example.com:/ /mnt/ward -o ca=/etc/wardfs/ca.pem,cert=/etc/wardfs/host.pem,key=/etc/wardfs/host.key
  wardfs mount dev:/var/lib/wardfs/dev /mnt/second
  mount -t wardfs files.example.com:/ /mnt/ward -o ca=/etc/wardfs/ca.pem,user=alice`,
		Args: takes(2, 2, "SERVER MNT"),
		RunE: func(c *cobra.Command, args []string) error { return runMount(c.Context(), e, f, args[0], args[1]) },
	}
	c.Flags().StringArrayVarP(&f.options, "options", "o", nil, "mount options: `OPT,...`")
	c.Flags().BoolVarP(&f.foreground, "foreground", "f", false, "stay in the foreground, log to stderr, and unmount at SIGINT and SIGTERM")
	c.Flags().IntVar(&f.statusFD, "status-fd", -1, "")
	_ = c.Flags().MarkHidden("status-fd")
	return c
}

func mountHelp() string {
	var b strings.Builder
	b.WriteString(`mount connects to a server and shows its files at MNT. SERVER is HOST or HOST:PORT, or
dev:DIR for the ` + "`wardfs dev`" + ` that runs over DIR on this machine (dev:DIR:/PATH works too). PATH is the directory of the
server that is seen at MNT, / by default; the server's exports say who may mount which. It returns
when the mount can be used; what keeps it from that is told here.

Mount options (-o):

`)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, o := range mountopt.Table() {
		name := o.Name
		if o.Value != "" {
			name += "=" + o.Value
		}
		fmt.Fprintf(w, "  %s\t%s\n", name, o.Doc)
	}
	w.Flush()
	b.WriteString("\nTaken for the sake of fstab, without effect here: x-*")
	for i, n := range mountopt.Ignored() {
		b.WriteString(",")
		if i%12 == 0 {
			b.WriteString("\n ")
		}
		b.WriteString(" " + n)
	}
	return b.String() + "."
}

// runMount mounts spec on mnt, here or in a daemon.
func runMount(ctx context.Context, e *env, f mountFlags, spec, mnt string) error {
	if f.statusFD >= 0 {
		return runDaemon(ctx, e, f, spec, mnt)
	}
	log := newLogger(e.stderr, "warn", "text")
	m, err := newMounting(f.options, spec, mnt, log)
	if err != nil {
		return err
	}
	if f.foreground {
		m.log = newLogger(e.stderr, m.options.LogLevel, format(m.options.LogJSON))
		return mountHere(ctx, e, m, func() { fmt.Fprintf(e.stdout, "ready: %s\n", m.mnt) })
	}
	// What can be known without the daemon is told without it.
	if err := checkMountPoint(m.mnt, m.options, log); err != nil {
		return err
	}
	return daemonise(ctx, e, f, spec, m)
}

// newMounting understands the arguments and makes them independent of the
// folder we are in.
func newMounting(options []string, spec, mnt string, log *slog.Logger) (m mounting, err error) {
	m.log = log
	if m.options, err = mountopt.Parse(options...); err != nil {
		return m, err
	}
	if m.spec, err = mountopt.ParseSpec(spec); err != nil {
		return m, err
	}
	if m.mnt, err = realPath(mnt); err != nil {
		return m, err
	}
	if err = absolute(m.options); err != nil || m.spec.Dev == "" {
		return m, err
	}
	return m, m.useDev()
}

// mountHere mounts, calls ready, and serves until a signal or an unmount.
func mountHere(ctx context.Context, e *env, m mounting, ready func()) error {
	harden(m.log)
	raiseFiles(m.log)
	if err := checkMountPoint(m.mnt, m.options, m.log); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	up, err := openMount(ctx, e, m)
	if err != nil {
		if ctx.Err() != nil {
			return fail(exitFailure, "", "stopped by a signal before the mount was ready")
		}
		return err
	}
	notifySystemd(e, "READY=1")
	ready()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			_ = up.certs.Reload() // logged there
			continue
		case <-ctx.Done():
			stop() // a second signal ends us as it would any program
			notifySystemd(e, "STOPPING=1")
			err = up.close()
			<-up.done
			return err
		case <-up.done:
			return up.err
		}
	}
}

func format(asJSON bool) string {
	if asJSON {
		return "json"
	}
	return "text"
}

// calledByMountFuse recognises `wardfs SPEC MNT -o OPTS`: what mount.fuse3
// makes of `mount -t fuse wardfs#SPEC MNT`.
func calledByMountFuse(root *cobra.Command, args []string) bool {
	if len(args) < 3 || strings.HasPrefix(args[0], "-") || !strings.HasPrefix(args[1], "/") || args[2] != "-o" {
		return false
	}
	for _, c := range root.Commands() {
		if c.Name() == args[0] {
			return false
		}
	}
	_, err := mountopt.ParseSpec(args[0])
	return err == nil
}
