package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newWhoami(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "whoami [MNT]", Short: "say as whom the mounts of this user act",
		Args: takes(0, 1, "MNT"),
		RunE: func(c *cobra.Command, args []string) error { return runWhoami(c.Context(), e, args, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// who is one mount's answer.
type who struct {
	Mountpoint string `json:"mountpoint"`
	Principal  string `json:"principal"`
	Mechanism  string `json:"mechanism"`
	Via        string `json:"via,omitempty"`
	Identity   string `json:"identity"`
}

func runWhoami(ctx context.Context, e *env, args []string, asJSON bool) error {
	all, err := peers(e, args)
	if err != nil {
		return err
	}
	found := []who{}
	for _, p := range all {
		if p.Kind() != "mount" {
			continue
		}
		text, err := ask(ctx, p)
		if err != nil {
			return err
		}
		if text == nil {
			continue
		}
		var m mountStatus
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		found = append(found, who{m.Mountpoint, m.Client.Session.Principal, m.Client.Session.Mechanism, m.Client.Session.Via, m.Identity})
	}
	switch {
	case len(found) == 0 && len(args) > 0:
		return nobody(args[0])
	case asJSON:
		return printJSON(e, found)
	case len(found) == 0:
		fmt.Fprintln(e.stdout, "this user has no mount of wardfs")
	}
	for _, w := range found {
		as := "for every local user"
		if w.Identity == "trusted" {
			as = "and states each local user"
		}
		fmt.Fprintf(e.stdout, "%s: %s (%s), %s\n", oneLine(w.Mountpoint), oneLine(acting(w.Principal, w.Via)), w.Mechanism, as)
	}
	return nil
}
