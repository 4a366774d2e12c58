package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
)

func newConfig(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "check a server's configuration, or list all keys", Args: unknownVerb,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigCheck(e), newConfigReference(e))
	return c
}

func newConfigCheck(e *env) *cobra.Command {
	var sets []string
	c := &cobra.Command{
		Use: "check FILE", Short: "say all that is wrong with a configuration file, with the lines", Args: takes(1, 1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			c := config.Default()
			if err := c.File(args[0]); err != nil {
				return err
			}
			for _, s := range sets {
				if err := c.Set(s); err != nil {
					return err
				}
			}
			if err := c.Check(); err != nil {
				return err
			}
			if _, err := loadCerts(c.TLS, nil); err != nil {
				return err
			}
			for _, w := range c.Warnings() {
				fmt.Fprintln(e.stderr, "wardfs: warning: "+w)
			}
			fmt.Fprintf(e.stdout, "%s: good\n", args[0])
			return nil
		},
	}
	c.Flags().StringArrayVar(&sets, "set", nil, "as if `KEY=VALUE` stood in the file")
	return c
}

func newConfigReference(e *env) *cobra.Command {
	var output string
	var example bool
	c := &cobra.Command{
		Use: "reference", Short: "print the documentation of all keys, in Markdown", Args: takes(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			text := config.Reference()
			if example {
				text = config.Example()
			}
			if output != "" {
				return os.WriteFile(output, []byte(text), 0o644)
			}
			_, err := fmt.Fprint(e.stdout, text)
			return err
		},
	}
	c.Flags().StringVar(&output, "output", "", "write it to `FILE`")
	c.Flags().BoolVar(&example, "example", false, "print the defaults as a file to begin with instead")
	return c
}
