package main

import (
	"github.com/spf13/cobra"
)

func newCompletion(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "print the completion script of bash, zsh, fish or powershell",
		Long: `completion prints a script that lets a shell complete wardfs's verbs and flags.

  bash:  wardfs completion bash > /etc/bash_completion.d/wardfs
  zsh:   wardfs completion zsh > "${fpath[1]}/_wardfs"
  fish:  wardfs completion fish > ~/.config/fish/completions/wardfs.fish`,
		Args: takes(1, 1, "SHELL"), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(e.stdout, true)
			case "zsh":
				return root.GenZshCompletion(e.stdout)
			case "fish":
				return root.GenFishCompletion(e.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(e.stdout)
			}
			return usage("write bash, zsh, fish or powershell", "completion: unknown shell %q", args[0])
		},
	}
}
