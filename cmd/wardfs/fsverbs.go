package main

import (
	"context"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/fs"
)

const aboutFS = `fs does to files on a server what the shell's tools do, without a mount: for hosts without FUSE and for
administrators. A PATH is one under a mount of this user on this host, or SERVER[,SERVER...]:/PATH, or
dev:DIR:/PATH; SERVER and the flags that say as whom are those of mount. A verb judges nothing, the
server does; what fails for one PATH is told and the others are done.`

func newFS(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "fs", Short: "work on files of a server without a mount", Long: aboutFS,
		Args: unknownVerb, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	r := newReach(e, "wardfs fs")
	r.register(c.PersistentFlags())
	code := exitOK
	c.AddCommand(fs.Commands(&fs.Env{
		Stdin: e.stdin, Stdout: e.stdout, Stderr: e.stderr, Open: r.place, Args: takesSome,
		Report: func(err error) {
			if now := tell(e, err); code == exitOK {
				code = now
			}
		},
	})...)
	for _, v := range c.Commands() {
		v.RunE = ending(v.RunE, r, &code)
	}
	return c
}

// ending runs a verb until it is done or interrupted, ends the sessions that
// it has opened, and answers the exit code of what went wrong.
func ending(run func(*cobra.Command, []string) error, r *reach, code *int) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		c.SetContext(ctx)
		err := first(run(c, args), r.close())
		switch {
		case err == nil && *code != exitOK:
			return silent(*code)
		case err != nil && context.Cause(ctx) != nil:
			return fail(exitFailure, "", "stopped by a signal")
		}
		return err
	}
}

// takesSome is the Args of a verb by the names of its words; the last may end
// in "...".
func takesSome(names string) cobra.PositionalArgs {
	words := strings.Fields(names)
	most := len(words)
	if strings.HasSuffix(names, "...") {
		most = 1 << 30
	}
	return takes(len(words), most, strings.ReplaceAll(names, "...", ""))
}
