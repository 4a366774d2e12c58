package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
)

const about = `wardfs is a shared POSIX filesystem for data that has owners.

Try it on this machine:      wardfs dev
Mount a server:              wardfs mount files.example.com:/ /mnt/ward
See how a mount is doing:    wardfs status /mnt/ward
Find out what is wrong:      wardfs doctor`

// newRoot is the command with all its verbs.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "wardfs",
		Short:         "a shared POSIX filesystem for data that has owners",
		Long:          about,
		Args:          unknownVerb,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true, SilenceUsage: true, DisableSuggestions: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(
		newDev(e), newServe(e), newMount(e), newUmount(e), newStatus(e), newWhoami(e), newLogin(e), newLogout(e), newAgent(e),
		newFS(e), newAdmin(e), newToken(e),
		newCert(e), newDoctor(e), newConfig(e), newVersion(e), newCompletion(e), newExitCodes(), newCLIReference(),
	)
	root.SetHelpCommand(newHelp(root))
	return root
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]", Short: "explain a verb",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownVerb(root, append(rest, args...))
			}
			return c.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (verbs []string, _ cobra.ShellCompDirective) {
			for _, c := range root.Commands() {
				if len(args) == 0 {
					verbs = append(verbs, c.Name())
				}
			}
			return verbs, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// unknownVerb is the Args of a command that only has verbs below it.
func unknownVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var verbs []string
	for _, v := range c.Commands() {
		if v.IsAvailableCommand() {
			verbs = append(verbs, v.Name())
		}
	}
	return usage(config.DidYouMean(args[0], verbs, fmt.Sprintf("`%s --help` lists the verbs", c.CommandPath())),
		"unknown verb %q", strings.TrimSpace(strings.TrimPrefix(c.CommandPath()+" ", "wardfs ")+args[0]))
}

// wrongFlag turns the library's complaint into ours, with the nearest flag.
func wrongFlag(c *cobra.Command, err error) error {
	next := fmt.Sprintf("`%s --help` shows how it is used", c.CommandPath())
	text := strings.Replace(err.Error(), "flag needs an argument", "flag needs a value", 1)
	if n, ok := err.(*pflag.NotExistError); ok {
		var flags []string
		c.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
		text = fmt.Sprintf("unknown flag %q", "--"+n.GetSpecifiedName())
		if n.GetSpecifiedShortnames() != "" {
			text = fmt.Sprintf("unknown flag %q", "-"+n.GetSpecifiedName())
		} else {
			next = config.DidYouMean("--"+n.GetSpecifiedName(), flags, next)
		}
	}
	return usage(next, "%s: %s", strings.TrimPrefix(c.CommandPath(), "wardfs "), text)
}

// takes is the Args of a verb: least to most of the words in names.
func takes(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		next := fmt.Sprintf("write %s", strings.TrimSuffix(c.UseLine(), " [flags]"))
		switch {
		case len(args) < least:
			return usage(next, "%s: %s is missing", c.Name(), strings.Fields(names)[len(args)])
		case len(args) > most:
			return usage(next, "%s: one word too many: %q", c.Name(), args[most])
		}
		return nil
	}
}
