package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/identity/delegation"
	"github.com/wardfs/wardfs/posix"
)

func newToken(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "delegation tokens: what a batch job carries instead of a ticket",
		Long: `token makes, renews, lists and cancels delegation tokens. A token lets its bearer in as its owner, for a day, which
its renewer may make another day until a week has passed (auth.token of the server). Its secret half is made here,
written to a file that nobody else may read, and never sent.`,
	}
	c.AddCommand(newTokenIssue(e), newTokenRenew(e), newTokenCancel(e), newTokenList(e))
	return c
}

func newTokenReach(e *env) *reach {
	r := newReach(e, "wardfs token")
	r.alone = true
	return r
}

func newTokenIssue(e *env) *cobra.Command {
	var renewer, out string
	var asJSON bool
	r := newTokenReach(e)
	c := &cobra.Command{
		Use: "issue PATH --out FILE", Short: "make a token of your own", Args: takes(1, 1, "PATH"),
		Long: `issue makes a delegation token of who asks, writes it to a new FILE of mode 0600, and prints its id. A job mounts with
-o mechanism=TOKEN,token_file=FILE, or with the file's text in WARDFS_DELEGATION_TOKEN. PATH is a mount on
this host, SERVER:/ or dev:DIR. Who asks must have proven a name by something else than a token.`,
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usage("give --out FILE", "token issue: where is the token to be written?")
			}
			token, err := delegation.New(rand.Reader)
			if err != nil {
				return err
			}
			return r.with(c.Context(), args[0], func(m *client.Mount) error {
				return issueToken(c.Context(), e, m, token, renewer, out, asJSON)
			})
		},
	}
	r.register(c.Flags())
	c.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not be there")
	c.Flags().StringVar(&renewer, "renewer", "", "the principal who may renew it: `NAME`; default: who asks")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// issueToken writes the file first: a token that the server knows and nobody
// has could not be found again but by list.
func issueToken(ctx context.Context, e *env, m *client.Mount, token delegation.Token, renewer, out string, asJSON bool) error {
	f, err := os.OpenFile(filepath.Clean(out), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fail(exitFailure, "name a file that is not there yet", "token issue: %w", err)
	}
	_, err = fmt.Fprintln(f, token.Text())
	if err = first(err, f.Sync(), f.Close()); err == nil {
		var issued remote.Token
		if issued, err = remote.IssueToken(ctx, m.Session(), token.ID[:], token.Public(), renewer); err == nil {
			return printDelegation(e, issued, asJSON)
		}
	}
	return first(tokenError(err), os.Remove(out))
}

func newTokenRenew(e *env) *cobra.Command {
	var asJSON bool
	r := newTokenReach(e)
	c := &cobra.Command{
		Use: "renew PATH ID", Short: "make a token good for another day", Args: takes(2, 2, "PATH ID"),
		Long: "renew makes a token good for another while, up to its end. Only its renewer may, before it expires. Who bears it goes\non with it: there is nothing to hand out.",
		RunE: func(c *cobra.Command, args []string) error {
			return r.withToken(c.Context(), args, func(m *client.Mount, id delegation.ID) error {
				token, err := remote.RenewToken(c.Context(), m.Session(), id[:])
				if err != nil {
					return tokenError(err)
				}
				return printDelegation(e, token, asJSON)
			})
		},
	}
	r.register(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func newTokenCancel(e *env) *cobra.Command {
	r := newTokenReach(e)
	c := &cobra.Command{
		Use: "cancel PATH ID", Short: "take a token back", Args: takes(2, 2, "PATH ID"),
		Long: "cancel makes a token worth nothing, and ends the sessions that came by it at once. Its owner may, its renewer, and the\nserver's superuser.",
		RunE: func(c *cobra.Command, args []string) error {
			return r.withToken(c.Context(), args, func(m *client.Mount, id delegation.ID) error {
				return tokenError(remote.CancelToken(c.Context(), m.Session(), id[:]))
			})
		},
	}
	r.register(c.Flags())
	return c
}

func newTokenList(e *env) *cobra.Command {
	var asJSON bool
	r := newTokenReach(e)
	c := &cobra.Command{
		Use: "list PATH", Short: "list your tokens", Args: takes(1, 1, "PATH"),
		Long: "list shows the tokens of who asks, and those that he may renew; to the server's superuser all.",
		RunE: func(c *cobra.Command, args []string) error {
			return r.with(c.Context(), args[0], func(m *client.Mount) error {
				all, err := remote.Tokens(c.Context(), m.Session())
				if err != nil {
					return tokenError(err)
				}
				return printDelegations(e, all, asJSON)
			})
		},
	}
	r.register(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// withToken is with, for PATH and ID.
func (r *reach) withToken(ctx context.Context, args []string, f func(*client.Mount, delegation.ID) error) error {
	id, err := delegation.ParseID(args[1])
	if err != nil {
		return usage("`wardfs token list` shows them", "%w", err)
	}
	return r.with(ctx, args[0], func(m *client.Mount) error { return f(m, id) })
}

func tokenError(err error) error {
	switch posix.ErrnoOf(err) {
	case posix.EPERM:
		return fail(exitRefused, "ask with a ticket, an OIDC token or a certificate of your own: -o mechanism=…", "%w", err)
	case posix.ENOENT:
		return fail(exitFailure, "`wardfs token list` shows yours", "%w", err)
	case posix.EKEYEXPIRED:
		return fail(exitFailure, "`wardfs token issue` makes another one", "%w", err)
	}
	return err
}

func printDelegation(e *env, t remote.Token, asJSON bool) error {
	if asJSON {
		return printJSON(e, t)
	}
	_, err := fmt.Fprintf(e.stdout, "%s  expires %s, renewed by %s until %s\n", t.ID, t.Expires.UTC().Format(time.RFC3339), oneLine(t.Renewer), t.Max.UTC().Format(time.RFC3339))
	return err
}

func printDelegations(e *env, all []remote.Token, asJSON bool) error {
	if asJSON {
		return printJSON(e, append([]remote.Token{}, all...))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tOWNER\tRENEWER\tISSUED\tEXPIRES\tUNTIL")
	for _, t := range all {
		at := func(x time.Time) string { return x.UTC().Format(time.RFC3339) }
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, oneLine(t.Owner), oneLine(t.Renewer), at(t.Issued), at(t.Expires), at(t.Max))
	}
	return w.Flush()
}
