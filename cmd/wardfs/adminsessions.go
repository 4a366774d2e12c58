package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/posix"
)

func newSessions(e *env) *cobra.Command {
	var asJSON bool
	r := newReach(e, "wardfs admin")
	c := &cobra.Command{
		Use: "sessions PATH", Short: "list the sessions of a server", Args: takes(1, 1, "PATH"),
		Long: `sessions lists who has mounted a server, or speaks to it: as whom, from where, what is open. PATH is a mount on
this host, SERVER:/ or dev:DIR. Only the server's superuser may ask.`,
		RunE: func(c *cobra.Command, args []string) error {
			return r.with(c.Context(), args[0], func(m *client.Mount) error {
				all, err := m.Sessions(c.Context())
				if err != nil {
					return adminError(err)
				}
				return printSessions(e, all, asJSON)
			})
		},
	}
	r.register(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func newEvict(e *env) *cobra.Command {
	r := newReach(e, "wardfs admin")
	c := &cobra.Command{
		Use: "evict PATH SESSION", Short: "end a session of a server", Args: takes(2, 2, "PATH SESSION"),
		Long: `evict ends a session: its handles and locks are given back, and its mount is told and can't go on with it, what it
had not yet written is lost. SESSION is a number that sessions shows. Only the server's superuser may do
it. A mount that may still log in can make a new session; take its right away first.`,
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil || id == 0 {
				return usage("`wardfs admin sessions` lists them", "evict: %q is no session", args[1])
			}
			return r.with(c.Context(), args[0], func(m *client.Mount) error { return adminError(m.Evict(c.Context(), id)) })
		},
	}
	r.register(c.Flags())
	return c
}

// with reaches the server of a PATH for f.
func (r *reach) with(ctx context.Context, path string, f func(*client.Mount) error) error {
	t, _, err := r.reach(ctx, path)
	if err == nil {
		err = f(t.client)
	}
	return first(err, r.close())
}

func adminError(err error) error {
	switch posix.ErrnoOf(err) {
	case posix.EPERM:
		return fail(exitRefused, "ask with the certificate of the server's superuser: --cert and --key", "%w", err)
	case posix.ENOENT:
		return fail(exitFailure, "`wardfs admin sessions` lists them", "%w", err)
	}
	return err
}

func printSessions(e *env, all []remote.Session, asJSON bool) error {
	if asJSON {
		return printJSON(e, append([]remote.Session{}, all...))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tPRINCIPAL\tMECHANISM\tFROM\tCLIENT\tPATH\tAGE\tEPOCH\tOPEN\tLOCKED")
	for _, s := range all {
		who, from := s.Principal, s.Peer
		if s.Via != "" {
			who += " via " + s.Via
		}
		if from == "" {
			from = "away"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", s.ID, oneLine(who), oneLine(s.Mechanism), oneLine(from), oneLine(s.Client),
			oneLine(s.Path), time.Since(s.Since).Truncate(time.Second), s.Epoch, s.Handles, s.Locks)
	}
	return w.Flush()
}
