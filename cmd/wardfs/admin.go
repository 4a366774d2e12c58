package main

import (
	"github.com/spf13/cobra"
)

func newAdmin(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "admin", Short: "look after a server", Args: unknownVerb,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAudit(e), newQuota(e), newSessions(e), newEvict(e))
	return c
}

func newAudit(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "read the audit log", Args: unknownVerb,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAuditTail(e))
	return c
}
